"""What one Kafka partition remembers of its merchants: rows, payment ids and event-time clock."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np

from features.layout import ROW
from features.pages import Duplicates, read_page
from features.restore import Records
from features.rows import Rows
from scorers import engine
from scorers.ahead import Ahead
from scorers.entitlements import WIDTH, Entitlements
from scorers.policy import EVERYBODYS, PolicyName
from scorers.zones import MerchantZones

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from features.calendar import Zone
    from scorers.catalogue import Policies
    from scorers.entitlements import Entitled
    from scorers.evaluation import Updates

CLOCK_SCHEMA_VERSION: Final = 1


class ChangedRows(NamedTuple):
    """Copies of rows of one width, for the changelog."""

    keys: NDArray[np.uint8]
    """The merchants' ids, end to end."""
    key_length: NDArray[np.int64]
    """Bytes of each id."""
    rows: NDArray[np.uint8]
    """Shape (rows, ROW.itemsize), or (rows, WIDTH) of those that are enrolled for something."""


class Remembered:
    """What a checkpoint makes durable of a partition, and recovery hands back.

    A checkpoint takes, between two batches, `take_pages`, `take_changed_rows` and `clock_state`,
    and makes them durable in that order. Recovery hands them back with `load_page` and
    `restore_rows` and `restore_clock`, in any order.

    Args:
        zone: time zone of the local days of merchants that have registered none.
    """

    def __init__(self, zone: Zone) -> None:
        self._zones = MerchantZones(zone)
        self._rows = Rows()
        self._duplicates = Duplicates()
        self._ahead = Ahead()
        self._clock = engine.new_clock()
        self._entitlements = Entitlements()
        self._sums: defaultdict[int, int] | None = None

    @property
    def zone(self) -> Zone:
        """Time zone of the local days of merchants that have registered none."""
        return self._zones.installations

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

    def _add_to_sums(self, updates: Updates, policies: Policies) -> None:
        if self._sums is None:
            return
        moved = np.zeros(len(policies), np.int64)
        np.add.at(moved, updates.policy, updates.limit - updates.previous)
        for place in np.flatnonzero(moved).tolist():
            self._sums[policies[place].name.key] += int(moved[place])
