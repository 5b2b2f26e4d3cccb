from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.learner import BIAS_SD, FORGET_EVERY, WEIGHT_SDS, LearnerState, OnlineScorecard
from scorers.measures import auc, log_loss
from scorers.prior import BUILT_IN
from scorers.scorecard import FEATURE_NAMES, FeatureWeight, Scorecard, probability, weights_of
from tests.scorers.batch import batch_fit
from tests.scorers.merchants import STEADY_STALL, feature_dicts, vector_of
from tests.scorers.outcomes import Example, present, synthetic
from tests.scorers.simulated import stream

EXAMPLES = st.lists(st.tuples(feature_dicts(), st.booleans()), max_size=20)


def learnt(examples: list[Example], learner: OnlineScorecard | None = None) -> OnlineScorecard:
    learner = learner or OnlineScorecard()
    for features, bad in examples:
        learner.learn_one(features, bad)
    return learner


def test_before_any_outcome_it_says_what_the_prior_says() -> None:
    contributions = np.empty(len(FEATURE_NAMES))
    expected = probability(vector_of(STEADY_STALL), weights_of(BUILT_IN), contributions)
    said = OnlineScorecard().predict_proba_one(present(STEADY_STALL))
    assert said[True] == pytest.approx(expected, abs=1e-12)


@given(EXAMPLES, feature_dicts())
def test_the_kernel_says_what_the_learner_says(
    examples: list[tuple[dict[str, float], bool]], merchant: dict[str, float]
) -> None:
    learner = learnt([(present(features), bad) for features, bad in examples])
    weights = weights_of(learner.scorecard(version=7))
    said = learner.predict_proba_one(present(merchant))[True]
    kernel = probability(vector_of(merchant), weights, np.empty(len(FEATURE_NAMES)))
    assert weights.version == 7
    assert kernel == pytest.approx(said, abs=1e-9)


@given(EXAMPLES, st.integers(0, 20))
def test_interrupted_anywhere_it_goes_on_to_the_same_bits(
    examples: list[tuple[dict[str, float], bool]], cut: int
) -> None:
    clean = [(present(features), bad) for features, bad in examples]
    raw = msgspec.json.encode(learnt(clean[:cut]).state())
    resumed = OnlineScorecard().restored(msgspec.json.decode(raw, type=LearnerState))
    assert learnt(clean[cut:], resumed).state() == learnt(clean).state()


@given(EXAMPLES, st.integers(0, 20))
def test_with_a_memory_too_it_goes_on_to_the_same_bits(
    examples: list[tuple[dict[str, float], bool]], cut: int
) -> None:
    clean = synthetic(FORGET_EVERY - 10) + [(present(features), bad) for features, bad in examples]
    cut += FORGET_EVERY - 10
    raw = msgspec.json.encode(learnt(clean[:cut], OnlineScorecard(memory=100)).state())
    resumed = OnlineScorecard().restored(msgspec.json.decode(raw, type=LearnerState))
    assert resumed.memory == 100
    whole = learnt(clean, OnlineScorecard(memory=100))
    assert learnt(clean[cut:], resumed).state() == whole.state()


def test_a_copy_learns_by_itself() -> None:
    learner = learnt(synthetic(60))
    before = learner.state()
    learnt(synthetic(60, seed=1), learner.copy())
    assert learner.state() == before


def test_as_many_loans_are_expected_to_go_bad_as_do() -> None:
    """But for the pull of the prior's bias."""
    examples = synthetic(3_000, -5.0)
    learner = learnt(examples)
    bad = sum(defaulted for _, defaulted in examples)
    pull = (learner.scorecard(0).bias - BUILT_IN.bias) / BIAS_SD**2
    expected = sum(learner.predict_proba_one(features)[True] for features, _ in examples)
    assert bad > 30
    assert expected == pytest.approx(bad - pull, rel=0.1)


def test_what_is_forgotten_wholly_is_the_prior_again_and_not_at_all_is_kept() -> None:
    learner = learnt(synthetic(200))
    before = learner.scorecard(0)
    learner.forget(1.0)
    for kept, entry in zip(learner.scorecard(0).features, before.features, strict=True):
        assert kept.weight == pytest.approx(entry.weight, abs=1e-9)
    learner.forget(0.0)
    state, start = learner.state(), OnlineScorecard().state()
    assert state.evidence == start.evidence
    for posterior, first in zip(state.posteriors, start.posteriors, strict=True):
        assert posterior.mean == pytest.approx(first.mean, abs=1e-12)
        assert np.array(posterior.covariance) == pytest.approx(
            np.array(first.covariance), abs=1e-12
        )
    with pytest.raises(ValueError, match="between 0 and 1"):
        learner.forget(1.1)


def test_a_memory_follows_what_outcomes_say_now() -> None:
    then, now = synthetic(3_000, -4.0), synthetic(1_000, -1.0, seed=1)
    lasting, forgetting = (
        learnt(then + now, OnlineScorecard(memory=memory)) for memory in (None, 500)
    )
    losses = [
        log_loss(
            [bad for _, bad in now],
            [learner.predict_proba_one(features)[True] for features, _ in now],
        )
        for learner in (lasting, forgetting)
    ]
    assert losses[1] < losses[0]


def test_a_memory_keeps_what_the_prior_leaves_out_unlearnt() -> None:
    prior = Scorecard(0, -1.0, (FeatureWeight("trend", 0.7, 0.0, 0.2),))
    learner = learnt(synthetic(120), OnlineScorecard(prior, memory=FORGET_EVERY))
    learnable = [0, 1 + FEATURE_NAMES.index("trend")]
    for posterior in learner.state().posteriors:
        covariance = np.array(posterior.covariance)
        assert not np.delete(np.array(posterior.mean), learnable).any()
        assert np.count_nonzero(covariance) == len(learnable) ** 2
        assert np.array_equal(covariance, covariance.T)
    with pytest.raises(ValueError, match="memory is of"):
        OnlineScorecard(prior, memory=FORGET_EVERY - 1)


@given(EXAMPLES)
def test_the_covariance_stays_symmetric_positive_and_never_grows(
    examples: list[tuple[dict[str, float], bool]],
) -> None:
    learner, before = OnlineScorecard(), [math.inf] * len(WEIGHT_SDS)
    for features, bad in examples:
        learner.learn_one(present(features), bad)
        for place, posterior in enumerate(learner.state().posteriors):
            covariance = np.array(posterior.covariance)
            assert np.array_equal(covariance, covariance.T)
            assert np.linalg.eigvalsh(covariance).min() > 0
            assert np.trace(covariance) <= before[place]
            before[place] = float(np.trace(covariance))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e19])
def test_a_value_that_cannot_be_true_is_rejected_and_changes_nothing(value: float) -> None:
    examples = synthetic(200)
    learner = learnt(examples)
    before = learner.predict_proba_one(present(STEADY_STALL))
    learner.learn_one(present(STEADY_STALL) | {"trend": value}, True)
    learner.learn_one(present(STEADY_STALL) | {"net_28": value}, False)
    assert learner.predict_proba_one(present(STEADY_STALL)) == before
    assert (learner.examples, learner.rejected) == (200, 2)
    more = synthetic(200, seed=1)
    unspoilt = learnt(more, learnt(examples))
    assert learnt(more, learner).predict_proba_one(present(STEADY_STALL)) == (
        unspoilt.predict_proba_one(present(STEADY_STALL))
    )


def test_a_feature_that_was_constant_for_long_cannot_throw_the_model() -> None:
    constant = [(present(STEADY_STALL) | {"chargeback_share": 0.0}, False)] * 545
    learner = learnt(constant)
    before = learner.predict_proba_one(present(STEADY_STALL))[True]
    learner.learn_one(present(STEADY_STALL) | {"chargeback_share": 1.0}, True)
    after = learner.predict_proba_one(present(STEADY_STALL))[True]
    assert abs(after - before) < 0.02
    assert learner.standardised({"chargeback_share": 1.0})["chargeback_share"] == 4.0


def test_one_pass_over_a_hundred_outcomes_is_worth_a_batch_fit() -> None:
    """Against the mode of the same posterior."""
    train, later = synthetic(100), synthetic(2000, seed=9)
    learner = learnt(train, OnlineScorecard(weight_sds=(0.5,)))
    mode = batch_fit([x for x, _ in train], [bad for _, bad in train], 0.5)
    held = np.array([[1.0, *learner.standardised(x).values()] for x, _ in later])
    outcomes = [bad for _, bad in later]
    batch = auc(outcomes, held @ mode)
    online = auc(outcomes, [learner.predict_proba_one(x)[True] for x, _ in later])
    assert online == pytest.approx(batch, abs=0.01)
    assert online > 0.75


def test_rare_outcomes_leave_the_probabilities_unbiased() -> None:
    random = np.random.default_rng(3)
    examples: list[Example] = [
        ({"trend": float(random.normal(0, 0.2))}, bool(random.random() < 0.003))
        for _ in range(10_000)
    ]
    learner = learnt(examples)
    mean = float(np.mean([learner.predict_proba_one(x)[True] for x, _ in examples]))
    assert 0.002 < mean < 0.004


def test_an_example_that_was_changed_in_place_is_read_anew() -> None:
    learner, example = OnlineScorecard(), present(STEADY_STALL)
    before = learner.predict_proba_one(example)[True]
    example["silence_days"] = 20.0
    assert learner.predict_proba_one(example) == OnlineScorecard().predict_proba_one(dict(example))
    assert learner.predict_proba_one(example)[True] > before
    example["silence_days"] = float("inf")
    learner.learn_one(example, True)
    assert (learner.examples, learner.rejected) == (0, 1)


def test_it_starts_from_the_prior_that_it_is_given() -> None:
    prior = Scorecard(4, -1.0, (FeatureWeight("trend", 0.7, 0.0, 0.2),))
    learner = OnlineScorecard(prior)
    assert learner.scorecard(4) == prior
    learner.learn_one({"trend": -0.3, "silence_days": 9.0}, True)
    said = learner.predict_proba_one({"trend": -0.3, "silence_days": 4.0})[True]
    vector = vector_of(
        dict.fromkeys(FEATURE_NAMES, math.nan) | {"trend": -0.3, "silence_days": 4.0}
    )
    kernel = probability(vector, weights_of(learner.scorecard(5)), np.empty(len(FEATURE_NAMES)))
    assert kernel == pytest.approx(said, abs=1e-9)
    for widths in ((0.5, 0.0), ()):
        with pytest.raises(ValueError, match="above 0"):
            OnlineScorecard(prior, weight_sds=widths)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ({"features": ["net_28"]}, "other features"),
        ({"evidence": [0.0]}, "not of 2 widths"),
        ({"evidence": [0.0, -math.inf]}, "not finite"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(broken: dict[str, object], complaint: str) -> None:
    state = msgspec.structs.replace(OnlineScorecard().state(), **broken)
    with pytest.raises(ValueError, match=complaint):
        OnlineScorecard().restored(state)


@pytest.mark.parametrize(
    ("mean", "complaint"),
    [([0.0], "not of"), ([math.nan] * (len(FEATURE_NAMES) + 1), "not finite")],
)
def test_a_posterior_that_does_not_fit_is_refused(mean: list[float], complaint: str) -> None:
    state = OnlineScorecard().state()
    broken = [*state.posteriors[:-1], msgspec.structs.replace(state.posteriors[-1], mean=mean)]
    with pytest.raises(ValueError, match=complaint):
        OnlineScorecard().restored(msgspec.structs.replace(state, posteriors=broken))


def test_a_state_with_a_single_posterior_is_read_and_refused() -> None:
    """As releases before the widths of the prior were averaged stored it."""
    start = OnlineScorecard().state()
    stored = {
        "mean": start.posteriors[0].mean,
        "covariance": start.posteriors[0].covariance,
        "features": start.features,
        "examples": 3,
        "rejected": 0,
        "memory": None,
        "level": None,
    }
    state = msgspec.json.decode(msgspec.json.encode(stored), type=LearnerState)
    assert state.examples == 3
    with pytest.raises(ValueError, match="learn anew from the log"):
        OnlineScorecard().restored(state)


def test_the_width_that_foretells_better_counts_for_more() -> None:
    """An expert who is right is believed, one who is wrong is not."""
    for deviation, better in ((0.1, 0.15), (0.6, 0.5)):
        loans = stream(0.05, 3_000, 1, seed=3, deviation=deviation)
        examples = list(zip(loans.features, map(bool, loans.bad), strict=True))
        learner = learnt(examples)
        worse, best = sorted(learner.shares, key=learner.shares.__getitem__)
        assert best == better
        assert learner.shares[worse] < learner.shares[best]
        assert max(learner.state().evidence) == 0.0
        alone = [learnt(examples, OnlineScorecard(weight_sds=(sd,))) for sd in WEIGHT_SDS]
        short = [loans.measured(each.scorecard(0)).short for each in alone]
        assert loans.measured(learner.scorecard(0)).short < min(short) + 0.002


def test_what_is_learnt_is_the_average_by_how_well_each_width_foretold() -> None:
    examples = synthetic(40)
    alone = [OnlineScorecard(weight_sds=(sd,)) for sd in WEIGHT_SDS]
    likelihoods = [1.0 for _ in alone]
    for features, bad in examples:
        for place, learner in enumerate(alone):
            likelihoods[place] *= learner.predict_proba_one(features)[bad]
            learner.learn_one(features, bad)
    average = learnt(examples).scorecard(0)
    for place, entry in enumerate(average.features):
        weights = [learner.scorecard(0).features[place].weight for learner in alone]
        assert entry.weight == pytest.approx(float(np.average(weights, weights=likelihoods)))
    biases = [learner.scorecard(0).bias for learner in alone]
    assert average.bias == pytest.approx(float(np.average(biases, weights=likelihoods)))
