from __future__ import annotations

import msgspec
import numpy as np
import pytest

from scorers.drift import LOG_LOSS, SERIES, Drift, DriftState
from scorers.learner import OnlineScorecard
from tests.scorers.simulated import Stream, stream

STATIONARY = 10_000


def watched(
    loans: Stream, shifted: dict[str, float], shift_at: int, stop_at: int
) -> dict[str, list[int]]:
    """The outcomes at which each series drifted, with features shifted by so many scales."""
    learner, drift, found = OnlineScorecard(memory=5_000), Drift(), dict[str, list[int]]()
    for at, (features, bad) in enumerate(zip(loans.features, loans.bad, strict=True)):
        z = learner.standardised(features)
        if at >= shift_at:
            z = {name: value + shifted.get(name, 0.0) for name, value in z.items()}
        before = drift.drifts()
        drift.watch(learner.predict_proba_one(features)[True], bool(bad), z)
        learner.learn_one(features, bool(bad))
        for name, count in drift.drifts().items():
            if count > before.get(name, 0):
                found.setdefault(name, []).append(at)
        if at == stop_at:
            break
    return found


@pytest.mark.parametrize("rate", [0.003, 0.01, 0.05])
def test_a_stream_that_stays_as_it_is_raises_no_alarm(rate: float) -> None:
    loans = stream(rate, STATIONARY, 1, seed=4)
    assert watched(loans, {}, STATIONARY, STATIONARY - 1) == {}


@pytest.mark.parametrize(("rate", "rise"), [(0.05, 2.0), (0.01, 4.0)])
def test_more_bad_loans_are_found_within_2000_outcomes(rate: float, rise: float) -> None:
    loans = stream(rate, 5_000, 2_000, seed=0, rise=rise)
    found = watched(loans, {}, 7_000, 7_000)
    assert set(found) == {LOG_LOSS}
    assert 5_000 <= found[LOG_LOSS][0] < 7_000


def test_a_feature_that_moves_is_found_by_name() -> None:
    loans = stream(0.01, 3_000, 1, seed=0)
    found = watched(loans, {"mean_ticket": 0.4, "trend": -0.4}, 1_000, 2_999)
    assert set(found) == {"mean_ticket", "trend"}
    assert all(1_000 <= first < 3_000 for first, *_ in found.values())


def test_interrupted_it_goes_on_to_the_same_bits() -> None:
    random, whole = np.random.default_rng(0), Drift()
    outcomes = [
        (float(p), bool(random.random() < p), {"trend": float(random.normal(at / 300, 1))})
        for at, p in enumerate(random.uniform(0, 0.3, 900))
    ]
    resumed = Drift()
    for at, outcome in enumerate(outcomes):
        whole.watch(*outcome)
        resumed.watch(*outcome)
        if at % 50 == 0:
            raw = msgspec.json.encode(resumed.state())
            resumed = Drift.restored(msgspec.json.decode(raw, type=DriftState))
    assert resumed.state() == whole.state()
    assert whole.drifts()["trend"] > 0


@pytest.mark.parametrize("broken", [{"series": ["trend"]}, {"mean": [0.0]}])
def test_a_state_that_does_not_fit_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="the state of the drift tests is"):
        Drift.restored(msgspec.structs.replace(Drift().state(), **broken))


@pytest.mark.parametrize(("probability", "defaulted"), [(0.0, True), (1.0, False)])
def test_no_single_outcome_raises_an_alarm(probability: float, defaulted: bool) -> None:
    drift = Drift()
    for _ in range(1_000):
        drift.watch(0.01, False, dict.fromkeys(SERIES, 0.0))
    drift.watch(probability, defaulted, {})
    assert drift.drifts() == {}
