"""Feature vectors of merchants that a lender would recognise, and random ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from scorers.scorecard import FEATURE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

YUAN = 100

STEADY_STALL: dict[str, float] = {
    "tenure_days": 200,
    "active_days_28": 24,
    "net_28": 30_000 * YUAN,
    "net_7": 7_500 * YUAN,
    "payments_28": 800,
    "payments_24h": 30,
    "mean_day_net_28": 30_000 * YUAN / 28,
    "volatility_28": 0.6,
    "trend": 0.0,
    "payers_7": 70,
    "payers_28": 180,
    "largest_payer_share": 0.08,
    "longest_gap_days": 2,
    "silence_days": 0,
    "night_share": 0.05,
    "credit_share": 0.15,
    "refund_share": 0.01,
    "chargeback_share": 0.0,
    "mean_ticket": 38 * YUAN,
    "ticket_spread": 0.9,
    "mean_month_net": 30_000 * YUAN,
    "mean_month_payments": 800,
    "refund_share_ever": 0.01,
    "outflow_share": math.nan,
    "lowest_balance_56": math.nan,
    "lowest_balance": math.nan,
}

NEW_STALL = STEADY_STALL | {
    "tenure_days": 3,
    "active_days_28": 3,
    "net_28": 1_200 * YUAN,
    "net_7": 1_200 * YUAN,
    "payments_28": 30,
    "mean_day_net_28": 1_200 * YUAN / 28,
    "volatility_28": 0.8,
    "trend": math.nan,
    "payers_7": 25,
    "payers_28": 25,
    "longest_gap_days": 1,
}

FADING_SHOP = STEADY_STALL | {
    "net_28": 9_000 * YUAN,
    "net_7": 400 * YUAN,
    "active_days_28": 12,
    "trend": -0.8,
    "payers_7": 3,
    "silence_days": 5,
    "volatility_28": 1.6,
}

REFUND_HEAVY_SHOP = STEADY_STALL | {"refund_share": 0.15, "chargeback_share": 0.01}


def vector_of(features: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([features[name] for name in FEATURE_NAMES], np.float64)


COUNTS = {
    "active_days_28": 28,
    "payers_7": 10_000,
    "payers_28": 10_000,
    "payments_28": 100_000,
    "payments_24h": 10_000,
}
SHARES = {"largest_payer_share", "night_share", "credit_share", "refund_share", "chargeback_share"}
SHARES |= {"refund_share_ever"}


def _values_of(name: str) -> st.SearchStrategy[float]:
    if name in COUNTS:
        return st.integers(0, COUNTS[name]).map(float)
    if name in SHARES:
        return st.floats(0, 1) | st.just(math.nan)
    if name.startswith("net"):
        return st.integers(0, 10**10).map(float)
    return st.floats(0, 1e4) | st.just(math.nan)


def feature_dicts() -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries({name: _values_of(name) for name in FEATURE_NAMES})
