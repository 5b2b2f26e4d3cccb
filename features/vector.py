"""From a row to its features: one table, one kernel."""

from math import isfinite, nan, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.calendar import DAY_MS
from features.compiler import inlined, kernel
from features.largest import largest
from features.layout import DAYS, HOURS, WINDOW
from features.payers import count
from features.views import Row
from features.wide import add, multiply, to_float

WEEK: Final = 7
_LARGEST_OUTFLOW_SHARE: Final = 4.0
_LEAST_MONTHS: Final = -4.0
_MOST_MONTHS: Final = 100.0
_HALF: Final = 29
_HALF_MASK: Final = 2**_HALF - 1
_CROSS_MASK: Final = 2**30 - 1


class Feature(NamedTuple):
    """One entry of the vector."""

    name: str
    unit: str
    rule: str
    """How it is computed, and over which time."""
    absent: str
    """When there is no value (NaN); empty when there always is one."""


_NO_PAYMENT: Final = "before the first payment"
_NO_TICKETS: Final = "without payments in both blocks"
_NO_OUTFLOW: Final = "before the first outflow, or without net"

FEATURES: Final = (
    Feature("tenure_days", "days", "Local days from the first payment to today", _NO_PAYMENT),
    Feature("active_days_28", "days", "Days with a payment, of the last 28", ""),
    Feature(
        "net_28",
        "minor units",
        "Sum over the last 28 days of each day's net: payments less what was taken back, not"
        " below 0 on any day",
        "",
    ),
    Feature("net_7", "minor units", "The same over the last 7 days", ""),
    Feature("payments_28", "payments", "Payments less voids of the last 28 days", ""),
    Feature(
        "payments_24h",
        "payments",
        "Payments less voids of the current local hour and the 23 before",
        "",
    ),
    Feature(
        "mean_day_net_28",
        "minor units",
        "`net_28` over the days of the 28 since the first payment",
        _NO_PAYMENT,
    ),
    Feature(
        "volatility_28",
        "ratio",
        "Standard deviation over mean of the net of the days of the 28 since the first payment",
        "with fewer than 2 such days, or without net",
    ),
    Feature(
        "trend",
        "ratio, -1 to 1",
        "a: mean net of the last 7 days; b: of those of the 21 before since the first payment;"
        " (a - b) / (a + b)",
        "in the first 7 days, or without net",
    ),
    Feature(
        "payers_7",
        "payers",
        "Distinct payers of the last 7 days, from the sketch: exact while no more than 32 in 28"
        " days, standard error 21 % beyond",
        "",
    ),
    Feature("payers_28", "payers", "The same over the last 28 days", ""),
    Feature(
        "largest_payer_share",
        "ratio, 0 to 1",
        "Largest payer's part of the amount of payments with a known payer, which counts half"
        " after every block; understated by at most 1/7",
        "without such payments in both blocks",
    ),
    Feature(
        "longest_gap_days",
        "days of 24 hours",
        "Longest time without a payment that ended in both blocks, or lasts until now",
        _NO_PAYMENT,
    ),
    Feature(
        "silence_days",
        "days",
        "Local days from the newest payment to today: 0 on its day",
        _NO_PAYMENT,
    ),
    Feature(
        "night_share",
        "ratio, 0 to 1",
        "Payments from 23:00 to 06:00 local, of the payments of both blocks",
        _NO_TICKETS,
    ),
    Feature(
        "credit_share",
        "ratio, 0 to 1",
        "Payments funded by credit, of those of both blocks whose funding is known",
        "when no funding is known",
    ),
    Feature(
        "refund_share",
        "ratio, 0 to 1",
        "Refunded amount over the amount of payments of both blocks, at most 1",
        _NO_TICKETS,
    ),
    Feature(
        "chargeback_share",
        "ratio, 0 to 1",
        "Charged back amount over the amount of payments of both blocks, at most 1",
        _NO_TICKETS,
    ),
    Feature("mean_ticket", "minor units", "Mean payment of both blocks", _NO_TICKETS),
    Feature(
        "ticket_spread",
        "ratio",
        "Standard deviation over mean of the payments of both blocks",
        "with fewer than 2 payments in both blocks",
    ),
    Feature(
        "mean_month_net",
        "minor units",
        "28 times everything ever collected less what was taken back, over the local days since"
        " the first payment and today",
        _NO_PAYMENT,
    ),
    Feature(
        "mean_month_payments",
        "payments",
        "28 times all payments ever less voids, over the same days",
        _NO_PAYMENT,
    ),
    Feature(
        "refund_share_ever",
        "ratio, 0 to 1",
        "All that was ever refunded or charged back over all that was ever paid, at most 1",
        "without payments",
    ),
    Feature(
        "outflow_share",
        "ratio, 0 to 4",
        "All outflows ever over all that was ever collected less what was taken back, at most 4",
        _NO_OUTFLOW,
    ),
    Feature(
        "lowest_balance_56",
        "months of net, -4 to 100",
        "Lowest balance of both blocks over `mean_month_net`; the balance is what was ever"
        " collected less what was taken back less outflows, after each event as it came",
        _NO_OUTFLOW,
    ),
    Feature(
        "lowest_balance",
        "months of net, -4 to 100",
        "The same of the lowest balance ever",
        _NO_OUTFLOW,
    ),
)
"""The vector, in order.

"Last n days" are today and the n - 1 before, in local days of the row's clock. "Both blocks" are
the current block of 28 local days (local day number // 28) and the one before: 28 to 56 days.
"""

FEATURE_COUNT: Final = len(FEATURES)

_PLACES: Final = {feature.name: place for place, feature in enumerate(FEATURES)}
_TENURE: Final = _PLACES["tenure_days"]
_ACTIVE_DAYS: Final = _PLACES["active_days_28"]
_NET_28: Final = _PLACES["net_28"]
_NET_7: Final = _PLACES["net_7"]
_PAYMENTS_28: Final = _PLACES["payments_28"]
_PAYMENTS_24H: Final = _PLACES["payments_24h"]
_MEAN_DAY_NET: Final = _PLACES["mean_day_net_28"]
_VOLATILITY: Final = _PLACES["volatility_28"]
_TREND: Final = _PLACES["trend"]
_PAYERS_7: Final = _PLACES["payers_7"]
_PAYERS_28: Final = _PLACES["payers_28"]
_LARGEST_SHARE: Final = _PLACES["largest_payer_share"]
_LONGEST_GAP: Final = _PLACES["longest_gap_days"]
_SILENCE: Final = _PLACES["silence_days"]
_NIGHT_SHARE: Final = _PLACES["night_share"]
_CREDIT_SHARE: Final = _PLACES["credit_share"]
_REFUND_SHARE: Final = _PLACES["refund_share"]
_CHARGEBACK_SHARE: Final = _PLACES["chargeback_share"]
_MEAN_TICKET: Final = _PLACES["mean_ticket"]
_TICKET_SPREAD: Final = _PLACES["ticket_spread"]
_MEAN_MONTH_NET: Final = _PLACES["mean_month_net"]
_MEAN_MONTH_PAYMENTS: Final = _PLACES["mean_month_payments"]
_REFUND_SHARE_EVER: Final = _PLACES["refund_share_ever"]
_OUTFLOW_SHARE: Final = _PLACES["outflow_share"]
_LOWEST_BALANCE_56: Final = _PLACES["lowest_balance_56"]
_LOWEST_BALANCE: Final = _PLACES["lowest_balance"]


@kernel
def share(part: int, whole: int) -> float:
    """Return part / whole between 0 and 1, and NaN when there is no whole.

    >>> share(1, 4), share(9, 4), share(-1, 4), share(1, 0)
    (0.25, 1.0, 0.0, nan)
    """
    if whole <= 0:
        return nan
    return float(min(max(part, 0), whole)) / float(whole)


@kernel
def spread(tickets: int, amount: int, square_high: int, square_low: int) -> float:
    """Return standard deviation over mean of tickets, from exact sums.

    Args:
        tickets: how many; fewer than 2 have no spread (NaN).
        amount: their sum, below 2**58.
        square_high: sum of their squares, in parts of `wide.multiply`.
        square_low: the lower part.

    >>> spread(2, 4, 0, 1 + 9)
    0.5
    """
    if tickets < 2 or amount <= 0:
        return nan
    # About the whole part of the mean the squares add up to Q - m * (2 S - n m), an exact
    # integer; only the fraction of the mean is left to floats. So nothing cancels.
    whole = amount // tickets
    rest = amount - tickets * whole
    high, low = multiply(whole, amount + rest)
    high, low = add(square_high, square_low, -high, -low)
    squares = to_float(high, low) - float(rest) * float(rest) / float(tickets)
    return sqrt(max(squares, 0.0) / float(tickets)) / (float(amount) / float(tickets))


@inlined
def _by_day(row: Row, out: NDArray[np.float64]) -> None:
    """Write the features of the ring of days.

    Every slot of the ring is looked at, and counts when it is of the window: without branches
    the compiler does several at once. For the same reason the squares are added up in halves of
    29 bits.
    """
    today = int(row.day) % DAYS
    week, net, payments, active = 0, 0, 0, 0
    upper, cross, lower = 0, 0, 0
    for slot in range(DAYS):
        age = today - slot
        age = age + DAYS if age < 0 else age
        day_net = max(int(row.day_net[slot]), 0)
        day_net = day_net if age < WINDOW else 0
        net += day_net
        week += day_net if age < WEEK else 0
        high, low = day_net >> _HALF, day_net & _HALF_MASK
        upper += high * high
        cross += high * low
        lower += low * low
        day_payments = max(int(row.day_payments[slot]), 0)
        day_payments = day_payments if age < WINDOW else 0
        payments += day_payments
        active += 1 if day_payments > 0 else 0
    out[_ACTIVE_DAYS] = active
    out[_NET_28] = net
    out[_NET_7] = week
    out[_PAYMENTS_28] = payments
    out[_MEAN_DAY_NET] = nan
    out[_VOLATILITY] = nan
    out[_TREND] = nan
    if row.first_at >= 0:
        days = min(int(row.day) - int(row.first_day) + 1, WINDOW)
        out[_MEAN_DAY_NET] = float(net) / float(days)
        # upper * 2**58 + cross * 2**30 + lower, as parts of 60 bits.
        high, low = add(upper >> 2, (upper & 3) << 58, cross >> 30, (cross & _CROSS_MASK) << 30)
        high, low = add(high, low, 0, lower)
        out[_VOLATILITY] = spread(days, net, high, low)
        if days > WEEK and net > 0:
            lately = float(week) / float(WEEK)
            before = float(net - week) / float(days - WEEK)
            out[_TREND] = (lately - before) / (lately + before)


@inlined
def _by_block(row: Row, out: NDArray[np.float64]) -> None:
    """Write the features of the two blocks."""
    tickets = int(row.block_payments[0]) + int(row.block_payments[1])
    night = int(row.block_night[0]) + int(row.block_night[1])
    funded = int(row.block_funded[0]) + int(row.block_funded[1])
    credit = int(row.block_credit[0]) + int(row.block_credit[1])
    amount = int(row.block_amount[0]) + int(row.block_amount[1])
    refunded = int(row.block_refunded[0]) + int(row.block_refunded[1])
    charged = int(row.block_charged_back[0]) + int(row.block_charged_back[1])
    high, low = add(
        int(row.block_square_high[0]),
        int(row.block_square_low[0]),
        int(row.block_square_high[1]),
        int(row.block_square_low[1]),
    )
    out[_NIGHT_SHARE] = share(night, tickets)
    out[_CREDIT_SHARE] = share(credit, funded)
    out[_REFUND_SHARE] = share(refunded, amount)
    out[_CHARGEBACK_SHARE] = share(charged, amount)
    out[_MEAN_TICKET] = float(amount) / float(tickets) if tickets > 0 and amount > 0 else nan
    out[_TICKET_SPREAD] = spread(tickets, amount, high, low)


@inlined
def _months(amount: int, month: float) -> float:
    """Return an amount in months of net, within bounds."""
    return min(max(float(amount) / month, _LEAST_MONTHS), _MOST_MONTHS)


@inlined
def _ever(row: Row, out: NDArray[np.float64]) -> None:
    """Write the features of everything since the first event."""
    out[_MEAN_MONTH_NET] = nan
    out[_MEAN_MONTH_PAYMENTS] = nan
    out[_OUTFLOW_SHARE] = nan
    out[_LOWEST_BALANCE_56] = nan
    out[_LOWEST_BALANCE] = nan
    amount = int(row.total_amount)
    out[_REFUND_SHARE_EVER] = share(int(row.total_refunded), amount)
    if row.first_at < 0:
        return
    months = float(int(row.day) - int(row.first_day) + 1) / float(WINDOW)
    net = float(max(amount - int(row.total_refunded), 0))
    out[_MEAN_MONTH_NET] = net / months
    out[_MEAN_MONTH_PAYMENTS] = float(max(int(row.total_payments), 0)) / months
    if row.total_outflow > 0 and net > 0.0:
        out[_OUTFLOW_SHARE] = min(float(row.total_outflow) / net, _LARGEST_OUTFLOW_SHARE)
        low = min(int(row.block_balance_low[0]), int(row.block_balance_low[1]))
        out[_LOWEST_BALANCE_56] = _months(low, net / months)
        out[_LOWEST_BALANCE] = _months(int(row.balance_low), net / months)


def named(vector: NDArray[np.float64]) -> dict[str, float | None]:
    """Return a vector's features by name; None where absent."""
    return {
        feature.name: value if isfinite(value) else None
        for feature, value in zip(FEATURES, vector.tolist(), strict=True)
    }


@inlined
def compute(row: Row, out: NDArray[np.float64]) -> None:
    """Write the features of `row`, as of its clock, to `out[0:FEATURE_COUNT]`.

    Every value is finite, or NaN where `FEATURES` says that it is absent.
    """
    _by_day(row, out)
    _by_block(row, out)
    _ever(row, out)
    hours = 0
    for slot in range(HOURS):
        hours += max(int(row.hour_payments[slot]), 0)
    out[_PAYMENTS_24H] = hours
    out[_PAYERS_7], out[_PAYERS_28] = count(row, WEEK)
    out[_LARGEST_SHARE] = share(largest(row), int(row.top_total))
    if row.first_at < 0:
        out[_TENURE] = nan
        out[_LONGEST_GAP] = nan
        out[_SILENCE] = nan
    else:
        day = int(row.day)
        out[_TENURE] = day - int(row.first_day)
        out[_SILENCE] = day - int(row.last_day)
        gap = max(int(row.block_gap[0]), int(row.block_gap[1]))
        gap = max(gap, int(row.clock) - int(row.last_at))
        out[_LONGEST_GAP] = float(gap) / DAY_MS
