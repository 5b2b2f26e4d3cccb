"""What one pass over the outcomes reaches where the truth is known.

`docs/learning.md` says for which share of bad loans which bound holds; these are those bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scorers.learner import BIAS_SD, OnlineScorecard
from scorers.prior import BUILT_IN
from scorers.training import CHAMPION_MEMORY
from tests.scorers.simulated import (
    DELAY,
    auc_of_truth,
    of_scorecard,
    played,
    probabilities,
    stream,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.scorers.simulated import Held, Stream

THIRD = 1 / 3
BEFORE, AFTER = 10_000, 3_000
WIDTH = 0.5
"""Of the prior, where only one is compared."""
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


def batch_fit(loans: Stream, width: float, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The posterior's mode, by Newton's method over all outcomes at once, the last one left out.

    Args:
        loans: as many as there are weights, and one more.
        width: of the prior.
        weight: how much each outcome counts.
    """
    learner, start = OnlineScorecard(), of_scorecard(BUILT_IN)
    z = np.array([[1.0, *learner.standardised(x).values()] for x in loans.features[:-1]])
    y = loans.bad[:-1].astype(float)
    precision = np.diag([1 / BIAS_SD**2] + [1 / width**2] * (len(start) - 1))
    mode = start
    for _ in range(40):
        p = probabilities(mode, z)
        slope = z.T @ (weight * (p - y)) + precision @ (mode - start)
        step = np.linalg.solve((z.T * (weight * p * (1 - p))) @ z + precision, slope)
        mode = mode - step * min(1.0, 2 / float(np.abs(step).max()))
    return mode


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


def test_with_one_in_a_hundred_bad_only_the_auc_takes_longer() -> None:
    """The AUC in the mean of streams: some hundred bad loans are not the same luck in all."""
    streams = [run(stream(0.01, BEFORE, AFTER, seed))[1] for seed in range(6)]
    for outcomes in MEASURED:
        for found in streams:
            assert found[outcomes].ratio == pytest.approx(1, abs=THIRD)
    for outcomes in (10_000, 13_000):
        assert np.mean([found[outcomes].short for found in streams]) < 0.02


@pytest.mark.parametrize("seed", [0, 1])
def test_with_three_in_a_thousand_bad_the_mean_is_as_good_as_thirty_bad_loans_can_tell(
    seed: int,
) -> None:
    _, found = run(stream(0.003, BEFORE, AFTER, seed))
    assert found[10_000].ratio == pytest.approx(1, abs=0.5)
    assert found[10_000].short < 0.05
    assert found[13_000].ratio == pytest.approx(1, abs=THIRD)


@pytest.mark.parametrize(("rate", "seed"), [(0.01, 0), (0.01, 1), (0.003, 0), (0.003, 1)])
def test_of_an_expert_who_is_right_rare_bad_loans_spoil_nothing(rate: float, seed: int) -> None:
    """Each weight is off by a tenth of a standard deviation."""
    loans, learner = stream(rate, 5_000, 1, seed, deviation=0.1), OnlineScorecard(memory=5_000)
    for learnt, (features, bad) in enumerate(zip(loans.features, loans.bad, strict=False), 1):
        learner.learn_one(features, bool(bad))
        if learnt in (2_500, 5_000):
            assert loans.measured(learner.scorecard(0)).short < 0.02


@pytest.mark.parametrize(("rate", "seed"), [(0.01, 0), (0.01, 1), (0.003, 0), (0.003, 1)])
def test_one_pass_over_rare_bad_loans_is_worth_a_batch_fit(rate: float, seed: int) -> None:
    """Against the mode of the same posterior."""
    outcomes = 5_000
    loans = stream(rate, outcomes, 1, seed)
    learner = OnlineScorecard(weight_sds=(WIDTH,), memory=CHAMPION_MEMORY)
    for features, bad in zip(loans.features[:outcomes], loans.bad, strict=False):
        learner.learn_one(features, bool(bad))
    faded = np.exp((np.arange(outcomes) - outcomes + 1) / CHAMPION_MEMORY)
    mode = batch_fit(loans, WIDTH, faded)
    truth, said = probabilities(loans.weights[0], loans.held), probabilities(mode, loans.held)
    online = loans.measured(learner.scorecard(0))
    assert online.auc == pytest.approx(auc_of_truth(truth, said), abs=0.01)
    assert online.mean_pd == pytest.approx(float(said.mean()), rel=0.15)


@pytest.mark.parametrize("rate", [0.01, 0.003])
@pytest.mark.parametrize("deviation", [0.1, 0.3])
def test_the_ranking_is_nearly_what_anyone_could_learn(rate: float, deviation: float) -> None:
    """Beside a learner who knows how far the expert is off, and that nothing will change."""
    outcomes, further = 5_000, []
    for seed in range(8):
        loans = stream(rate, outcomes, 1, seed, deviation=deviation)
        learner = OnlineScorecard(memory=CHAMPION_MEMORY)
        for features, bad in zip(loans.features[:outcomes], loans.bad, strict=False):
            learner.learn_one(features, bool(bad))
        best = probabilities(batch_fit(loans, deviation, np.ones(outcomes)), loans.held)
        reachable = auc_of_truth(probabilities(loans.weights[0], loans.held), best)
        further.append(reachable - loans.measured(learner.scorecard(0)).auc)
    assert np.mean(further) < 0.01
