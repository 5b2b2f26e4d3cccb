"""What an evaluation does to a merchant's limits: everybody's, and those it is enrolled for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from features.calendar import DEFAULT_ZONE, NEVER, next_midnight, zone_of
from features.compiler import inlined
from features.roll import can_decay
from features.vector import FEATURE_COUNT, compute
from scorers.cover import cover_of, roll_months
from scorers.credit import credit_of
from scorers.entitlements import ENTITLEMENTS, FULL, GONE, as_records
from scorers.hold_out import draw_of, settle
from scorers.limits import COVER, CREDIT, NO_LIMIT, as_policies, decide, index_of
from scorers.reasons import (
    CLOSED,
    LARGEST_EFFECT,
    NO_REASON,
    OF_THE_MONTH,
    POLICY_ENDED,
    REASONS_GIVEN,
    STANDING,
    WITHDRAWN,
    effects,
    of_the_hold_out,
    put_first,
    strongest,
)
from scorers.scorecard import probability
from scorers.shadows import count_shadows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from features.calendar import Zone, Zones
    from features.views import Row
    from scorers.limits import PolicyArgs, PolicyTable
    from scorers.scorecard import Weights
    from scorers.shadows import Shadows

# What set an update off.
BY_EVENT: Final = 0
BY_TIME: Final = 1

COUNT: Final = 2
"""Where `cursor` has how many updates wait (`engine.apply`)."""

_NONE: Final = np.uint64(0)
_CLOSED: Final = -2
"""In the place of a standing: the merchant has closed."""

_LARGEST_RISE: Final = math.exp(LARGEST_EFFECT) - 1.0

MOST_UPDATES: Final = 1 + ENTITLEMENTS
"""Updates that one evaluation may lead to."""


class Updates(NamedTuple):
    """Limit updates, one array entry an update, in the order in which they came about."""

    row: NDArray[np.int32]
    """Row number of the merchant."""
    policy: NDArray[np.int32]
    """Place of the policy among those in force (`PolicyTable`)."""
    event: NDArray[np.int32]
    """Index in the batch of the event that set it off."""
    cause: NDArray[np.uint8]
    """`BY_EVENT`: of the merchant itself. `BY_TIME`: any event or tick that moved time."""
    as_of: NDArray[np.int64]
    """Event time of the evaluation, epoch ms."""
    offset: NDArray[np.int64]
    """Offset of that event in `payments`."""
    previous: NDArray[np.int64]
    """Limit before, minor units."""
    limit: NDArray[np.int64]
    """Limit from now on, minor units."""
    version: NDArray[np.uint32]
    """Of this merchant's updates by this policy; rises."""
    pd: NDArray[np.float64]
    """Probability of default."""
    reason: NDArray[np.int16]
    """Shape (updates, 3): reason numbers, the strongest first (`reason_code`, `reason_text`);
    `NO_REASON` from where there are no more."""
    effect: NDArray[np.float64]
    """Shape (updates, 3): share by which each reason moves the limit."""


class Scratch(NamedTuple):
    """Room for one merchant's figures while it is evaluated; entries in the order of `FEATURES`."""

    vector: NDArray[np.float64]
    contributions: NDArray[np.float64]
    effect: NDArray[np.float64]


def allocate_updates(n: int) -> Updates:
    """Return room for `n` updates."""
    return Updates(
        row=np.zeros(n, np.int32),
        policy=np.zeros(n, np.int32),
        event=np.zeros(n, np.int32),
        cause=np.zeros(n, np.uint8),
        as_of=np.zeros(n, np.int64),
        offset=np.zeros(n, np.int64),
        previous=np.zeros(n, np.int64),
        limit=np.zeros(n, np.int64),
        version=np.zeros(n, np.uint32),
        pd=np.zeros(n, np.float64),
        reason=np.zeros((n, REASONS_GIVEN), np.int16),
        effect=np.zeros((n, REASONS_GIVEN), np.float64),
    )


class Book(NamedTuple):
    """By what merchants are evaluated, and where what they are enrolled for stands."""

    zones: Zones
    """Time zones of the local days, with every one that `entitled` names."""
    weights: Weights
    """The scorecard."""
    policies: PolicyTable
    of_row: NDArray[np.int32]
    """`Entitlements.of_row`, with room for every row."""
    entitled: NDArray[np.uint8]
    """`Entitlements.table`."""
    shadows: Shadows
    stopped: NDArray[np.bool_]
    """For each policy, whether no limit of it may rise."""
    held: NDArray[np.int64]
    """For each policy, how many evaluations have held a raise back (`raises.HeldBack`)."""


def new_scratch() -> Scratch:
    """Return room for one merchant's figures."""
    return Scratch(*(np.zeros(FEATURE_COUNT, np.float64) for _ in Scratch._fields))


@inlined
def zone_by(number: int, book: Book) -> Zone:
    """Return the time zone of the merchant of a record; a number below 0 is that of none."""
    key = DEFAULT_ZONE
    if number >= 0:
        key = as_records(book.entitled)[number].zone
    return zone_of(key, book.zones)


@inlined
def last_end(at: int, policies: PolicyTable) -> int:
    """Return when a policy ended last, at `at` or before, epoch ms; -1 when none has."""
    table = as_policies(policies.table)
    last = -1
    for place in range(len(policies.keys)):
        ends_at = int(table[place].ends_at)
        if ends_at <= at:
            last = max(last, ends_at)
    return last


@inlined
def holds_ended(row: Row, i: int, at: int, book: Book) -> bool:
    """Tell whether row `i` has a limit above 0 of a policy that has ended by `at`, epoch ms."""
    policies = as_policies(book.policies.table)
    if row.limit > 0 and policies[0].ends_at <= at:
        return True
    number = int(book.of_row[i]) - 1
    if number < 0:
        return False
    record = as_records(book.entitled)[number]
    for entry in range(ENTITLEMENTS):
        if record.limit[entry] > 0:
            place = index_of(record.key[entry], book.policies)
            if place >= 0 and policies[place].ends_at <= at:
                return True
    return False


@inlined
def _anew(
    row: Row,
    held_out: bool,
    pd: float,
    limit: int,
    version: int,
    raised_at: int,
    standing: int,
    policy: PolicyArgs,
    scratch: Scratch,
) -> tuple[int, bool]:
    """Return a limit from now on, and whether a raise waits for the end of its cool-down.

    Args:
        row: of the merchant, whose figures are in `scratch`.
        held_out: whether it is in the hold-out.
        pd: its probability of default.
        limit: the limit in force, minor units.
        version: how often it has changed; 0 when it never had one by this enrolment.
        raised_at: event time of its last raise, epoch ms.
        standing: share of what the figures give, in 1/10,000; nothing at or below 0.
        policy: the policy.
        scratch: the merchant's figures.
    """
    as_of = row.clock
    whole = credit_of(row, held_out, scratch.vector, pd, limit, version, standing, policy)
    if held_out:
        return settle(whole, limit, version, raised_at, as_of, policy)
    return decide(whole, limit, version, raised_at, as_of, policy)


@inlined
def evaluate(
    row: Row,
    i: int,
    event: int,
    cause: int,
    hashed: np.uint64,
    book: Book,
    scratch: Scratch,
    updates: Updates,
    cursor: NDArray[np.int64],
) -> None:
    """Decide anew on the limits of a row as of its clock, and when it is due again.

    Row and record hold the limits from now on; where one differs, its version has risen by one
    and an update has been added.

    Args:
        row: of the merchant.
        i: its number.
        event: index in the batch of the event that set this off.
        cause: `BY_EVENT` or `BY_TIME`.
        hashed: `hash_bytes` of the merchant's id.
        book: by what it is evaluated.
        scratch: filled with its figures.
        updates: has room for `MOST_UPDATES`.
        cursor: its `COUNT` rises with each update.
    """
    compute(row, scratch.vector)
    pd = probability(scratch.vector, book.weights, scratch.contributions)
    drawn = draw_of(hashed)
    as_of = row.clock
    policies = as_policies(book.policies.table)
    number = int(book.of_row[i]) - 1
    standing, closed = FULL, False
    if number >= 0:
        known = as_records(book.entitled)[number]
        closed, standing = known.closed != 0, int(known.standing[ENTITLEMENTS])
    if closed:
        standing = _CLOSED
    policy = policies[0]
    held_out = drawn < policy.hold_out_share
    previous, version, raised_at = row.limit, row.limit_version, row.raised_at
    limit, waits = _anew(row, held_out, pd, previous, version, raised_at, standing, policy, scratch)
    if limit > previous and book.stopped[0]:
        limit, waits = previous, False
        book.held[0] += 1
    if limit != previous:
        row.limit = limit
        row.limit_version = version + 1
        if limit > previous:
            row.raised_at = raised_at = as_of
        _emit(
            row, i, 0, held_out, event, cause, previous, limit, version + 1, pd,
            standing, book.weights, policy, scratch, updates, cursor,
        )  # fmt: skip
    any_limit = limit > 0
    due_at = NEVER
    if waits:
        due_at = min(due_at, raised_at + policy.cool_down_ms)
    if limit > 0:
        due_at = min(due_at, policy.ends_at)
    if number >= 0:
        record = as_records(book.entitled)[number]
        record.offset = row.offset
        roll_months(record, int(row.day))
        for entry in range(ENTITLEMENTS):
            if record.key[entry] == _NONE:
                continue
            place = index_of(record.key[entry], book.policies)
            if place < 0:
                continue
            policy = policies[place]
            if policy.rule == NO_LIMIT:
                continue
            held_out = drawn < policy.hold_out_share
            previous, raised_at = record.limit[entry], record.raised_at[entry]
            version = record.version[entry] if raised_at >= 0 else 0
            standing = _CLOSED if closed else record.standing[entry]
            waits = False
            if policy.rule == CREDIT:
                limit, waits = _anew(
                    row, held_out, pd, previous, version, raised_at, standing, policy, scratch
                )
            elif row.currency == policy.currency and as_of < policy.ends_at and standing > 0:
                limit = cover_of(record, policy)
            else:
                limit = 0
            if limit > previous and book.stopped[place]:
                limit, waits = previous, False
                book.held[place] += 1
            if limit != previous:
                record.limit[entry] = limit
                record.version[entry] += 1
                if limit > previous:
                    record.raised_at[entry] = raised_at = as_of
                _emit(
                    row, i, place, held_out, event, cause, previous, limit,
                    record.version[entry], pd, standing, book.weights, policy, scratch, updates,
                    cursor,
                )  # fmt: skip
            any_limit = any_limit or limit > 0
            if waits:
                due_at = min(due_at, raised_at + policy.cool_down_ms)
            if limit > 0:
                due_at = min(due_at, policy.ends_at)
    if book.shadows.there > 0:
        count_shadows(row, number, drawn, pd, book, scratch)
    if any_limit or can_decay(row):
        row.due_at = min(due_at, next_midnight(as_of, zone_by(number, book)))
    else:
        row.due_at = NEVER


@inlined
def _emit(
    row: Row,
    i: int,
    place: int,
    held_out: bool,
    event: int,
    cause: int,
    previous: int,
    limit: int,
    version: int,
    pd: float,
    standing: int,
    weights: Weights,
    policy: PolicyArgs,
    scratch: Scratch,
    updates: Updates,
    cursor: NDArray[np.int64],
) -> None:
    """Add the update of a limit of row `i`, just decided on."""
    at = cursor[COUNT]
    reasons, shares = updates.reason[at], updates.effect[at]
    if policy.rule == COVER:
        put_first(OF_THE_MONTH, -1.0, reasons, shares)
        shares[0] = min(limit / previous - 1.0, _LARGEST_RISE) if previous > 0 else 1.0
    elif held_out:
        of_the_hold_out(limit, pd, policy, reasons, shares)
    else:
        effects(scratch.vector, scratch.contributions, pd, weights, policy, scratch.effect)
        strongest(scratch.vector, scratch.effect, weights, reasons, shares)
    apart, effect = NO_REASON, -1.0
    if standing == _CLOSED:
        apart = CLOSED
    elif standing == GONE:
        apart = WITHDRAWN
    elif row.clock >= policy.ends_at:
        apart = POLICY_ENDED
    elif standing != FULL and (policy.rule != COVER or standing <= 0):
        apart, effect = STANDING, standing / FULL - 1.0
    if apart != NO_REASON:
        put_first(apart, effect, reasons, shares)
    updates.row[at] = i
    updates.policy[at] = place
    updates.event[at] = event
    updates.cause[at] = cause
    updates.as_of[at] = row.clock
    updates.offset[at] = row.offset
    updates.previous[at] = previous
    updates.limit[at] = limit
    updates.version[at] = version
    updates.pd[at] = pd
    cursor[COUNT] = at + 1
