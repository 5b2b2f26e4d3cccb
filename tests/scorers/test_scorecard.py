from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import compose, linear_model, preprocessing

from scorers.prior import BUILT_IN, PRIOR
from scorers.scorecard import (
    FEATURE_NAMES,
    FeatureWeight,
    Scorecard,
    Transform,
    dump_scorecard,
    load_scorecard,
    probability,
    weights_of,
)
from tests.scorers.limits_model import model_probability
from tests.scorers.merchants import (
    FADING_SHOP,
    NEW_STALL,
    REFUND_HEAVY_SHOP,
    STEADY_STALL,
    feature_dicts,
    vector_of,
)

WEIGHTS = weights_of(BUILT_IN)


def built_in_pd(features: dict[str, float]) -> float:
    return float(probability(vector_of(features), WEIGHTS, np.empty(len(FEATURE_NAMES))))


def test_an_ordinary_steady_stall_defaults_with_about_two_percent() -> None:
    assert 0.01 < built_in_pd(STEADY_STALL) < 0.03


def test_being_new_and_small_is_presumed_good() -> None:
    assert built_in_pd(NEW_STALL) < 0.10


@pytest.mark.parametrize("shop", [FADING_SHOP, REFUND_HEAVY_SHOP])
def test_fading_and_many_refunds_are_clearly_worse(shop: dict[str, float]) -> None:
    assert built_in_pd(shop) > 0.10
    assert built_in_pd(shop) > 5 * built_in_pd(STEADY_STALL)


def test_nothing_known_at_all_is_presumed_good() -> None:
    assert built_in_pd(dict.fromkeys(FEATURE_NAMES, math.nan)) == pytest.approx(0.0198, abs=1e-4)


@given(st.lists(st.floats(), min_size=len(FEATURE_NAMES), max_size=len(FEATURE_NAMES)))
def test_the_built_in_probability_is_bounded_whatever_the_row_holds(values: list[float]) -> None:
    pd = probability(np.array(values), WEIGHTS, np.empty(len(FEATURE_NAMES)))
    most = sum(abs(entry.weight) * entry.clip for entry in BUILT_IN.features)
    assert 1 / (1 + math.exp(most - BUILT_IN.bias)) <= pd
    assert pd <= 1 / (1 + math.exp(-most - BUILT_IN.bias))


@pytest.mark.parametrize("bias", [-1e6, -800.0, 0.0, 800.0, 1e6])
def test_even_absurd_log_odds_give_a_probability(bias: float) -> None:
    weights = weights_of(msgspec.structs.replace(BUILT_IN, bias=bias))
    pd = probability(vector_of(STEADY_STALL), weights, np.empty(len(FEATURE_NAMES)))
    assert 0.0 <= pd <= 1.0


@given(feature_dicts())
def test_the_kernel_agrees_with_the_plain_model(features: dict[str, float]) -> None:
    assert built_in_pd(features) == pytest.approx(model_probability(features, BUILT_IN), rel=1e-9)


@given(feature_dicts())
def test_the_contributions_add_up_to_the_log_odds(features: dict[str, float]) -> None:
    contributions = np.empty(len(FEATURE_NAMES))
    pd = probability(vector_of(features), WEIGHTS, contributions)
    log_odds = BUILT_IN.bias + math.fsum(contributions)
    assert math.log(pd / (1 - pd)) == pytest.approx(log_odds, rel=1e-9)


def test_what_river_learns_scores_the_same_as_a_scorecard() -> None:
    random = np.random.default_rng(7)
    model = compose.Pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(l2=1e-3)
    )
    examples = random.normal(size=(300, len(FEATURE_NAMES)))
    for values in examples.tolist():
        model.learn_one(dict(zip(FEATURE_NAMES, values, strict=True)), values[0] + values[3] > 0.5)
    scaler, regression = model["StandardScaler"], model["LogisticRegression"]
    learnt = Scorecard(
        version=1,
        bias=float(regression.intercept),
        features=tuple(
            FeatureWeight(
                name, regression.weights[name], scaler.means[name], math.sqrt(scaler.vars[name]),
                clip=1e6,
            )
            for name in FEATURE_NAMES
        ),
    )  # fmt: skip
    weights = weights_of(load_scorecard(dump_scorecard(learnt)))
    for values in examples.tolist():
        ours = probability(np.array(values), weights, np.empty(len(FEATURE_NAMES)))
        theirs = model.predict_proba_one(dict(zip(FEATURE_NAMES, values, strict=True)))[True]
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_every_feature_has_an_explained_weight_in_the_built_in_scorecard() -> None:
    assert tuple(entry.weight.feature for entry in PRIOR) == FEATURE_NAMES
    assert all(entry.why.endswith(".") for entry in PRIOR)


def test_the_built_in_scorecard_survives_json() -> None:
    assert load_scorecard(dump_scorecard(BUILT_IN)) == BUILT_IN


def test_a_feature_that_a_scorecard_leaves_out_weighs_nothing() -> None:
    weights = weights_of(Scorecard(version=1, bias=0.0, features=()))
    assert probability(vector_of(STEADY_STALL), weights, np.empty(len(FEATURE_NAMES))) == 0.5


def with_entry(**changes: object) -> Scorecard:
    sound = {"feature": "trend", "weight": 1.0, "mean": 0.0, "scale": 1.0}
    return Scorecard(
        version=1,
        bias=0.0,
        features=(FeatureWeight(**(sound | changes)),),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("scorecard", "complaint"),
    [
        (with_entry(feature="shoe_size"), "there is no feature 'shoe_size'"),
        (with_entry(scale=0.0), "the scale of trend is 0.0, not finite and above 0"),
        (with_entry(weight=1e7), "the weight of trend is 10000000.0, not within 1e6"),
        (with_entry(clip=0.0), "the clip of trend is 0.0, not in (0, 1e6]"),
        (with_entry(absent=9.0), "the absent value of trend is 9.0, beyond its clip"),
        (Scorecard(-1, 0.0, ()), "version is -1, below 0"),
        (Scorecard(1, 1e9, ()), "bias is 1000000000.0"),
        (Scorecard(1, 0.0, (FeatureWeight("trend", 1, 0, 1),) * 2), "trend is there twice"),
    ],
)
def test_a_scorecard_that_makes_no_sense_is_refused(scorecard: Scorecard, complaint: str) -> None:
    with pytest.raises(ValueError, match="scorecard refused") as refusal:
        load_scorecard(dump_scorecard(scorecard))
    assert complaint in str(refusal.value)


@pytest.mark.parametrize("field", ["weight", "mean", "scale", "clip", "absent"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_scorecard_with_a_figure_that_is_not_finite_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"the {field}"):
        weights_of(with_entry(**{field: value}))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"\xff", b'{"version": 1}', b'{"version":1,"bias":"0","features":[]}']
)
def test_what_is_no_scorecard_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a scorecard: \w"):
        load_scorecard(raw)


def test_an_unknown_transform_is_refused() -> None:
    raw = dump_scorecard(with_entry(transform=Transform.LOG1P)).replace(b"log1p", b"square")
    with pytest.raises(ValueError, match="square"):
        load_scorecard(raw)
