"""What the passing of time does to a row: tiles that leave a ring or a block are emptied.

Rolling in steps or at once leads to the same row.
"""

from typing import Final

from features.calendar import DAY_MS, HOUR_MS, NEVER, Zone, local_ms
from features.compiler import inlined
from features.largest import fade
from features.layout import DAYS, HOURS, WINDOW
from features.payers import expire, forget_all
from features.views import Row

MOST: Final = 2**62
"""Where the lifetime excess stays, minor units: it must not wrap."""


@inlined
def balance(row: Row) -> int:
    """Return what events have left of the merchant's money, minor units; it may be below 0."""
    collected = int(row.total_amount) - int(row.total_refunded)
    return min(max(collected, -MOST), MOST) - int(row.total_outflow)


@inlined
def _empty_hours(row: Row, first: int, last: int) -> None:
    for hour in range(max(first, last - HOURS + 1), last + 1):
        row.hour_payments[hour % HOURS] = 0
        row.hour_amount[hour % HOURS] = 0


@inlined
def _empty_days(row: Row, first: int, last: int) -> None:
    for day in range(max(first, last - DAYS + 1), last + 1):
        slot = day % DAYS
        left = int(row.day_net[slot])
        if left < 0:
            row.excess = min(int(row.excess) - left, MOST)
        row.day_net[slot] = 0
        row.day_payments[slot] = 0
        row.day_refunds[slot] = 0


@inlined
def _next_block(row: Row, blocks: int) -> None:
    """Make the current block the one before, or empty both when more than one has passed."""
    kept = 1 if blocks == 1 else 0
    row.block_payments[1] = row.block_payments[0] * kept
    row.block_night[1] = row.block_night[0] * kept
    row.block_funded[1] = row.block_funded[0] * kept
    row.block_credit[1] = row.block_credit[0] * kept
    row.block_amount[1] = row.block_amount[0] * kept
    row.block_refunded[1] = row.block_refunded[0] * kept
    row.block_charged_back[1] = row.block_charged_back[0] * kept
    row.block_square_high[1] = row.block_square_high[0] * kept
    row.block_square_low[1] = row.block_square_low[0] * kept
    row.block_gap[1] = row.block_gap[0] * kept
    if row.balance_low != NEVER:
        left = balance(row)
        row.block_balance_low[1] = row.block_balance_low[0] if kept else left
        row.block_balance_low[0] = left
    row.block_payments[0] = 0
    row.block_night[0] = 0
    row.block_funded[0] = 0
    row.block_credit[0] = 0
    row.block_amount[0] = 0
    row.block_refunded[0] = 0
    row.block_charged_back[0] = 0
    row.block_square_high[0] = 0
    row.block_square_low[0] = 0
    row.block_gap[0] = 0
    # With nothing left in either block the counters are emptied, not only halved.
    empty = row.block_payments[1] == 0 and row.block_amount[1] == 0
    fade(row, 62 if empty else blocks)


@inlined
def _roll_days(row: Row, day: int) -> None:
    """Bring everything that is kept by local day to a later `day`."""
    before = int(row.day)
    _empty_days(row, before + 1, day)
    blocks = day // WINDOW - before // WINDOW
    if blocks > 0:
        _next_block(row, blocks)
    if day - before >= WINDOW:
        row.day = day
        forget_all(row)
    else:
        for passed in range(before + 1, day + 1):
            row.day = passed
            expire(row)


@inlined
def roll(row: Row, to_ms: int, zone: Zone) -> None:
    """Let time pass on `row` up to `to_ms`; the row never goes back.

    Args:
        row: of the merchant.
        to_ms: epoch ms.
        zone: of the merchant.
    """
    local = local_ms(to_ms, zone)
    day, hour = local // DAY_MS, local // HOUR_MS
    if row.clock < 0:
        row.day = day
        row.hour = hour
        row.touched_day = day
    elif hour > row.hour:
        _empty_hours(row, int(row.hour) + 1, hour)
        row.hour = hour
        if day > row.day:
            _roll_days(row, day)
    row.clock = max(int(row.clock), to_ms)


@inlined
def can_decay(row: Row) -> bool:
    """Return whether the mere passing of time can still empty a tile of `row`.

    Two blocks after a tile was last written, everything that depends on tiles is empty.
    """
    return bool(int(row.day) - int(row.touched_day) < 2 * WINDOW)
