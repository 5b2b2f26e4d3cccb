import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import Events, Outcome, allocate, currency_code, currency_index


def test_every_column_has_one_entry_an_event() -> None:
    events = allocate(3)
    assert {len(column) for column in events} == {3}
    assert len(events) == len(Events._fields)


def test_a_new_event_is_pending_and_takes_nothing_back() -> None:
    events = allocate(2)
    assert events.outcome.tolist() == [Outcome.PENDING] * 2
    assert events.original_at.tolist() == [-1, -1]


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3))
def test_a_currency_is_its_number_s_letters(code: str) -> None:
    assert currency_code(currency_index(code)) == code


@pytest.mark.parametrize("code", ["", "CN", "CNYY", "cny", "C1Y", "ÄÖÜ"])
def test_what_is_no_three_capital_letters_is_no_currency(code: str) -> None:
    with pytest.raises(ValueError, match="three capital letters"):
        currency_index(code)


@pytest.mark.parametrize("index", [-1, 26**3])
def test_a_number_beyond_the_letters_is_no_currency(index: int) -> None:
    with pytest.raises(ValueError, match="stands for no currency"):
        currency_code(index)
