from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.limits import args_of
from scorers.policy import BUILT_IN as BUILT_IN_POLICY
from scorers.prior import BUILT_IN
from scorers.reasons import (
    HOLD_OUT,
    PHRASES,
    REASONS_APART,
    effects,
    reason_code,
    reason_text,
    strongest,
)
from scorers.scorecard import FEATURE_NAMES, probability, weights_of
from tests.scorers.merchants import FADING_SHOP, STEADY_STALL, feature_dicts, vector_of

WEIGHTS, POLICY = weights_of(BUILT_IN), args_of(BUILT_IN_POLICY)


def reasons_for(features: dict[str, float]) -> list[tuple[str, float]]:
    vector = vector_of(features)
    contributions, effect = np.empty(len(FEATURE_NAMES)), np.empty(len(FEATURE_NAMES))
    reasons, shares = np.empty(3, np.int16), np.empty(3)
    pd = probability(vector, WEIGHTS, contributions)
    effects(vector, contributions, pd, WEIGHTS, POLICY, effect)
    strongest(vector, effect, WEIGHTS, reasons, shares)
    return [(reason_code(int(r)), float(s)) for r, s in zip(reasons, shares, strict=True)]


def test_every_feature_has_its_phrases() -> None:
    assert tuple(PHRASES) == FEATURE_NAMES


def test_a_reason_is_a_plain_sentence() -> None:
    many_payers = FEATURE_NAMES.index("payers_28") * 6 + 3
    assert reason_text(many_payers) == "Payments came from many different payers: raises the limit"
    assert reason_code(many_payers) == "payers_28.high.raises"


@pytest.mark.parametrize("reason", [-1, HOLD_OUT + len(REASONS_APART)])
def test_a_number_that_is_no_reason_is_refused(reason: int) -> None:
    with pytest.raises(ValueError, match=f"there is no reason {reason}"):
        reason_text(reason)


def test_every_reason_apart_has_a_code_of_its_own() -> None:
    assert sorted(REASONS_APART) == list(range(HOLD_OUT, HOLD_OUT + len(REASONS_APART)))
    assert len({reason_code(reason) for reason in REASONS_APART}) == len(REASONS_APART)


def test_a_large_volume_is_the_first_reason_of_a_large_limit() -> None:
    code, share = reasons_for(STEADY_STALL | {"net_28": 120_000 * 100.0})[0]
    assert code == "net_28.high.raises"
    assert share == pytest.approx(3.0, rel=0.02)  # four times the ordinary volume


def test_a_short_tenure_holds_a_good_shop_back() -> None:
    codes = [code for code, _ in reasons_for(STEADY_STALL | {"tenure_days": 5})]
    assert "tenure_days.low.lowers" in codes


def test_beyond_the_cut_off_the_reasons_are_what_speaks_against_the_merchant() -> None:
    codes = [code for code, _ in reasons_for(FADING_SHOP | {"silence_days": 9})]
    assert "silence_days.high.lowers" in codes
    assert "trend.low.lowers" in codes


@given(feature_dicts())
def test_reasons_are_three_different_features_with_finite_effects_the_strongest_first(
    features: dict[str, float],
) -> None:
    given_reasons = reasons_for(features)
    assert len({code.split(".")[0] for code, _ in given_reasons}) == 3
    strengths = [abs(np.log1p(share)) for _, share in given_reasons]
    assert strengths == sorted(strengths, reverse=True)
    for code, share in given_reasons:
        assert -0.96 < share < 19.1
        assert code.endswith("raises" if share >= 0 else "lowers")


@given(feature_dicts(), st.sampled_from(FEATURE_NAMES))
def test_an_absent_figure_is_called_absent(features: dict[str, float], name: str) -> None:
    absent = features | {name: float("nan")}
    for code, _ in reasons_for(absent):
        assert code.startswith(f"{name}.absent") == (code.split(".")[0] == name)
