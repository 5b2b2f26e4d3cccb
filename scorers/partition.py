"""One Kafka partition's merchants: rows, payment ids and event-time clock, and what is in force."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

import numpy as np

from features.events import Outcome, currency_code, currency_index, places_of
from features.hashing import hash_of
from features.layout import ROW
from features.pages import Duplicates, read_page
from features.restore import Records
from features.rows import Rows, row_at
from features.vector import FEATURE_COUNT, compute, named
from scorers import engine
from scorers.ahead import Ahead
from scorers.catalogue import BUILT_IN_POLICIES, Policies
from scorers.entitlements import GONE, WIDTH, Entitlements
from scorers.evaluation import COUNT, MOST_UPDATES, Book, Updates, allocate_updates, new_scratch
from scorers.loans import Draw
from scorers.policy import EVERYBODYS, PolicyName
from scorers.prior import BUILT_IN as BUILT_IN_SCORECARD
from scorers.raises import HeldBack
from scorers.reasons import REASONS_GIVEN
from scorers.scorecard import Scorecard, probability, weights_of
from scorers.shadows import Counted, ShadowBook
from scorers.zones import MerchantZones

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from features.calendar import Zone
    from features.events import Events
    from scorers.entitlements import Draft, Entitled
    from scorers.policy import Policy
    from scorers.raises import Stop

UPDATES_AT_ONCE: Final = 4096
SKEW_MS: Final = 5 * 60_000
HORIZON_MS: Final = 24 * 3_600_000

CLOCK_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Version:
    """A scorecard and policies that are in force together; the built-in ones by default.

    Attributes:
        scorecard: the scorecard.
        policies: the policies.
        stops: what keeps limits of some of them from rising.
    """

    scorecard: Scorecard = BUILT_IN_SCORECARD
    policies: Policies = BUILT_IN_POLICIES
    stops: frozenset[Stop] = frozenset()


class ChangedRows(NamedTuple):
    """Copies of rows of one width, for the changelog."""

    keys: NDArray[np.uint8]
    """The merchants' ids, end to end."""
    key_length: NDArray[np.int64]
    """Bytes of each id."""
    rows: NDArray[np.uint8]
    """Shape (rows, ROW.itemsize), or (rows, WIDTH) of those that are enrolled for something."""


class Known(NamedTuple):
    """What is known of a merchant for a decision on one product."""

    enrolled: bool
    """For the product; everybody is for everybody's."""
    closed: bool
    currency: str
    """ISO 4217 code; empty before the first payment."""
    limit: int
    """With this lender for this product, minor units."""
    limit_version: int
    everybodys_limit: int
    """By the policy that every merchant has: what all lenders together may lend, minor units."""
    probability_of_default: float
    reasons: tuple[int, ...]
    """What speaks most for or against it (`reason_code`), the strongest first."""


NOBODY = Known(
    enrolled=False, closed=False, currency="", limit=0, limit_version=0, everybodys_limit=0,
    probability_of_default=1.0, reasons=(),
)  # fmt: skip
"""A merchant of whom nothing is known."""


class Amendment(Protocol):
    """A change of what is on record of a merchant."""

    @property
    def currency(self) -> str | None:
        """ISO 4217 code that becomes the merchant's, if it has none yet; any other is refused."""

    def change(self, record: Draft) -> str | None:
        """Make the change, or return why not."""


class Partition:
    """Everything that one partition of `payments` has left behind.

    A checkpoint takes, between two batches, `take_pages`, `take_changed_rows` and `clock_state`,
    and makes them durable in that order. Recovery hands them back with `load_page` and
    `restore_rows` and `restore_clock`, in any order, and with `activate`; then the log is applied
    from any offset at or before the one that the clock names, plus 1, and rows and updates
    become what they would have been without the crash.

    Args:
        zone: time zone of the local days of merchants that have registered none.
        version: scorecard and policies in force at first.
        skew_ms: most that an event may lie ahead of its record's own timestamp, ms.
        horizon_ms: most that one may lie behind the newest payment of its merchant, ms.
        updates_at_once: updates handed over in one call of `on_updates`, at most.

    >>> from features.calendar import load_zone
    >>> partition = Partition(load_zone("Asia/Shanghai"))
    >>> len(partition), partition.watermark, partition.version.policies.everybodys.lender
    (0, -1, 'platform')
    """

    def __init__(
        self,
        zone: Zone,
        version: Version | None = None,
        *,
        skew_ms: int = SKEW_MS,
        horizon_ms: int = HORIZON_MS,
        updates_at_once: int = UPDATES_AT_ONCE,
    ) -> None:
        self._zones = MerchantZones(zone)
        self._limits = engine.Limits(skew_ms, horizon_ms)
        self._rows = Rows()
        self._duplicates = Duplicates()
        self._ahead = Ahead()
        self._clock = engine.new_clock()
        self._entitlements = Entitlements()
        self._shadows = ShadowBook()
        self._held_back = HeldBack()
        self._sums: defaultdict[int, int] | None = None
        self._scratch = new_scratch()
        self._updates = allocate_updates(max(updates_at_once, MOST_UPDATES))
        self._cursor = np.zeros(4, np.int64)
        self._on_updates: Callable[[Updates], None] | None = None
        self.activate(version or Version())

    @property
    def zone(self) -> Zone:
        """Time zone of the local days of merchants that have registered none."""
        return self._zones.installations

    @property
    def version(self) -> Version:
        """Scorecard and policies in force."""
        return self._version

    @property
    def watermark(self) -> int:
        """Newest plausible event time so far, epoch ms; -1 before the first event."""
        return int(self._clock[engine.WATERMARK])

    @property
    def offset(self) -> int:
        """Offset of the last event applied; -1 before the first."""
        return int(self._clock[engine.OFFSET])

    @property
    def payment_ids(self) -> int:
        """Payment ids that are remembered."""
        return len(self._duplicates)

    def activate(self, version: Version) -> None:
        """Put a scorecard and policies in force for every event from now on.

        Exact after a crash only between two checkpoints whose record names the new versions.

        Raises:
            ValueError: the scorecard makes no sense; what was in force stays.
        """
        self._weights = weights_of(version.scorecard)
        stopped = {stop.policy for stop in version.stops}
        self._stopped = np.array([each.name in stopped for each in version.policies], np.bool_)
        self._version = version
        self._shadows.put_beside(version.policies)
        self._held_back.put_beside(version.policies)

    def follow_shadows(self, shadows: tuple[Policy, ...]) -> bool:
        """Count these shadow policies from now on; tell whether they are others than before.

        Nothing but `take_shadow_counts` follows from them, so it may be done between any events.
        """
        return self._shadows.follow(shadows, self._version.policies)

    def take_shadow_counts(self) -> dict[PolicyName, Counted]:
        """Return what has been counted of shadows since the last call."""
        return self._shadows.take()

    def take_held_back(self) -> dict[PolicyName, int]:
        """Return how many evaluations have held a raise back since the last call."""
        return self._held_back.take()

    def _book(self) -> Book:
        self._entitlements.prepare(len(self._rows.keys.place))
        return Book(
            self._zones.kernels, self._weights, self._version.policies.table,
            self._entitlements.of_row, self._entitlements.table, self._shadows.kernels,
            self._stopped, self._held_back.kernels,
        )  # fmt: skip

    def apply(
        self,
        events: Events,
        text: NDArray[np.uint8],
        on_updates: Callable[[Updates], None],
        on_relayed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Apply events in log order, and fill in what became of each (`events.outcome`).

        Offsets must rise within the batch. An event at or before `offset` is only marked
        `REPLAYED`. Events whose outcome is not `PENDING` are left as they are.

        Args:
            events: the batch.
            text: bytes that hold the merchants' ids.
            on_updates: called with limit updates as they come about, in order. The arrays are
                used again after it returns: it must copy what it keeps.
            on_relayed: called with the index of each relayed event, when everything before it
                has been applied and nothing behind it.
        """
        n = len(events.offset)
        self._duplicates.prepare(n)
        self._on_updates = on_updates
        cursor = self._cursor
        cursor[:] = (0, -1, 0, n)
        for stop in (*places_of(events.outcome, Outcome.RELAYED), n):
            # A relayed event may have brought a merchant and its row.
            self._rows.prepare(n)
            keys, table, seen = self._rows.keys, self._rows.table, self._duplicates.seen
            ahead, book = self._ahead.offsets(), self._book()
            cursor[engine.STOP] = stop
            while cursor[engine.EVENT] < stop:
                engine.apply(
                    events, text, keys, table, seen, ahead, book,
                    self._limits, self._clock, self._scratch, self._updates, cursor,
                )  # fmt: skip
                self._hand_over()
            if stop < n:
                on_relayed(stop)
        self._on_updates = None
        self._ahead.passed(self.offset)

    def _hand_over(self) -> None:
        count = int(self._cursor[COUNT])
        if count:
            updates = Updates._make(column[:count] for column in self._updates)
            self._add_to_sums(updates)
            if self._on_updates is not None:
                self._on_updates(updates)
        self._cursor[COUNT] = 0

    def amend(self, merchant_id: bytes, amendment: Amendment, *, offset: int) -> str | None:
        """Change what is on record of a merchant, and evaluate it; for `on_relayed` to call.

        It moves no time: the merchant is evaluated as of the watermark.

        Args:
            merchant_id: whose; one of whom nothing is known gets a row.
            amendment: makes the change, before the evaluation.
            offset: of the relayed event in the log.

        Returns:
            None when it was made, or when the row holds it already; else why it was refused.
        """
        number = self._rows.find(merchant_id)
        if number >= 0 and self._rows.value(number, "offset") >= offset:
            return None
        draft = self._entitlements.draft(number)
        currency = -1 if amendment.currency is None else currency_index(amendment.currency)
        refused = amendment.change(draft)
        if refused is None and currency >= 0 and number >= 0:
            known = self._rows.value(number, "currency")
            refused = "other_currency" if known not in (-1, currency) else None
        if refused is not None:
            return refused
        number = self._rows.add(merchant_id)
        if self._rows.value(number, "currency") < 0:
            self._rows.row(number).currency = currency
        if draft.since < 0:
            # Behind everything read so far: a payment counts with all that takes it back, or none.
            draft.since = self.watermark + 1
        self._zones.add(draft.zone)
        self._entitlements.put(number, draft)
        engine.evaluate_one(
            number, int(self._cursor[engine.STOP]), np.uint64(hash_of(merchant_id)),
            max(self.watermark, 0), offset, self._rows.table,
            self._book(), self._scratch, self._updates, self._cursor,
        )  # fmt: skip
        if (draft.standing == GONE).any():
            self._entitlements.forget_gone(number)
        self._hand_over()
        return None

    def evaluate_all(self, on_updates: Callable[[Updates], None]) -> None:
        """Evaluate every merchant as of the watermark, outside of the log.

        To see what other policies would lead to; a partition that serves the log would no longer
        be what a replay makes of it.
        """
        self._cursor[:] = (0, 0, 0, 0)
        self._on_updates = on_updates
        done = False
        while not done:
            done = engine.evaluate_all(
                self._rows.keys, self._rows.table, self._book(), self._clock, self._scratch,
                self._updates, self._cursor,
            )  # fmt: skip
            self._hand_over()
        self._on_updates = None

    def limits_of(self, name: PolicyName) -> NDArray[np.int64]:
        """Return the limits in force of a policy, minor units, one of each merchant that has it."""
        if name == EVERYBODYS:
            rows = self._rows.table.view(ROW)[: self._rows.used]
            return cast("NDArray[np.int64]", rows["limit"][rows["schema_version"] > 0])
        return self._entitlements.limits_of(np.uint64(name.key))

    def sum_of_limits(self, name: PolicyName) -> int:
        """Return the sum of the limits in force of a policy, minor units.

        All limits are added up when it is first asked for, and updates from then on.
        """
        if self._sums is None:
            self._sums = defaultdict(int, self._entitlements.sums())
            self._sums[EVERYBODYS.key] = int(self.limits_of(EVERYBODYS).sum())
        return self._sums[name.key]

    def _add_to_sums(self, updates: Updates) -> None:
        if self._sums is None:
            return
        policies = self._version.policies
        moved = np.zeros(len(policies), np.int64)
        np.add.at(moved, updates.policy, updates.limit - updates.previous)
        for place in np.flatnonzero(moved).tolist():
            self._sums[policies[place].name.key] += int(moved[place])

    def take_pages(self) -> list[bytes]:
        """Return the payment ids that came since the last call, as pages to be made durable.

        They count as durable from now on: who fails to write them must drop the partition.
        """
        return self._duplicates.take_pages()

    def take_changed_rows(self) -> list[ChangedRows]:
        """Return copies of the rows that changed since the last call, and their merchants' ids.

        They count as durable from now on: who fails to write them must drop the partition.
        """
        numbers = self._rows.dirty_rows()
        enrolled = self._entitlements.have_one(numbers)
        changed = [
            ChangedRows(*self._rows.keys_of(of_width), self._packed(of_width, wide=wide))
            for of_width, wide in ((numbers[~enrolled], False), (numbers[enrolled], True))
            if len(of_width) or not wide
        ]
        self._rows.clear_dirty(numbers)
        return changed

    def _packed(self, numbers: NDArray[np.int64], *, wide: bool) -> NDArray[np.uint8]:
        """Return copies of rows; if `wide`, with what their merchants are enrolled for behind."""
        rows = self._rows.packed(numbers, WIDTH - ROW.itemsize if wide else 0)
        if wide:
            self._entitlements.pack(numbers, rows)
        return rows

    def clock_state(self) -> dict[str, int]:
        """Return the event-time clock, for the record that ends a checkpoint."""
        return {
            "schema_version": CLOCK_SCHEMA_VERSION,
            "offset": int(self._clock[engine.OFFSET]),
            "watermark": int(self._clock[engine.WATERMARK]),
            "swept_hour": int(self._clock[engine.SWEPT_HOUR]),
        }

    def restore_clock(self, state: Mapping[str, int]) -> None:
        """Take the clock back from a checkpoint's record; of several the highest offset wins.

        A standby does so with every record that it reads, or the pages behind it pile up.

        Raises:
            ValueError: the record is of a newer layout, or not a clock.
        """
        if state.get("schema_version", 0) > CLOCK_SCHEMA_VERSION:
            raise ValueError(
                f"the checkpoint's clock has layout {state['schema_version']}, this release knows "
                f"layouts up to {CLOCK_SCHEMA_VERSION}: start a newer release"
            )
        missing = [name for name in ("offset", "watermark", "swept_hour") if name not in state]
        if missing:
            raise ValueError(f"the checkpoint's clock lacks {', '.join(missing)}")
        if state["offset"] < self.offset:
            return
        self._clock[engine.OFFSET] = state["offset"]
        self._clock[engine.WATERMARK] = state["watermark"]
        self._clock[engine.SWEPT_HOUR] = state["swept_hour"]
        for entries in self._ahead.passed(self.offset):
            self._duplicates.load_entries(entries)

    def load_page(self, page: bytes) -> None:
        """Take back a page of payment ids; loading it twice does no harm.

        Raises:
            ValueError: it is not a page, or of a newer layout.
        """
        entries = read_page(page)
        durable = entries.offsets <= self.offset
        if durable.any():
            self._duplicates.load_entries(entries.where(durable))
        self._ahead.add(entries.where(~durable))

    def restore_rows(
        self,
        text: NDArray[np.uint8],
        key_at: NDArray[np.int64],
        key_length: NDArray[np.int32],
        value_at: NDArray[np.int64],
        value_length: NDArray[np.int32],
    ) -> None:
        """Take back rows from changelog records, in log order; the highest offset wins.

        Args:
            text: bytes that hold keys and values.
            key_at: where each merchant's id begins.
            key_length: its length.
            value_at: where each row begins.
            value_length: its length; -1 deletes the merchant.

        Raises:
            ValueError: a value is not a row, or of a newer layout, or of a merchant in a time zone
                that this machine does not know.
        """
        wide = value_length == WIDTH
        self._sums = None
        rows_only = np.where(wide, ROW.itemsize, value_length).astype(np.int32)
        self._rows.restore(Records(text, key_at, key_length, value_at, rows_only))
        if wide.any():
            behind = Records(
                text, key_at[wide], key_length[wide], value_at[wide], value_length[wide]
            )
            self._entitlements.restore(self._rows.keys, behind)
            self._zones.restore(behind)

    def __len__(self) -> int:
        """Merchants that have a row."""
        return len(self._rows)

    def merchants(self) -> Iterator[bytes]:
        """Yield the id of each merchant that has a row."""
        keys = (self._rows.key(number) for number in range(self._rows.used))
        return (key for key in keys if key)

    def merchants_of(self, numbers: NDArray[np.int32]) -> list[bytes]:
        """Return the ids of the merchants of some row numbers, as `Updates.row` holds them."""
        text, lengths = self._rows.keys_of(numbers.astype(np.int64))
        keys, ends = text.tobytes(), np.cumsum(lengths).tolist()
        return [keys[end - n : end] for end, n in zip(ends, lengths.tolist(), strict=True)]

    def currencies_of(self, numbers: NDArray[np.int32]) -> list[int]:
        """Return the currencies (`events.currency_index`) of some row numbers."""
        return cast("list[int]", self._rows.currencies(numbers).tolist())

    def zone_of(self, merchant_id: bytes) -> Zone:
        """Return the time zone of a merchant's local days."""
        return self._zones.of(self.entitled(merchant_id))

    def draw(self, merchant_id: bytes, at: int) -> Draw:
        """Return what is known and thought of a merchant now, or at a later time (epoch ms)."""
        vector, contributions = np.empty(FEATURE_COUNT), np.empty(FEATURE_COUNT)
        row = self.row_bytes(merchant_id)
        compute(row_at(row and row[: ROW.itemsize], at, self.zone_of(merchant_id)), vector)
        pd = probability(vector, self._weights, contributions)
        return Draw(named(vector), pd, self._version.scorecard.version)

    def known_of(self, merchant_id: bytes, name: PolicyName) -> Known:
        """Return what a decision on one product stands on, as of the merchant's last event."""
        number = self._rows.find(merchant_id)
        if number < 0:
            return NOBODY
        reasons, known = np.zeros(REASONS_GIVEN, np.int16), np.zeros(engine.KNOWN, np.int64)
        pd = engine.know_one(
            number, np.uint64(name.key), self.watermark, self._rows.table, self._book(),
            self._scratch, reasons, known,
        )  # fmt: skip
        currency, everybodys, everybodys_version, closed, enrolled, limit, version = known.tolist()
        if name == EVERYBODYS:
            enrolled, limit, version = True, everybodys, everybodys_version
        return Known(
            enrolled=bool(enrolled),
            closed=bool(closed),
            currency=currency_code(currency) if currency >= 0 else "",
            limit=limit,
            limit_version=version,
            everybodys_limit=everybodys,
            probability_of_default=pd,
            reasons=tuple(reasons.tolist()),
        )

    def row_bytes(self, merchant_id: bytes) -> bytes | None:
        """Return the row of a merchant as the changelog carries it, or None."""
        number = self._rows.find(merchant_id)
        if number < 0:
            return None
        numbers = np.array([number])
        return self._packed(numbers, wide=bool(self._entitlements.have_one(numbers)[0])).tobytes()

    def entitled(self, merchant_id: bytes) -> Entitled | None:
        """Return what a merchant is enrolled for, to be read at once; None for nothing ever."""
        number = self._rows.find(merchant_id)
        return None if number < 0 else self._entitlements.of(number)
