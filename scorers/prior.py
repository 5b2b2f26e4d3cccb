"""The built-in scorecard: what an experienced lender would assume before any loan has ended.

It presumes good. An ordinary stall defaults with a probability of about 2 %, and being new or
small never adds up to the cut-off of the built-in policy; fading away, many refunds or
chargebacks and a few payers who pay everything do.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scorers.scorecard import FeatureWeight, Scorecard, Transform

IDENTITY, LOG1P = Transform.IDENTITY, Transform.LOG1P


class PriorEntry(NamedTuple):
    """A weight of the built-in scorecard and why it is what it is."""

    weight: FeatureWeight
    why: str


def _of_amount(yuan: float) -> float:
    """Return ln(1 + amount in fen)."""
    return math.log1p(yuan * 100)


def _entry(
    feature: str,
    weight: float,
    mean: float,
    scale: float,
    why: str,
    *,
    transform: Transform = IDENTITY,
    clip: float = 3.0,
    absent: float = 0.0,
) -> PriorEntry:
    entry = FeatureWeight(feature, weight, round(mean, 2), scale, transform, clip, absent)
    return PriorEntry(entry, why)


ORDINARY_LOG_ODDS = -3.9  # a probability of 2 %

PRIOR: tuple[PriorEntry, ...] = (
    _entry(
        "tenure_days", -0.20, math.log1p(180), 1.2, transform=LOG1P, clip=2.5,
        why="A stall that has lasted half a year will likely last another; being new is no fault, "
        "so the weight is small.",
    ),
    _entry(
        "active_days_28", -0.15, 22, 6, clip=2.5,
        why="Trading on most days is a habit that repays loans.",
    ),
    _entry(
        "net_28", -0.10, _of_amount(30_000), 1.5, transform=LOG1P, clip=2.5,
        why="Larger shops survive a bad month more often; the limit follows the volume anyway.",
    ),
    _entry(
        "net_7", 0.0, _of_amount(7_500), 1.5, transform=LOG1P,
        why="`trend` says better what the last week tells; left for learning.",
    ),
    _entry(
        "payments_28", -0.05, math.log1p(800), 1.3, transform=LOG1P, clip=2.5,
        why="Many small payments are steadier than a few large ones.",
    ),
    _entry(
        "payments_24h", 0.0, math.log1p(30), 1.3, transform=LOG1P,
        why="One day says little that `silence_days` does not; left for learning.",
    ),
    _entry(
        "mean_day_net_28", 0.0, _of_amount(1_100), 1.5, transform=LOG1P,
        why="The same figure as `net_28`, once more; left for learning.",
    ),
    _entry(
        "volatility_28", 0.15, 0.7, 0.7,
        why="Income that jumps from day to day leaves days on which an instalment hurts.",
    ),
    _entry(
        "trend", -0.50, 0.0, 0.20,
        why="A last week well below the weeks before it is how a stall fades; growth counts in "
        "favour, up to the clip.",
    ),
    _entry(
        "payers_7", -0.05, math.log1p(60), 1.2, transform=LOG1P, clip=2.5,
        why="Says little beyond the 28 days, but says it sooner.",
    ),
    _entry(
        "payers_28", -0.20, math.log1p(150), 1.2, transform=LOG1P, clip=2.5,
        why="Many customers do not leave all at once, and cannot be invented easily.",
    ),
    _entry(
        "largest_payer_share", 0.30, 0.10, 0.15, clip=4.0,
        why="A shop that lives from one payer falls with that payer, or is paying itself.",
    ),
    _entry(
        "longest_gap_days", 0.15, 2, 3,
        why="Whoever closed for long before may do so again; holidays are ordinary.",
    ),
    _entry(
        "silence_days", 0.60, 0.5, 2.5, clip=4.0,
        why="Days without any payment up to today are the first sign of a shop that has closed "
        "or moved to another code.",
    ),
    _entry(
        "night_share", 0.10, 0.08, 0.15,
        why="Night trade is honest work for many; only almost nothing but nights is unusual.",
    ),
    _entry(
        "credit_share", 0.20, 0.20, 0.20,
        why="Payments funded by credit are how cards are turned into cash.",
    ),
    _entry(
        "refund_share", 0.60, 0.02, 0.04, clip=4.0,
        why="Refunds beyond the usual few are unhappy customers, or sales that never were.",
    ),
    _entry(
        "chargeback_share", 0.60, 0.001, 0.005, clip=4.0,
        why="A chargeback is a dispute that the payer won; more than one in a hundred payments "
        "is rare among the honest.",
    ),
    _entry(
        "mean_ticket", 0.0, _of_amount(38), 1.2, transform=LOG1P,
        why="What is sold does not say who repays; left for learning.",
    ),
    _entry(
        "ticket_spread", -0.05, 0.9, 0.5,
        why="Real baskets differ in price; payments that are all alike are a weak warning.",
    ),
    _entry(
        "mean_month_net", 0.0, _of_amount(30_000), 1.5, transform=LOG1P, clip=5.0,
        why="The size of the business over its whole life; `net_28` says what it is now, and "
        "the limit follows that. Left for learning.",
    ),
    _entry(
        "mean_month_payments", 0.0, math.log1p(800), 1.3, transform=LOG1P, clip=5.0,
        why="The same in payments; left for learning.",
    ),
    _entry(
        "refund_share_ever", 0.0, 0.02, 0.04, clip=4.0,
        why="`refund_share` says it of the last weeks, which matter more; left for learning.",
    ),
    _entry(
        "outflow_share", 0.20, 0.85, 0.15,
        why="Whoever spends nearly all that comes in has nothing left for an instalment.",
    ),
    _entry(
        "lowest_balance_56", -0.40, 0.35, 0.35,
        why="Money that is left on the worst day of the last weeks is what an instalment can be "
        "taken from.",
    ),
    _entry(
        "lowest_balance", -0.30, 0.15, 0.20,
        why="An account that has been empty before may be so again.",
    ),
)  # fmt: skip

BUILT_IN = Scorecard(
    version=0,
    bias=ORDINARY_LOG_ODDS,
    features=tuple(entry.weight for entry in PRIOR),
)
