"""Quantities times prices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cost.bill import GB, MONTH_S, Bill, bill_of
from streams.cost.usage import Usage
from streams.settings import Prices

PRICES = Prices(cpu_hour=0.5, memory_gb_month=20, storage_gb_month=2, written_gb=0.25)
HOUR = Usage(3_600, 7_200, 2 * GB, 4 * GB, 10, 1_000, 5, 2)

quantity = st.floats(0, 1e15)
usages = st.builds(
    Usage,
    seconds=st.floats(1, 1e8),
    cpu_seconds=st.floats(0, 1e9),
    memory_bytes=quantity,
    written_bytes=quantity,
    merchants=st.integers(0, 10**9),
    decisions=st.integers(0, 10**12),
    applications=st.integers(0, 10**9),
    loans=st.integers(0, 10**9),
)


def costs(bill: Bill) -> dict[str, float]:
    return {part.name: part.cost for part in bill.parts}


def test_each_part_is_its_quantity_times_its_price() -> None:
    bill = bill_of([HOUR], 5 * GB, PRICES)
    assert costs(bill) == pytest.approx(
        {"cpu": 1.0, "memory": 40 / 730, "storage": 10 / 730, "written": 1.0}
    )
    assert bill.monthly == pytest.approx(730 + 40 + 10 + 730)
    assert bill.of_a_decision == pytest.approx(bill.total / 1_000)
    assert bill.of_an_application == pytest.approx(bill.total / 5)
    assert bill.of_a_loan == pytest.approx(bill.total / 2)
    assert bill.of_a_merchant_month == pytest.approx(151.0)


def test_a_worker_that_has_just_started_counts_for_a_whole_month() -> None:
    young = HOUR._replace(seconds=36, cpu_seconds=72, written_bytes=0.04 * GB)
    bill = bill_of([HOUR, young], 0, PRICES)
    assert bill.monthly == pytest.approx(2 * bill_of([HOUR], 0, PRICES).monthly)
    assert bill.seconds == 3_600


def test_what_has_not_happened_costs_nothing_that_could_be_said() -> None:
    bill = bill_of([HOUR._replace(merchants=0, decisions=0, applications=0, loans=0)], 0, PRICES)
    assert bill.of_a_decision is bill.of_an_application is bill.of_a_loan is None
    assert bill.of_a_merchant_month is None


@pytest.mark.parametrize("wrong", [[], [HOUR._replace(seconds=0)]])
def test_without_a_process_or_a_time_there_is_no_bill(wrong: list[Usage]) -> None:
    with pytest.raises(ValueError, match="a time above 0"):
        bill_of(wrong, 0, PRICES)


@given(some=st.lists(usages, min_size=1, max_size=4), stored=quantity, times=st.floats(0, 100))
def test_a_bill_goes_with_the_prices_and_is_never_negative(
    some: list[Usage], stored: float, times: float
) -> None:
    one = bill_of(some, stored, PRICES)
    dearer = Prices(**{name: price * times for name, price in PRICES.by_what().items()})
    other = bill_of(some, stored, dearer)
    assert min(min(part.cost, part.monthly) for part in one.parts) >= 0
    assert other.total == pytest.approx(one.total * times)
    assert other.monthly == pytest.approx(one.monthly * times)


@given(one=usages, stored=quantity)
def test_a_time_of_one_month_costs_a_month(one: Usage, stored: float) -> None:
    bill = bill_of([one._replace(seconds=MONTH_S)], stored, PRICES)
    assert bill.total == pytest.approx(bill.monthly)
