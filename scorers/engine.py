"""The kernel that runs a batch of events: from columns to rows, and to limit updates.

One event at a time in log order. What becomes of an event, and which updates come of it, depends
on the log before it alone: not on how the log was cut into batches, and not on whether it is
read for the first time or again after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from features.calendar import HOUR_MS
from features.compiler import inlined, kernel
from features.duplicates import CONFLICT, DUPLICATE, check, remember
from features.events import Kind, Outcome
from features.keys import ROWS, find, hash_at
from features.prefetch import foresee, foresee_row, foresee_slots, row_foreseen
from features.roll import roll
from features.rows import add
from features.update import apply_event, would_overflow
from features.vector import compute
from features.views import as_rows
from scorers.cover import count_month, roll_months
from scorers.entitlements import ENTITLEMENTS, RECORD, as_records
from scorers.evaluation import (
    BY_EVENT,
    BY_TIME,
    COUNT,
    MOST_UPDATES,
    evaluate,
    holds_ended,
    last_end,
    zone_by,
)
from scorers.limits import as_policies, index_of
from scorers.reasons import effects, strongest
from scorers.scorecard import probability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from features.duplicates import Seen
    from features.events import Events
    from features.keys import Keys
    from features.views import RowViews
    from scorers.evaluation import Book, Scratch, Updates

# Where things stand in `clock`, the event-time clock of a partition.
OFFSET: Final = 0
"""Last offset of the log that the clock has seen; -1 before the first."""
WATERMARK: Final = 1
"""Newest plausible `occurred_at` so far, epoch ms; -1 before the first."""
SWEPT_HOUR: Final = 2
"""Hour (of UTC, since 1970) whose sweep is done; -1 before the first."""

# Where things stand in `cursor`, which tells how far a batch has come.
EVENT: Final = 0
"""Next event to look at."""
SWEEP_ROW: Final = 1
"""Next row of the sweep that this event may set off; -1 while the event itself is not done."""
STOP: Final = 3
"""First event that is not to be looked at yet."""

# Where things stand in what `know_one` fills in.
CURRENCY: Final = 0
"""Index (`events.currency_index`); -1 before the first payment."""
EVERYBODYS_LIMIT: Final = 1
"""By the policy that every merchant has, minor units."""
EVERYBODYS_VERSION: Final = 2
CLOSED: Final = 3
ENROLLED: Final = 4
"""For the policy asked about; it and the next two are 0 for everybody's."""
LIMIT: Final = 5
"""By that policy, minor units."""
VERSION: Final = 6
KNOWN: Final = 7

LOOK_AHEAD: Final = 3
"""Events whose rows are under way from memory while the present one is worked on."""

_RECORD_BYTES: Final = RECORD.itemsize
_NUMBER_BYTES: Final = 4

_PENDING, _TICK, _APPLIED = int(Outcome.PENDING), int(Outcome.TICK), int(Outcome.APPLIED)
_REPLAYED, _DUPLICATE = int(Outcome.REPLAYED), int(Outcome.DUPLICATE)
_CONFLICT, _TOO_LATE = int(Outcome.CONFLICT), int(Outcome.TOO_LATE)
_FROM_THE_FUTURE = int(Outcome.FROM_THE_FUTURE)
_OTHER_CURRENCY, _OVERFLOW = int(Outcome.OTHER_CURRENCY), int(Outcome.OVERFLOW)
_KIND_TICK = int(Kind.TICK)


class Limits(NamedTuple):
    """What event times may be, in milliseconds."""

    skew_ms: int
    """Most that an event may lie ahead of its record's own timestamp."""
    horizon_ms: int
    """Most that an event may lie behind the newest payment of its merchant."""


def new_clock() -> NDArray[np.int64]:
    """Return the clock of a partition of which nothing has been read."""
    return np.full(3, -1, np.int64)


@inlined
def _judge(
    events: Events,
    event: int,
    text: NDArray[np.uint8],
    keys: Keys,
    rows: RowViews,
    seen: Seen,
    book: Book,
    limits: Limits,
    clock: NDArray[np.int64],
) -> tuple[int, int]:
    """Return what becomes of an event, and the row of its merchant (-1 for none or unknown).

    Time moves with every plausible event, whatever else becomes of it. So the watermark depends
    on the log alone, and is the same when rows are already ahead of it in a replay.
    """
    outcome = int(events.outcome[event])
    if outcome != _PENDING:
        return outcome, -1
    offset = events.offset[event]
    if offset <= clock[OFFSET]:
        return _REPLAYED, -1
    occurred_at = events.occurred_at[event]
    if occurred_at > events.timestamp[event] + limits.skew_ms:
        return _FROM_THE_FUTURE, -1
    clock[WATERMARK] = max(clock[WATERMARK], occurred_at)
    if events.kind[event] == _KIND_TICK:
        return _TICK, -1
    i = find(
        keys,
        text,
        events.merchant_at[event],
        int(events.merchant_length[event]),
        events.merchant_hash[event],
    )
    if i >= 0:
        row = rows[i]
        if row.offset >= offset:
            return _REPLAYED, i
        if occurred_at < row.last_at - limits.horizon_ms:
            return _TOO_LATE, i
        if row.currency >= 0 and row.currency != events.currency[event]:
            return _OTHER_CURRENCY, i
    found = check(
        seen,
        events.payment_hash[event],
        events.content_hash[event],
        offset,
        clock[WATERMARK],
    )
    if found == DUPLICATE:
        return _DUPLICATE, i
    if found == CONFLICT:
        return _CONFLICT, i
    if i >= 0 and would_overflow(
        rows[i],
        events.kind[event],
        events.amount[event],
        occurred_at,
        events.original_at[event],
        zone_by(int(book.of_row[i]) - 1, book),
    ):
        return _OVERFLOW, i
    return _APPLIED, i


@inlined
def _remember(events: Events, event: int, seen: Seen, clock: NDArray[np.int64]) -> None:
    """Note the payment id of an event that counts."""
    remember(
        seen,
        events.payment_hash[event],
        events.content_hash[event],
        events.offset[event],
        clock[WATERMARK],
    )


@kernel
def _is_ahead(ahead: NDArray[np.int64], offset: int) -> bool:
    """Tell whether an ascending array of offsets holds one."""
    low, high = 0, len(ahead)
    while low < high:
        middle = (low + high) // 2
        if ahead[middle] < offset:
            low = middle + 1
        else:
            high = middle
    return bool(low < len(ahead) and ahead[low] == offset)


@kernel
def _sweep(
    event: int,
    offset: int,
    hourly: bool,
    keys: Keys,
    table: NDArray[np.uint8],
    book: Book,
    clock: NDArray[np.int64],
    scratch: Scratch,
    updates: Updates,
    cursor: NDArray[np.int64],
) -> bool:
    """Let time pass on rows that wait for it, and tell whether all are done.

    Once an hour these are all that are due. Whenever it is called, they are those with a limit
    of a policy that has ended: when the policy came into force, after the rows were evaluated,
    `due_at` cannot know of its end. The limit itself tells, so a replay finds the same rows.

    A row that already holds this offset has been here before, or is the event's own.
    """
    rows = as_rows(table)
    watermark = clock[WATERMARK]
    ended = last_end(watermark, book.policies) >= 0
    for i in range(cursor[SWEEP_ROW], keys.counts[ROWS]):
        if rows.offset[i] >= offset:
            continue
        due = hourly and rows.due_at[i] <= watermark
        if not due and not (ended and holds_ended(rows[i], i, watermark, book)):
            continue
        if cursor[COUNT] + MOST_UPDATES > len(updates.row):
            cursor[SWEEP_ROW] = i
            return False
        row = rows[i]
        roll(row, watermark, zone_by(int(book.of_row[i]) - 1, book))
        row.offset = offset
        row.dirty = 1
        evaluate(row, i, event, BY_TIME, hash_at(keys, i), book, scratch, updates, cursor)
    return True


@inlined
def _look_ahead(
    events: Events, event: int, keys: Keys, table: NDArray[np.uint8], seen: Seen, book: Book
) -> None:
    """Ask for what the next events will need: first where it is noted, then the row itself.

    Last comes what the merchant is enrolled for.
    """
    far = event + 2 * LOOK_AHEAD
    if far < len(events.offset):
        foresee_slots(keys, seen, events.merchant_hash[far], events.payment_hash[far])
    near = event + LOOK_AHEAD
    if near < len(events.offset):
        row = row_foreseen(keys, events.merchant_hash[near])
        if row >= 0:
            foresee_row(keys, table, row)
            foresee(book.of_row, row * _NUMBER_BYTES, 1)
    following = event + 1
    if following < len(events.offset):
        row = row_foreseen(keys, events.merchant_hash[following])
        if row >= 0 and book.of_row[row] > 0:
            foresee(book.entitled, (int(book.of_row[row]) - 1) * _RECORD_BYTES, _RECORD_BYTES)


@kernel
def apply(
    events: Events,
    text: NDArray[np.uint8],
    keys: Keys,
    table: NDArray[np.uint8],
    seen: Seen,
    ahead: NDArray[np.int64],
    book: Book,
    limits: Limits,
    clock: NDArray[np.int64],
    scratch: Scratch,
    updates: Updates,
    cursor: NDArray[np.int64],
) -> None:
    """Apply events up to `cursor[STOP]` or until `updates` is full: drain it, and call again.

    For each event, in this order: refused by the decoder or relayed, replayed, from the future;
    time moves; a tick ends here; replayed on this row, too late, another currency, duplicate or
    conflict, overflow; else applied, and the limit decided on. When time has entered a new hour,
    every row that is due is rolled and decided on too; with each tick of the hour after the end
    of a policy, every row that still has a limit of it.

    Args:
        events: the batch; `outcome` is filled in.
        text: bytes that hold the merchants' ids.
        keys: index of the rows, with room for every event (`Rows.prepare`).
        table: the bytes of the rows (`Rows.table`).
        seen: payment ids, with room for every event (`Duplicates.prepare`).
        ahead: offsets, ascending, whose payment ids were durable ahead of the clock when it was
            restored: those that counted among the events that come again.
        book: by what merchants are evaluated.
        limits: what event times may be.
        clock: `OFFSET`, `WATERMARK`, `SWEPT_HOUR`.
        scratch: room for one merchant's figures.
        updates: filled from `cursor[COUNT]` on.
        cursor: `EVENT`, `SWEEP_ROW`, `COUNT`, `STOP`; [0, -1, 0, n] at the start of a batch of n.
    """
    rows = as_rows(table)
    for event in range(cursor[EVENT], cursor[STOP]):
        _look_ahead(events, event, keys, table, seen, book)
        cursor[EVENT] = event
        offset = events.offset[event]
        if cursor[SWEEP_ROW] < 0:
            if cursor[COUNT] + MOST_UPDATES > len(updates.row):
                return
            outcome, i = _judge(events, event, text, keys, rows, seen, book, limits, clock)
            events.outcome[event] = outcome
            if outcome == _REPLAYED and i >= 0 and _is_ahead(ahead, offset):
                _remember(events, event, seen, clock)
            elif outcome == _APPLIED:
                _remember(events, event, seen, clock)
                if i < 0:
                    i = add(
                        keys,
                        rows,
                        text,
                        events.merchant_at[event],
                        int(events.merchant_length[event]),
                        events.merchant_hash[event],
                    )
                row = rows[i]
                row.currency = events.currency[event]
                number = int(book.of_row[i]) - 1
                zone = zone_by(number, book)
                apply_event(
                    row,
                    events.kind[event],
                    events.amount[event],
                    events.occurred_at[event],
                    events.original_at[event],
                    events.funding[event],
                    events.payer_hash[event],
                    offset,
                    zone,
                )
                if number >= 0:
                    record = as_records(book.entitled)[number]
                    roll_months(record, int(row.day))
                    count_month(
                        record,
                        events.kind[event],
                        events.amount[event],
                        events.occurred_at[event],
                        events.original_at[event],
                        zone,
                    )
                evaluate(
                    row, i, event, BY_EVENT, events.merchant_hash[event],
                    book, scratch, updates, cursor,
                )  # fmt: skip
            cursor[SWEEP_ROW] = 0
        watermark = clock[WATERMARK]
        hour = watermark // HOUR_MS
        hourly = bool(hour > clock[SWEPT_HOUR])
        if hourly or (
            events.outcome[event] == _TICK
            and last_end(watermark, book.policies) > watermark - HOUR_MS
        ):
            if not _sweep(
                event, offset, hourly, keys, table, book, clock, scratch, updates, cursor
            ):
                return
            clock[SWEPT_HOUR] = hour
        cursor[SWEEP_ROW] = -1
        clock[OFFSET] = max(clock[OFFSET], offset)
    cursor[EVENT] = cursor[STOP]


@kernel
def evaluate_all(
    keys: Keys,
    table: NDArray[np.uint8],
    book: Book,
    clock: NDArray[np.int64],
    scratch: Scratch,
    updates: Updates,
    cursor: NDArray[np.int64],
) -> bool:
    """Evaluate every row as of the watermark, from `cursor[SWEEP_ROW]` on; tell whether done."""
    rows = as_rows(table)
    for i in range(max(cursor[SWEEP_ROW], 0), keys.counts[ROWS]):
        if cursor[COUNT] + MOST_UPDATES > len(updates.row):
            cursor[SWEEP_ROW] = i
            return False
        row = rows[i]
        if row.schema_version == 0:
            continue
        roll(row, clock[WATERMARK], zone_by(int(book.of_row[i]) - 1, book))
        evaluate(row, i, 0, BY_TIME, hash_at(keys, i), book, scratch, updates, cursor)
    return True


@kernel
def know_one(
    i: int,
    key: np.uint64,
    at: int,
    table: NDArray[np.uint8],
    book: Book,
    scratch: Scratch,
    reasons: NDArray[np.int16],
    known: NDArray[np.int64],
) -> float:
    """Return the PD of row `i` as it stands, and fill in what a decision stands on.

    Args:
        i: the row.
        key: of the policy that is asked about (`PolicyName.key`).
        at: event time, epoch ms: what has ended by then gives nothing.
        table: the bytes of the rows (`Rows.table`).
        book: by what merchants are evaluated.
        scratch: room for one merchant's figures.
        reasons: filled with what speaks most for or against it.
        known: filled at `CURRENCY` to `VERSION`.
    """
    row, policies = as_rows(table)[i], as_policies(book.policies.table)
    compute(row, scratch.vector)
    pd = probability(scratch.vector, book.weights, scratch.contributions)
    policy = policies[0]
    effects(scratch.vector, scratch.contributions, pd, book.weights, policy, scratch.effect)
    strongest(scratch.vector, scratch.effect, book.weights, reasons, scratch.contributions)
    known[:] = 0
    known[CURRENCY] = row.currency
    # A policy that has just ended may not have met the merchant yet.
    known[EVERYBODYS_LIMIT] = 0 if policy.ends_at <= at else row.limit
    known[EVERYBODYS_VERSION] = row.limit_version
    number = int(book.of_row[i]) - 1
    if number >= 0:
        record = as_records(book.entitled)[number]
        known[CLOSED] = record.closed
        for entry in range(ENTITLEMENTS):
            if record.key[entry] == key:
                place = index_of(key, book.policies)
                ended = place >= 0 and policies[place].ends_at <= at
                known[ENROLLED] = 1
                known[LIMIT] = 0 if ended else record.limit[entry]
                known[VERSION] = record.version[entry]
    return pd


@kernel
def evaluate_one(
    i: int,
    event: int,
    hashed: np.uint64,
    at: int,
    offset: int,
    table: NDArray[np.uint8],
    book: Book,
    scratch: Scratch,
    updates: Updates,
    cursor: NDArray[np.int64],
) -> None:
    """Evaluate row `i` as of `at` (epoch ms) because of the relayed event `event`."""
    row = as_rows(table)[i]
    roll(row, at, zone_by(int(book.of_row[i]) - 1, book))
    row.offset = offset
    row.dirty = 1
    evaluate(row, i, event, BY_EVENT, hashed, book, scratch, updates, cursor)
