from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scorers.applications.breaker import Breaker, Window
from scorers.applications.messages import Outcome
from scorers.applications.terms import SLICES, Band
from scorers.exposure import Line
from tests.scorers.applying import ASKED, STANDING, TERMS, Kept, Told

LINE = Line("bank", "loan", "CNY")
HOUR = 3_600_000
GOOD = STANDING
BAD = replace(STANDING, limit=0)


class Breaking(Told):
    def __init__(self, **band: Any) -> None:
        super().__init__()
        self.terms = replace(TERMS, band=Band(**{"window_ms": HOUR, "cool_off_ms": 1_000} | band))
        self.names = 0

    def answer(self, standing: Any = GOOD, amount: int = 10, **asked: Any) -> str:
        self.names += 1
        name = f"n{self.names}"
        decision = self.ask(
            ASKED, standing, self.terms, application_id=name, amount=amount, **asked
        )
        return decision.reasons[0].code


def test_a_sum_above_the_band_opens_the_breaker_until_it_has_cooled_off() -> None:
    told = Breaking(largest_sum=25)
    assert [told.answer() for _ in range(4)] == ["within_limits"] * 3 + ["circuit_breaker"]
    told.pass_time(999)
    assert told.answer() == "circuit_breaker"
    told.pass_time(1)
    assert [told.answer() for _ in range(4)] == ["within_limits"] * 3 + ["circuit_breaker"]


def test_the_answer_that_opens_it_says_so_and_stands() -> None:
    told = Breaking(largest_sum=5)
    verdict = told.judge(ASKED, GOOD, told.terms, amount=10)
    assert verdict.opened
    assert verdict.decision is not None
    assert verdict.decision.outcome is Outcome.APPROVE


@pytest.mark.parametrize(
    ("standing", "band"),
    [(BAD, {"lowest_share_bps": 5_000}), (GOOD, {"highest_share_bps": 5_000})],
)
def test_a_share_outside_the_band_counts_from_enough_answers(
    standing: Any, band: dict[str, int]
) -> None:
    told = Breaking(least_answers=4, **band)
    codes = [told.answer(standing) for _ in range(6)]
    assert codes[:4] == [codes[0]] * 4
    assert codes[4:] == ["circuit_breaker"] * 2


def test_a_share_at_the_edge_of_the_band_is_ordinary() -> None:
    told = Breaking(least_answers=2, lowest_share_bps=5_000, highest_share_bps=5_000)
    assert [told.answer(BAD), told.answer(GOOD)] == ["limit", "within_limits"]
    assert told.answer(GOOD) == "within_limits"
    assert told.answer(GOOD) == "circuit_breaker"


def test_who_may_not_apply_at_all_is_not_counted() -> None:
    told = Breaking(least_answers=1, lowest_share_bps=10_000)
    assert told.answer(currency="USD") == "other_currency"
    assert told.answer(replace(GOOD, enrolled=False)) == "not_enrolled"
    assert told.answer() == "within_limits"
    assert told.windows.values[LINE].slices[0].answered == 1


def test_what_lies_behind_the_window_counts_no_more() -> None:
    told = Breaking(largest_sum=25)
    told.answer()
    told.answer()
    told.pass_time(HOUR)
    assert [told.answer(), told.answer()] == ["within_limits"] * 2


def test_each_lender_has_its_own() -> None:
    told = Breaking(largest_sum=5)
    assert [told.answer(), told.answer()] == ["within_limits", "circuit_breaker"]
    assert told.answer(lender_id="other") == "within_limits"


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=60))
def test_the_window_is_the_slice_of_now_and_the_eleven_before(
    answers: list[tuple[int, int]],
) -> None:
    store = Kept[Window]()
    breaker, band, clock = Breaker(store), Band(window_ms=10 * SLICES), 0
    past: list[tuple[int, int]] = []
    for wait, amount in answers:
        clock += wait
        past.append((clock // 10, amount))
        assert not breaker.count(LINE, band, clock, amount)
        slices = store.values[LINE].slices
        seen = [amount for at, amount in past if at > clock // 10 - SLICES]
        assert sum(each.amount for each in slices) == sum(seen)
        assert sum(each.answered for each in slices) == len(seen)
        assert sum(each.approved for each in slices) == sum(amount > 0 for amount in seen)
        assert len(slices) <= SLICES


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from([12, 60, 1_200])), max_size=40),
)
def test_a_window_of_another_length_keeps_the_slices_in_order(
    answers: list[tuple[int, int]],
) -> None:
    store, clock = Kept[Window](), 0
    for wait, window in answers:
        clock += wait
        Breaker(store).count(LINE, Band(window_ms=window), clock, 1)
        starts = [each.starts_at for each in store.values[LINE].slices]
        assert starts == sorted(set(starts))
