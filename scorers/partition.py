"""One Kafka partition of `payments`: what its events do to what it remembers, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from features.events import Outcome, currency_code, currency_index, places_of
from features.hashing import hash_of
from features.layout import ROW
from features.rows import row_at
from features.vector import FEATURE_COUNT, compute, named
from scorers import engine
from scorers.catalogue import BUILT_IN_POLICIES, Policies
from scorers.entitlements import GONE
from scorers.evaluation import COUNT, MOST_UPDATES, Book, Updates, allocate_updates, new_scratch
from scorers.loans import Draw
from scorers.policy import EVERYBODYS, PolicyName
from scorers.prior import BUILT_IN as BUILT_IN_SCORECARD
from scorers.raises import HeldBack
from scorers.reasons import REASONS_GIVEN
from scorers.remembered import Remembered
from scorers.scorecard import Scorecard, probability, weights_of
from scorers.shadows import Counted, ShadowBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from features.calendar import Zone
    from features.events import Events
    from scorers.entitlements import Draft
    from scorers.policy import Policy
    from scorers.raises import Stop

UPDATES_AT_ONCE: Final = 4096
SKEW_MS: Final = 5 * 60_000
HORIZON_MS: Final = 24 * 3_600_000


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


class Partition(Remembered):
    """Everything that one partition of `payments` has left behind, and what is in force.

    When recovery has handed back what was remembered, and with `activate` what was in force, the
    log is applied from any offset at or before the one that the clock names, plus 1, and rows and
    updates become what they would have been without the crash.

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
        super().__init__(zone)
        self._limits = engine.Limits(skew_ms, horizon_ms)
        self._shadows = ShadowBook()
        self._held_back = HeldBack()
        self._scratch = new_scratch()
        self._updates = allocate_updates(max(updates_at_once, MOST_UPDATES))
        self._cursor = np.zeros(4, np.int64)
        self._on_updates: Callable[[Updates], None] | None = None
        self.activate(version or Version())

    @property
    def version(self) -> Version:
        """Scorecard and policies in force."""
        return self._version

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
            self._add_to_sums(updates, self._version.policies)
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
