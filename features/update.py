"""What one event does to a row.

Each kind has a tile: that of its own time, or, for the kinds that take something back, that of
the payment where its time is given. Tiles are signed sums, so a refund may come before its
payment: the order of events with the same times does not matter to them. Only the lowest balance
is that of the order in which they came.
"""

from typing import Final

import numpy as np

from features.calendar import DAY_MS, HOUR_MS, Zone, local_ms
from features.compiler import inlined, kernel
from features.events import Funding, Kind
from features.largest import feed
from features.layout import DAYS, HOURS, WINDOW
from features.payers import see
from features.roll import balance, roll
from features.views import Row
from features.wide import add, multiply

TILE_LIMIT: Final = 2**57
"""No tile's sum may reach this, minor units: twenty-eight of them still fit 64 bits."""
LIFETIME_LIMIT: Final = 2**62
"""No lifetime sum may reach this, minor units."""
COUNT_LIMIT: Final = 2**31 - 1
"""No tile's count may pass this."""

_PAYMENT: Final = int(Kind.PAYMENT)
_REFUND: Final = int(Kind.REFUND)
_CHARGEBACK: Final = int(Kind.CHARGEBACK)
_REVERSED: Final = int(Kind.CHARGEBACK_REVERSED)
_VOID: Final = int(Kind.VOID)
_OUTFLOW: Final = int(Kind.OUTFLOW)
_UNKNOWN: Final = int(Funding.UNKNOWN)
_CREDIT: Final = int(Funding.CREDIT)
_NIGHT_BEGINS: Final = 23
_NIGHT_ENDS: Final = 6
_NO_PAYER = np.uint64(0)


@kernel
def tile_time(kind: int, occurred_at: int, original_at: int) -> int:
    """Return the time, epoch ms, whose tile an event belongs to.

    A payment that is said to be later than what takes it back is taken for as late.
    """
    if kind in (_PAYMENT, _OUTFLOW) or original_at < 0:
        return occurred_at
    return min(original_at, occurred_at)


@kernel
def _net_change(kind: int, amount: int) -> int:
    """Return by how much the event changes what the merchant has collected."""
    return amount if kind in (_PAYMENT, _REVERSED) else -amount


@inlined
def would_overflow(
    row: Row, kind: int, amount: int, occurred_at: int, original_at: int, zone: Zone
) -> bool:
    """Return whether the event would bring a sum of `row` to its limit.

    Tiles stay below 2**57 minor units, lifetime sums below 2**62, either side of 0. Nothing is
    changed; the row need not be rolled to the event.
    """
    if kind == _OUTFLOW:
        return bool(row.total_outflow + amount >= LIFETIME_LIMIT)
    local = local_ms(tile_time(kind, occurred_at, original_at), zone)
    day, hour = local // DAY_MS, local // HOUR_MS
    age = int(row.day) - day
    hour_age = int(row.hour) - hour
    block_age = int(row.day) // WINDOW - day // WINDOW
    change = _net_change(kind, amount)
    if 0 <= age < DAYS:
        if abs(row.day_net[day % DAYS] + change) >= TILE_LIMIT:
            return True
        if row.day_payments[day % DAYS] >= COUNT_LIMIT:
            return True
    block = block_age if 0 <= block_age <= 1 else -1
    if kind in (_PAYMENT, _VOID):
        if block >= 0 and abs(row.block_amount[block] + change) >= TILE_LIMIT:
            return True
        if block >= 0 and row.block_payments[block] >= COUNT_LIMIT:
            return True
        if 0 <= hour_age < HOURS and abs(row.hour_amount[hour % HOURS] + change) >= TILE_LIMIT:
            return True
        return bool(
            abs(row.total_amount + change) >= LIFETIME_LIMIT
            or row.top_total + amount >= LIFETIME_LIMIT
        )
    if block >= 0 and kind == _REFUND:
        if abs(row.block_refunded[block] - change) >= TILE_LIMIT:
            return True
    elif block >= 0 and abs(row.block_charged_back[block] - change) >= TILE_LIMIT:
        return True
    return bool(abs(row.total_refunded - change) >= LIFETIME_LIMIT)


@inlined
def _count_ticket(row: Row, sign: int, amount: int, local: int, funding: int) -> None:
    """Add a payment to the tiles of its local time (sign 1), or take it out again (-1)."""
    day, hour = local // DAY_MS, local // HOUR_MS
    change = sign * amount
    if 0 <= int(row.day) - day < DAYS:
        row.day_net[day % DAYS] += change
        row.day_payments[day % DAYS] += sign
    if 0 <= int(row.hour) - hour < HOURS:
        row.hour_amount[hour % HOURS] += change
        row.hour_payments[hour % HOURS] += sign
    block = int(row.day) // WINDOW - day // WINDOW
    if 0 <= block <= 1:
        row.block_payments[block] += sign
        row.block_amount[block] += change
        if hour % 24 >= _NIGHT_BEGINS or hour % 24 < _NIGHT_ENDS:
            row.block_night[block] += sign
        if funding != _UNKNOWN:
            row.block_funded[block] += sign
            if funding == _CREDIT:
                row.block_credit[block] += sign
        high, low = multiply(amount, amount)
        high, low = add(
            int(row.block_square_high[block]),
            int(row.block_square_low[block]),
            sign * high,
            sign * low,
        )
        row.block_square_high[block] = high
        row.block_square_low[block] = low
    row.total_payments += sign
    row.total_amount += change


@inlined
def _follow(row: Row, occurred_at: int, day: int) -> None:
    """Note when a payment came: first, last, and the gap before it."""
    last = int(row.last_at)
    if occurred_at > last:
        block = int(row.day) // WINDOW - day // WINDOW
        if last >= 0 and 0 <= block <= 1:
            row.block_gap[block] = max(int(row.block_gap[block]), occurred_at - last)
        row.last_at = occurred_at
        row.last_day = day
    if row.first_at < 0 or occurred_at < row.first_at:
        row.first_at = occurred_at
        row.first_day = day


@inlined
def _take_back(row: Row, kind: int, amount: int, day: int) -> None:
    """Take a refund or chargeback out of the tiles of its payment's day, or put one back."""
    sign = -1 if kind == _REVERSED else 1
    change = sign * amount
    if 0 <= int(row.day) - day < DAYS:
        row.day_net[day % DAYS] -= change
        row.day_refunds[day % DAYS] += sign
    block = int(row.day) // WINDOW - day // WINDOW
    if 0 <= block <= 1:
        if kind == _REFUND:
            row.block_refunded[block] += change
        else:
            row.block_charged_back[block] += change
    row.total_refunds += sign
    row.total_refunded += change


@inlined
def _note_balance(row: Row) -> None:
    """Keep the lowest balance, ever and of the block."""
    left = balance(row)
    row.balance_low = min(int(row.balance_low), left)
    row.block_balance_low[0] = min(int(row.block_balance_low[0]), left)


@inlined
def apply_event(
    row: Row,
    kind: int,
    amount: int,
    occurred_at: int,
    original_at: int,
    funding: int,
    payer_hash: np.uint64,
    offset: int,
    zone: Zone,
) -> None:
    """Roll `row` to an accepted event, and write the event's tiles.

    Sets `row.offset` and `row.dirty`. Currency, limit and when the row is due are the
    caller's.

    Args:
        row: of the merchant.
        kind: `Kind`, no tick.
        amount: minor units, above 0.
        occurred_at: epoch ms, at least 0.
        original_at: when the payment occurred that this takes back, epoch ms; -1 when unknown.
        funding: `Funding`.
        payer_hash: 0 when the payer is unknown.
        offset: of the record in `payments`.
        zone: of the merchant.
    """
    roll(row, occurred_at, zone)
    local = local_ms(tile_time(kind, occurred_at, original_at), zone)
    day = local // DAY_MS
    row.touched_day = max(int(row.touched_day), day)
    if kind == _PAYMENT:
        _count_ticket(row, 1, amount, local, funding)
        _follow(row, occurred_at, day)
        if payer_hash != _NO_PAYER:
            see(row, payer_hash, day)
            if 0 <= int(row.day) // WINDOW - day // WINDOW <= 1:
                feed(row, payer_hash, amount)
    elif kind == _VOID:
        _count_ticket(row, -1, amount, local, funding)
    elif kind == _OUTFLOW:
        row.total_outflow += amount
    else:
        _take_back(row, kind, amount, day)
    _note_balance(row)
    row.offset = offset
    row.dirty = 1
