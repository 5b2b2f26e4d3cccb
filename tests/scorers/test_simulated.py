"""What one pass over the outcomes reaches where the truth is known.

`docs/learning.md` says for which share of bad loans which bound holds; these are those bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scorers.learner import OnlineScorecard
from scorers.training import CHAMPION_MEMORY
from tests.scorers.simulated import DELAY, played, stream

if TYPE_CHECKING:
    from tests.scorers.simulated import Held, Stream

THIRD = 1 / 3
BEFORE, AFTER = 10_000, 3_000
MEASURED = (5_000, 10_000, 12_000, 13_000)
"""Outcomes learnt; the truth changes after 10,000."""


def run(loans: Stream) -> tuple[list[float], dict[int, Held]]:
    """What the champion said at each draw, and how it did on held merchants as it learnt."""
    learner, found = OnlineScorecard(memory=CHAMPION_MEMORY), {}

    def learn(features: dict[str, float | None], bad: bool) -> None:
        learner.learn_one(features, bad)
        if learner.examples in MEASURED:
            changed = learner.examples > BEFORE
            found[learner.examples] = loans.measured(learner.scorecard(0), changed)

    said = played(loans, lambda features: learner.predict_proba_one(features)[True], learn)
    return said, found


@pytest.mark.parametrize("seed", [0, 1])
def test_with_one_loan_in_twenty_bad_all_bounds_hold(seed: int) -> None:
    loans = stream(0.05, BEFORE, AFTER, seed)
    said, found = run(loans)
    for start in range(1_000, BEFORE, 1_000):
        block = slice(start, start + 1_000)
        assert np.mean(said[block]) / loans.truth[block].mean() == pytest.approx(1, abs=THIRD)
    for outcomes in (5_000, 10_000, 12_000):
        assert found[outcomes].ratio == pytest.approx(1, abs=THIRD)
        assert found[outcomes].short < 0.02
    known = slice(BEFORE + 2_000 + DELAY, BEFORE + AFTER)
    assert np.mean(said[known]) / loans.truth[known].mean() == pytest.approx(1, abs=THIRD)


@pytest.mark.parametrize("seed", [0, 1])
def test_with_one_in_a_hundred_bad_it_takes_twice_as_many_outcomes(seed: int) -> None:
    _, found = run(stream(0.01, BEFORE, AFTER, seed))
    assert found[10_000].ratio == pytest.approx(1, abs=THIRD)
    assert found[10_000].short < 0.02
    assert found[12_000].ratio == pytest.approx(1, abs=THIRD)
    assert found[13_000].short < 0.02


@pytest.mark.parametrize("seed", [0, 1])
def test_with_three_in_a_thousand_bad_it_errs_on_the_side_of_caution(seed: int) -> None:
    _, found = run(stream(0.003, BEFORE, AFTER, seed))
    assert 1 - THIRD < found[10_000].ratio < 1.6
    assert found[10_000].short < 0.05
    assert found[12_000].ratio == pytest.approx(1, abs=THIRD)
