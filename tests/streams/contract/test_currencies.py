import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract.currencies import (
    MINOR_DIGITS,
    MINOR_DIGITS_TABLE,
    UNKNOWN,
    amount_text,
    code_of,
    index_of,
)


@given(st.integers(0, 26**3 - 1))
def test_every_index_is_one_code(index: int) -> None:
    assert index_of(code_of(index)) == index


@pytest.mark.parametrize("index", [-1, 26**3])
def test_an_index_outside_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="17575"):
        code_of(index)


@pytest.mark.parametrize("code", ["", "CN", "CNYX", "cny", "C Y", "C1Y", "ÄÖÜ"])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="three capital letters"):
        index_of(code)


def test_the_kernels_table_says_the_same_as_the_dictionary() -> None:
    known = {
        code_of(int(i)): int(MINOR_DIGITS_TABLE[i])
        for i in np.flatnonzero(MINOR_DIGITS_TABLE != UNKNOWN)
    }
    assert known == MINOR_DIGITS
    assert MINOR_DIGITS_TABLE.dtype == np.int8


@pytest.mark.parametrize(
    ("code", "digits"), [("CNY", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("CLF", 4), ("EUR", 2)]
)
def test_minor_digits_follow_iso_4217(code: str, digits: int) -> None:
    assert MINOR_DIGITS[code] == digits


@pytest.mark.parametrize("code", ["XXQ", "XXX", "XTS", "XAU", "DEM"])
def test_a_code_without_minor_units_is_no_currency_here(code: str) -> None:
    assert code not in MINOR_DIGITS
    assert MINOR_DIGITS_TABLE[index_of(code)] == UNKNOWN


def test_eighty_of_each_currency_are_read_back_without_a_factor() -> None:
    # The same 80 units in a currency of two, no and three minor digits.
    assert [amount_text(8000, "CNY"), amount_text(80, "JPY"), amount_text(80000, "KWD")] == [
        "80.00 CNY",
        "80 JPY",
        "80.000 KWD",
    ]
