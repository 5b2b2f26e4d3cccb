"""What one pass over the outcomes reaches where the truth is known.

`docs/learning.md` says for which share of bad loans which bound holds; these are those bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scorers.learner import OnlineScorecard
from scorers.training import CHAMPION_MEMORY
from tests.scorers.batch import batch_fit
from tests.scorers.simulated import (
    DELAY,
    auc_of_truth,
    played,
    probabilities,
    stream,
)

if TYPE_CHECKING:
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


def taught(loans: Stream, outcomes: int, learner: OnlineScorecard | None = None) -> Held:
    """How a learner, the champion's unless said, does that was taught the first outcomes."""
    learner = learner or OnlineScorecard(memory=CHAMPION_MEMORY)
    for features, bad in zip(loans.features[:outcomes], loans.bad, strict=False):
        learner.learn_one(features, bool(bad))
    return loans.measured(learner.scorecard(0))


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
    loans = stream(rate, 5_000, 1, seed, deviation=0.1)
    for outcomes in (2_500, 5_000):
        assert taught(loans, outcomes).short < 0.02


@pytest.mark.parametrize(("rate", "seed"), [(0.01, 0), (0.01, 1), (0.003, 0), (0.003, 1)])
def test_one_pass_over_rare_bad_loans_is_worth_a_batch_fit(rate: float, seed: int) -> None:
    """Against the mode of the same posterior."""
    outcomes = 5_000
    loans = stream(rate, outcomes, 1, seed)
    faded = np.exp((np.arange(outcomes) - outcomes + 1) / CHAMPION_MEMORY)
    mode = batch_fit(loans.features[:outcomes], loans.bad[:outcomes], WIDTH, faded)
    truth, said = probabilities(loans.weights[0], loans.held), probabilities(mode, loans.held)
    alone = OnlineScorecard(weight_sds=(WIDTH,), memory=CHAMPION_MEMORY)
    online = taught(loans, outcomes, alone)
    assert online.auc == pytest.approx(auc_of_truth(truth, said), abs=0.01)
    assert online.mean_pd == pytest.approx(float(said.mean()), rel=0.15)


@pytest.mark.parametrize("rate", [0.01, 0.003])
@pytest.mark.parametrize("deviation", [0.1, 0.3])
def test_the_ranking_is_nearly_what_anyone_could_learn(rate: float, deviation: float) -> None:
    """Beside a learner who knows how far the expert is off, and that nothing will change."""
    outcomes, further = 5_000, []
    for seed in range(8):
        loans = stream(rate, outcomes, 1, seed, deviation=deviation)
        mode = batch_fit(loans.features[:outcomes], loans.bad[:outcomes], deviation)
        truth, best = probabilities(loans.weights[0], loans.held), probabilities(mode, loans.held)
        further.append(auc_of_truth(truth, best) - taught(loans, outcomes).auc)
    assert np.mean(further) < 0.01
