"""The limit rules once more, in plain Python over names, to be read beside docs/limits.md."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from features.hashing import hash_of
from scorers.scorecard import Transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scorers.policy import Factor, Policy
    from scorers.scorecard import Scorecard


U64 = 2**64


def known(value: float) -> bool:
    return not (math.isnan(value) or math.isinf(value))


def model_probability(features: Mapping[str, float], scorecard: Scorecard) -> float:
    log_odds = scorecard.bias
    for entry in scorecard.features:
        value = features[entry.feature]
        if not known(value):
            z = entry.absent
        else:
            if entry.transform is Transform.LOG1P:
                value = math.log1p(value) if value > 0 else 0.0
            z = (value - entry.mean) / entry.scale
            if z > entry.clip:
                z = entry.clip
            if z < -entry.clip:
                z = -entry.clip
        log_odds += entry.weight * z
    return 1 / (1 + math.exp(-log_odds))


def model_factor(value: float, factor: Factor, *, logarithmic: bool) -> float:
    if not known(value):
        return (1 + factor.floor) / 2
    worst, best = factor.worst, factor.best
    if logarithmic:
        value = math.log1p(value) if value > 0 else 0.0
        worst, best = math.log1p(worst), math.log1p(best)
    share = (value - worst) / (best - worst)
    if share < 0:
        share = 0
    if share > 1:
        share = 1
    return factor.floor + (1 - factor.floor) * share


def model_target(features: Mapping[str, float], pd: float, policy: Policy) -> float:
    net = features["net_28"]
    if not known(net) or net <= 0 or pd >= policy.pd_cut_off:
        return 0.0
    return (
        policy.advance_rate
        * net
        * (1 - (1 - policy.pd_floor) * (pd / policy.pd_cut_off))
        * model_factor(features["tenure_days"], policy.tenure_days, logarithmic=False)
        * model_factor(features["active_days_28"], policy.active_days_28, logarithmic=False)
        * model_factor(features["payers_28"], policy.payers_28, logarithmic=True)
        * model_factor(
            features["largest_payer_share"], policy.largest_payer_share, logarithmic=False
        )
        * model_factor(features["volatility_28"], policy.volatility_28, logarithmic=False)
    )


def model_wanted(
    features: Mapping[str, float], pd: float, limit: int, limit_version: int, policy: Policy
) -> int:
    was_cut_to_nothing = limit == 0 and limit_version > 0
    bar = policy.pd_cut_off * (1 - policy.pd_band) if was_cut_to_nothing else policy.pd_cut_off
    if pd >= bar:
        return 0
    amount = model_target(features, pd, policy)
    needed = 1.0 if limit == 0 else policy.starter_keep
    if (
        features["payments_28"] >= needed * policy.starter_payments
        and features["payers_28"] >= needed * policy.starter_payers
        and features["active_days_28"] >= needed * policy.starter_days
        and amount < policy.starter_amount
    ):
        amount = float(policy.starter_amount)
    if amount > policy.cap:
        amount = float(policy.cap)
    return math.floor(amount / policy.step) * policy.step


def model_held_out(merchant_id: bytes, policy: Policy) -> bool:
    x = hash_of(merchant_id) ^ hash_of(b"duoshou hold-out")
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % U64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % U64
    x ^= x >> 31
    return x // 2**11 < policy.hold_out_share * 2**53


def model_constant(
    features: Mapping[str, float], pd: float, limit: int, limit_version: int, policy: Policy
) -> int:
    if pd >= policy.pd_cut_off:
        return 0
    if limit > 0:
        return policy.starter_amount
    if limit_version > 0 and pd >= policy.pd_cut_off * (1 - policy.pd_band):
        return 0
    enough = (
        features["payments_28"] >= policy.starter_payments
        and features["payers_28"] >= policy.starter_payers
        and features["active_days_28"] >= policy.starter_days
    )
    return policy.starter_amount if enough else 0


def model_settle(
    whole: int, limit: int, limit_version: int, raised_at: int, as_of: int, policy: Policy
) -> tuple[int, bool]:
    cooling_down = limit_version > 0 and as_of < raised_at + policy.cool_down_ms
    return (limit, True) if whole > limit and cooling_down else (whole, False)


def model_decide(
    whole: int, limit: int, limit_version: int, raised_at: int, as_of: int, policy: Policy
) -> tuple[int, bool]:
    def inside_dead_band(change: int, of: int) -> bool:
        return change <= policy.step or change <= math.floor(policy.dead_band * of)

    if whole == limit:
        return limit, False
    if whole < limit:
        no_wavering = whole == 0 or limit > policy.cap
        return (whole, False) if no_wavering or not inside_dead_band(limit - whole, limit) else (
            limit, False)  # fmt: skip
    if inside_dead_band(whole - limit, limit):
        return limit, False
    if limit_version > 0 and as_of < raised_at + policy.cool_down_ms:
        return limit, True
    raised = min(whole, limit + policy.raise_step)
    return raised, whole > raised and not inside_dead_band(whole - raised, raised)
