from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.learner import OnlineScorecard
from scorers.measures import log_loss
from scorers.prior import BUILT_IN
from scorers.scorecard import FeatureWeight, Scorecard
from scorers.training import (
    BASE_RATE,
    CHAMPION,
    CHAMPION_MEMORY,
    LINEAR,
    PRIOR,
    TREE,
    WINDOW,
    Training,
    TrainingState,
)
from tests.scorers.merchants import STEADY_STALL, feature_dicts
from tests.scorers.outcomes import Example, present, synthetic
from tests.scorers.simulated import stream

SOME = synthetic(130)
"""So many that both learners have forgotten twice."""


def trained(examples: list[Example], training: Training | None = None) -> Training:
    training = training or Training()
    for features, bad in examples:
        training.take(features, bad)
    return training


def resumed(training: Training) -> Training:
    raw = msgspec.json.encode(training.state())
    return Training.restored(msgspec.json.decode(raw, type=TrainingState))


WHOLE = trained(SOME).state()


@settings(max_examples=25)
@given(st.integers(0, len(SOME)))
def test_killed_after_any_outcome_it_goes_on_to_the_same_bits(cut: int) -> None:
    assert trained(SOME[cut:], resumed(trained(SOME[:cut]))).state() == WHOLE


@settings(max_examples=25)
@given(st.lists(st.tuples(feature_dicts(), st.booleans()), max_size=6), st.integers(0, 6))
def test_whatever_the_features_are_it_goes_on_to_the_same_bits(
    examples: list[tuple[dict[str, float], bool]], cut: int
) -> None:
    clean = [(present(features), bad) for features, bad in examples]
    whole = trained(clean)
    assert trained(clean[cut:], resumed(trained(clean[:cut]))).state() == whole.state()


def test_the_window_keeps_its_length_over_a_restart() -> None:
    examples = synthetic(WINDOW + 60)
    training = trained(examples[WINDOW + 30 :], resumed(trained(examples[: WINDOW + 30])))
    state = training.state()
    assert state == trained(examples).state()
    assert len(state.defaulted) == WINDOW
    assert training.report().outcomes == WINDOW + 60


def test_replayed_outcomes_teach_only_what_the_state_does_not_hold() -> None:
    whole = trained(SOME)
    training = resumed(trained(SOME[:100]))
    before = training.state()
    for features, bad in SOME[:100]:
        training.replayed(features, bad)
    training.replayed({"trend": math.nan}, True)
    assert training.state() == before
    report = trained(SOME[100:], training).report()
    assert report.models[TREE] == whole.report().models[TREE]
    assert report == whole.report()


def test_the_champion_learns_as_a_learner_alone_does() -> None:
    learner = OnlineScorecard(memory=CHAMPION_MEMORY)
    for features, bad in SOME:
        learner.learn_one(features, bad)
    assert trained(SOME).state().champion == learner.state()


def test_each_model_is_judged_before_it_learns() -> None:
    learner, said = OnlineScorecard(memory=CHAMPION_MEMORY), []
    for features, bad in SOME:
        said.append(learner.predict_proba_one(features)[True])
        learner.learn_one(features, bad)
    models = trained(SOME).report().models
    assert set(models) == {CHAMPION, PRIOR, BASE_RATE, LINEAR, TREE}
    assert models[CHAMPION].log_loss == log_loss([bad for _, bad in SOME], said)
    assert models[CHAMPION].mean_log_loss == pytest.approx(models[CHAMPION].log_loss)
    assert models[CHAMPION].log_loss < models[PRIOR].log_loss
    assert trained(SOME).report().widths == learner.shares
    assert sum(learner.shares.values()) == pytest.approx(1.0)
    assert sum(decile.loans for decile in models[CHAMPION].deciles) == len(SOME)


def test_before_any_outcome_there_is_nothing_to_report_and_after_good_ones_no_auc() -> None:
    training = Training()
    assert training.report().models == {}
    assert training.scorecard(0) == BUILT_IN
    training.take(present(STEADY_STALL), False)
    figures = training.report().models[CHAMPION]
    assert (figures.auc, figures.ks, figures.bad) == (None, None, 0)
    assert msgspec.json.decode(msgspec.json.encode(training.report()))["outcomes"] == 1


def test_values_that_cannot_be_true_change_nothing_now_or_later() -> None:
    good: list[Example] = [(present(STEADY_STALL), False)] * 200
    training, unspoilt = trained(good), trained(good)
    training.take(present(STEADY_STALL) | {"trend": math.nan}, True)
    training.take(present(STEADY_STALL) | {"net_28": math.inf}, True)
    assert training.report().rejected == 2
    assert training.scorecard(1) == unspoilt.scorecard(1)
    trained(good, training)
    assert training.scorecard(1) == trained(good, unspoilt).scorecard(1)
    assert msgspec.structs.replace(training.state(), rejected=0) == unspoilt.state()


def test_promotion_swaps_champion_and_challenger_with_what_they_have_shown() -> None:
    training = trained(SOME)
    before, models = training.state(), training.report().models
    training.promote(LINEAR)
    after = training.state()
    assert (after.champion, after.challenger) == (before.challenger, before.champion)
    assert training.report().models[CHAMPION] == models[LINEAR]
    assert training.report().promotions == 1
    assert resumed(training).state() == after


@pytest.mark.parametrize(
    ("name", "complaint"),
    [(TREE, "no scorecard"), (PRIOR, "no challenger 'prior'"), ("nobody", "no challenger")],
)
def test_what_is_no_linear_challenger_cannot_be_promoted(name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Training().promote(name)


def test_after_a_change_the_challenger_that_forgets_faster_deserves_promotion() -> None:
    loans = stream(0.05, 2_000, 800, seed=2, rise=4.0)
    training, deserved = Training(), []
    for at, (features, bad) in enumerate(zip(loans.features, loans.bad, strict=True), 1):
        training.take(features, bool(bad))
        if at % 100 == 0 and training.auto_promotion():
            deserved.append(at)
    assert deserved
    assert min(deserved) > 2_000


def test_a_tree_that_sees_what_no_line_can_is_named_but_not_promoted() -> None:
    training = Training(Scorecard(0, -1.0, (FeatureWeight("trend", 0.0, 0.0, 0.2),)))
    for at in range(3_000):
        training.take({"trend": (at % 5 - 2) * 0.2}, at % 5 in (0, 4))
    report = training.report()
    assert report.better == [TREE]
    assert report.models[TREE].log_loss < report.models[CHAMPION].log_loss / 2
    assert training.auto_promotion() is None


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ({"prior": Scorecard(0, -1.0, ())}, "another prior"),
        ({"losses": {}}, "other models"),
        ({"defaulted": []}, "do not fit together"),
        ({"outcomes": 3}, "do not fit together"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(broken: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Training.restored(msgspec.structs.replace(WHOLE, **broken))
