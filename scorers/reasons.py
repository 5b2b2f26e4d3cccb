"""Reasons: which of a merchant's figures moved its limit most, in plain words.

Each feature's effect is the factor by which it moves the limit, against a merchant who is
ordinary in this one respect (the scorecard's mean). It has three parts, added as logarithms: the
volume itself, the policy's factor, and the feature's part in the probability of default times
how much the limit answers to that.

No feature moves the limit of a merchant in the hold-out: its reasons say so, and name none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from features.compiler import kernel
from scorers.limits import FACTOR_FEATURES, NET_28, factor_of, pd_factor
from scorers.scorecard import FEATURE_NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scorers.limits import PolicyArgs
    from scorers.scorecard import Weights

REASONS_GIVEN = 3

# Effects are cut here, as logarithms: a twentieth, or twenty-fold.
LARGEST_EFFECT = 3.0

NO_REASON = -1
"""In the places of an update that has fewer reasons."""
HOLD_OUT = 6 * len(FEATURE_NAMES)
CUT_OFF = HOLD_OUT + 1
CLOSED = HOLD_OUT + 2
WITHDRAWN = HOLD_OUT + 3
POLICY_ENDED = HOLD_OUT + 4
STANDING = HOLD_OUT + 5
OF_THE_MONTH = HOLD_OUT + 6
REASONS_APART = {
    HOLD_OUT: (
        "hold_out",
        "Belongs to the hold-out, merchants drawn by lot whose limit does not follow payments",
    ),
    CUT_OFF: (
        "pd_cut_off",
        "The probability of default has reached the policy's cut-off: ends the limit",
    ),
    CLOSED: ("closed", "The merchant has closed: ends the limit"),
    WITHDRAWN: ("withdrawn", "The merchant has withdrawn from this product: ends the limit"),
    POLICY_ENDED: ("policy_ended", "The lender's policy is no longer valid: ends the limit"),
    OF_THE_MONTH: ("month", "Follows the payments of this month and the last one"),
    STANDING: ("standing", "How the merchant pays back what it owes changes the limit"),
}
"""Code and sentence of the reasons that are no feature."""

LOW, HIGH, ABSENT = 0, 1, 2
LEVEL_NAMES = ("low", "high", "absent")


class Phrases(NamedTuple):
    """What is said of a feature below and above the ordinary, and when it is absent."""

    low: str
    high: str
    absent: str


PHRASES: dict[str, Phrases] = {
    "tenure_days": Phrases(
        "Has collected payments for a short time only",
        "Has collected payments for a long time",
        "Has not collected a payment yet",
    ),
    "active_days_28": Phrases(
        "Collected payments on few days of the last 28",
        "Collected payments on many days of the last 28",
        "Nothing is known of the days with payments",
    ),
    "net_28": Phrases(
        "Collected little in the last 28 days",
        "Collected much in the last 28 days",
        "Nothing is known of the last 28 days",
    ),
    "net_7": Phrases(
        "Collected little in the last 7 days",
        "Collected much in the last 7 days",
        "Nothing is known of the last 7 days",
    ),
    "payments_28": Phrases(
        "Received few payments in the last 28 days",
        "Received many payments in the last 28 days",
        "Nothing is known of the number of payments",
    ),
    "payments_24h": Phrases(
        "Received few payments in the last 24 hours",
        "Received many payments in the last 24 hours",
        "Nothing is known of the last 24 hours",
    ),
    "mean_day_net_28": Phrases(
        "Collects little on an average day",
        "Collects much on an average day",
        "No average day is known yet",
    ),
    "volatility_28": Phrases(
        "Income is steady from day to day",
        "Income varies much from day to day",
        "Too little income to tell how steady it is",
    ),
    "trend": Phrases(
        "Collected less in the last week than in the weeks before",
        "Collected more in the last week than in the weeks before",
        "Too new for a trend",
    ),
    "payers_7": Phrases(
        "Payments of the last week came from few different payers",
        "Payments of the last week came from many different payers",
        "Nothing is known of the payers of the last week",
    ),
    "payers_28": Phrases(
        "Payments came from few different payers",
        "Payments came from many different payers",
        "Nothing is known of the payers",
    ),
    "largest_payer_share": Phrases(
        "No single payer stands out",
        "One payer made a large share of the payments",
        "Nothing is known of the largest payer",
    ),
    "longest_gap_days": Phrases(
        "Has had no long break between payments",
        "Has had a long break between payments",
        "Too few payments to know of a break",
    ),
    "silence_days": Phrases(
        "Received a payment just now",
        "Has received no payment for some days",
        "Has never received a payment",
    ),
    "night_share": Phrases(
        "Few payments came at night",
        "Many payments came at night",
        "Nothing is known of payments at night",
    ),
    "credit_share": Phrases(
        "Few payments were funded by credit",
        "Many payments were funded by credit",
        "Nothing is known of how payments were funded",
    ),
    "refund_share": Phrases(
        "Few payments were refunded",
        "Many payments were refunded",
        "Nothing is known of refunds",
    ),
    "chargeback_share": Phrases(
        "No more chargebacks than usual",
        "More chargebacks than usual",
        "Nothing is known of chargebacks",
    ),
    "mean_ticket": Phrases(
        "Payments are small",
        "Payments are large",
        "No average payment is known yet",
    ),
    "ticket_spread": Phrases(
        "Payments are much alike in amount",
        "Payments differ in amount as real sales do",
        "Too few payments to compare their amounts",
    ),
    "mean_month_net": Phrases(
        "Collects little in an average month",
        "Collects much in an average month",
        "No average month is known yet",
    ),
    "mean_month_payments": Phrases(
        "Receives few payments in an average month",
        "Receives many payments in an average month",
        "No average month is known yet",
    ),
    "refund_share_ever": Phrases(
        "Has refunded little since the first payment",
        "Has refunded much since the first payment",
        "Nothing is known of refunds since the first payment",
    ),
    "outflow_share": Phrases(
        "Spends a small part of what comes in",
        "Spends nearly all that comes in",
        "Nothing is known of what is spent",
    ),
    "lowest_balance_56": Phrases(
        "The account was nearly empty in the last weeks",
        "The account was never nearly empty in the last weeks",
        "Nothing is known of the account in the last weeks",
    ),
    "lowest_balance": Phrases(
        "The account has been nearly empty before",
        "The account has never been nearly empty",
        "Nothing is known of the account",
    ),
}


def reason_code(reason: int) -> str:
    """Return a reason's code, `<feature>.<low|high|absent>.<raises|lowers>`.

    Those that are no feature are in `REASONS_APART`.

    Raises:
        ValueError: there is no such reason.

    >>> reason_code(0)
    'tenure_days.low.lowers'
    """
    if reason in REASONS_APART:
        return REASONS_APART[reason][0]
    feature, level, raises = _parts(reason)
    direction = "raises" if raises else "lowers"
    return f"{FEATURE_NAMES[feature]}.{LEVEL_NAMES[level]}.{direction}"


def reason_text(reason: int) -> str:
    """Return a reason as a sentence.

    Raises:
        ValueError: there is no such reason.

    >>> reason_text(0)
    'Has collected payments for a short time only: lowers the limit'
    """
    if reason in REASONS_APART:
        return REASONS_APART[reason][1]
    feature, level, raises = _parts(reason)
    direction = "raises" if raises else "lowers"
    return f"{PHRASES[FEATURE_NAMES[feature]][level]}: {direction} the limit"


def _parts(reason: int) -> tuple[int, int, int]:
    if not 0 <= reason < 6 * len(FEATURE_NAMES):
        raise ValueError(f"there is no reason {reason}")
    return reason // 6, reason % 6 // 2, reason % 2


@kernel
def _pd_answer(pd: float, policy: PolicyArgs) -> float:
    """Return by how much the limit's logarithm falls for one unit of log-odds of default.

    At most 1, and 1 from the cut-off on, where nothing but the PD counts any more.
    """
    factor = pd_factor(pd, policy)
    if factor <= 0.0:
        return 1.0
    slope = (1.0 - policy.pd_floor) / policy.pd_cut_off
    return min(slope * pd * (1.0 - pd) / factor, 1.0)


@kernel
def effects(
    vector: NDArray[np.float64],
    contributions: NDArray[np.float64],
    pd: float,
    weights: Weights,
    policy: PolicyArgs,
    out: NDArray[np.float64],
) -> None:
    """Fill `out` with the logarithm of what each feature does to the limit, within +-3.

    Args:
        vector: the merchant's features, in the order of `FEATURES`.
        contributions: what each adds to the log-odds of default (`probability`).
        pd: the probability of default.
        weights: the scorecard.
        policy: the policy.
        out: one entry a feature; above 0 raises the limit.
    """
    answer = _pd_answer(pd, policy)
    for feature in range(len(out)):
        out[feature] = -answer * contributions[feature]
    for factor in range(len(FACTOR_FEATURES)):
        feature = FACTOR_FEATURES[factor]
        ordinary = factor_of(_ordinary(feature, weights), factor, policy)
        out[feature] += math.log(factor_of(vector[feature], factor, policy) / ordinary)
    # One step more on both sides: the limit of somebody without volume is 0, not its logarithm.
    collected = vector[NET_28] if math.isfinite(vector[NET_28]) else 0.0
    usual = max(_ordinary(NET_28, weights), 0.0)
    out[NET_28] += math.log((max(collected, 0.0) + policy.step) / (usual + policy.step))
    for feature in range(len(out)):
        out[feature] = min(max(out[feature], -LARGEST_EFFECT), LARGEST_EFFECT)


@kernel
def _ordinary(feature: int, weights: Weights) -> float:
    """Return the ordinary merchant's value of a feature, in the feature's own unit."""
    mean = weights.mean[feature]
    return math.expm1(min(mean, 700.0)) if weights.logarithm[feature] else mean


@kernel
def strongest(
    vector: NDArray[np.float64],
    effect: NDArray[np.float64],
    weights: Weights,
    reasons_out: NDArray[np.int16],
    effects_out: NDArray[np.float64],
) -> None:
    """Fill in the reasons with the strongest effects, the strongest first.

    Among equals the feature that comes first in `FEATURES` wins.

    Args:
        vector: the merchant's features, in the order of `FEATURES`.
        effect: logarithm of what each does to the limit (`effects`).
        weights: the scorecard.
        reasons_out: filled with reason numbers (`reason_code`, `reason_text`).
        effects_out: filled with the share by which each moves the limit: -0.25 takes off a
            quarter, 0.5 adds half; between -0.951 and 19.1.
    """
    for place in range(len(reasons_out)):
        best = -1
        for feature in range(len(effect)):
            taken = False
            for earlier in range(place):
                taken = taken or reasons_out[earlier] // 6 == feature
            if not taken and (best < 0 or abs(effect[feature]) > abs(effect[best])):
                best = feature
        if not math.isfinite(vector[best]):
            level = ABSENT
        elif vector[best] > _ordinary(best, weights):
            level = HIGH
        else:
            level = LOW
        raises = 1 if effect[best] >= 0.0 else 0
        reasons_out[place] = best * 6 + level * 2 + raises
        effects_out[place] = math.expm1(effect[best])


@kernel
def of_the_hold_out(
    limit: int,
    pd: float,
    policy: PolicyArgs,
    reasons_out: NDArray[np.int16],
    effects_out: NDArray[np.float64],
) -> None:
    """Fill in the reasons of an update in the hold-out: that, and the cut-off when it ended.

    Args:
        limit: limit from now on, minor units.
        pd: the probability of default.
        policy: the policy.
        reasons_out: filled with reason numbers, `NO_REASON` in the places left over.
        effects_out: filled with 0, and -1 for the cut-off, which takes off everything.
    """
    for place in range(len(reasons_out)):
        reasons_out[place] = NO_REASON
        effects_out[place] = 0.0
    reasons_out[0] = HOLD_OUT
    if limit == 0 and not pd < policy.pd_cut_off:
        reasons_out[1] = CUT_OFF
        effects_out[1] = -1.0


@kernel
def put_first(
    apart: int, effect: float, reasons_out: NDArray[np.int16], effects_out: NDArray[np.float64]
) -> None:
    """Put a reason that is no feature before the others; one that ends a limit stands alone.

    Args:
        apart: its number.
        effect: share by which it moves the limit; -1 ends it.
        reasons_out: reason numbers.
        effects_out: their effects.
    """
    for place in range(len(reasons_out) - 1, 0, -1):
        reasons_out[place] = NO_REASON if effect <= -1.0 else reasons_out[place - 1]
        effects_out[place] = 0.0 if effect <= -1.0 else effects_out[place - 1]
    reasons_out[0] = apart
    effects_out[0] = effect
