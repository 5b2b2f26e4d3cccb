from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from scorers.guards import LARGEST_MOVE, check_move, mean_pd, reference_set
from scorers.learner import OnlineScorecard
from scorers.prior import BUILT_IN
from scorers.scorecard import FEATURE_NAMES, Scorecard
from tests.scorers.simulated import stream


def with_bias(bias: float) -> Scorecard:
    return msgspec.structs.replace(BUILT_IN, bias=bias)


def test_the_reference_set_is_the_same_for_ever() -> None:
    vectors = reference_set()
    assert vectors.shape == (256, len(FEATURE_NAMES))
    assert np.isfinite(vectors).all()
    assert vectors[0, 0] == pytest.approx(273.43132032871097)
    assert mean_pd(BUILT_IN) == pytest.approx(0.056, abs=0.001)
    with pytest.raises(ValueError, match="read-only"):
        vectors[0, 0] = 0.0


@pytest.mark.parametrize("rate", [0.003, 0.01, 0.05, 0.2])
def test_ordinary_learning_passes_at_every_snapshot(rate: float) -> None:
    loans, learner, last_good = stream(rate, 2_000, 1, seed=1), OnlineScorecard(), BUILT_IN
    for at, (features, bad) in enumerate(zip(loans.features, loans.bad, strict=True), 1):
        learner.learn_one(features, bool(bad))
        if at % 100 == 0:
            check_move(learner.scorecard(at), last_good)
            last_good = learner.scorecard(at)


@pytest.mark.parametrize("learnt", [0, 500, 2_000])
def test_a_learner_that_is_told_the_contrary_is_stopped(learnt: int) -> None:
    loans, learner = stream(0.01, 2_100, 1, seed=1), OnlineScorecard()
    outcomes = list(zip(loans.features, loans.bad, strict=True))
    for features, bad in outcomes[:learnt]:
        learner.learn_one(features, bool(bad))
    last_good = learner.scorecard(1)
    for features, bad in outcomes[learnt : learnt + 100]:
        learner.learn_one(features, not bad)
    with pytest.raises(ValueError, match="mean probability of default over the reference set"):
        check_move(learner.scorecard(2), last_good)


@pytest.mark.parametrize("bias", [math.nan, math.inf])
def test_a_scorecard_that_is_not_finite_is_refused(bias: float) -> None:
    with pytest.raises(ValueError, match="bias"):
        check_move(with_bias(bias), BUILT_IN)


def test_the_band_holds_both_ways_and_for_those_who_pay_back() -> None:
    with pytest.raises(ValueError, match=f"factor of {LARGEST_MOVE:g}"):
        check_move(with_bias(-8.0), with_bias(-3.9))
    with pytest.raises(ValueError, match=r"from .*% to .*%"):
        check_move(with_bias(5.0), with_bias(-0.5))
    check_move(with_bias(-3.0), with_bias(-3.9))
