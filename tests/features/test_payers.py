import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.compiler import JIT
from features.events import Kind
from tests.features.model import Event
from tests.features.running import DAY, STARTS, Roll, Step, run


def payments(payers: list[int], at: int) -> list[Step]:
    return [Event(Kind.PAYMENT, 100, at, payer=payer) for payer in payers]


@given(st.lists(st.integers(1, 32), max_size=60))
def test_up_to_32_payers_are_counted_exactly(payers: list[int]) -> None:
    features = run([Roll(STARTS[0]), *payments(payers, STARTS[0])]).features[-1]
    assert features["payers_28"] == len(set(payers))


@pytest.mark.skipif(not JIT, reason="400,000 payments take minutes uncompiled")
@pytest.mark.parametrize("payers", [100, 1_000, 20_000])
def test_more_payers_are_estimated_within_the_stated_error(payers: int) -> None:
    errors = []
    for trial in range(20):
        ids = np.arange(1, payers + 1) + trial * 1_000_003
        found = run(payments(ids.tolist(), STARTS[0])).features[-1]["payers_28"]
        errors.append(found / payers - 1)
    # 21 % a trial; the mean of 20 is within 4 of its own standard errors.
    assert abs(statistics.mean(errors)) < 4 * 0.21 / 20**0.5
    assert max(map(abs, errors)) < 4 * 0.21


def test_a_payer_counts_for_28_days_after_the_last_payment() -> None:
    steps = [*payments([1], STARTS[0]), Roll(STARTS[0] + 27 * DAY), Roll(STARTS[0] + 28 * DAY)]
    assert [found["payers_28"] for found in run(steps).features] == [1, 1, 0]
    steps = [*payments([1], STARTS[0]), Roll(STARTS[0] + 6 * DAY), Roll(STARTS[0] + 7 * DAY)]
    assert [found["payers_7"] for found in run(steps).features] == [1, 1, 0]


def test_payments_without_a_payer_are_from_nobody() -> None:
    assert run(payments([0, 0], STARTS[0])).features[-1]["payers_28"] == 0


@pytest.mark.skipif(not JIT, reason="6,000 payments take a minute uncompiled")
def test_after_a_crowd_has_gone_the_count_is_exact_again() -> None:
    crowd = payments(list(range(1, 5_000)), STARTS[0])
    regulars: list[Step] = []
    for day in range(1, 58):
        regulars += payments(list(range(9_001, 9_021)), STARTS[0] + day * DAY)
    found = run([*crowd, *regulars])
    assert found.row.payer_level == 0
    assert found.features[-1]["payers_28"] == 20


@pytest.mark.skipif(not JIT, reason="11,000 payments take a minute uncompiled")
def test_while_a_crowd_leaves_the_estimate_stays_of_its_size() -> None:
    """Every entry stands for as many as when it was taken in, although the level falls."""
    steps: list[Step] = []
    for day in range(40):
        newcomers = 2_000 if day < 5 else 30
        first = 1 + day * 10_000
        steps += payments(list(range(first, first + newcomers)), STARTS[0] + day * DAY)
    found = run(steps).features
    # Days 0 to 4 bring 10,000; on day 31 only day 4 is still among the last 28 of them.
    at_day = {day: sum(2_000 if d < 5 else 30 for d in range(day + 1)) - 1 for day in (4, 31, 39)}
    assert 5_000 < found[at_day[4]]["payers_28"] < 15_000
    assert 1_000 < found[at_day[31]]["payers_28"] < 6_000
    assert 400 < found[at_day[39]]["payers_28"] < 1_500
