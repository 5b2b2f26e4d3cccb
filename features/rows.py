"""The rows of one partition's merchants."""

from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from features.calendar import Zone
from features.compiler import inlined
from features.hashing import hash_of
from features.keys import DELETED, HEAP, LONGEST_ID, ROWS, SLOTS, Keys, append, fill, find
from features.layout import ROW
from features.restore import Records, restore_records
from features.roll import roll
from features.upgrade import UnreadableRow, upgraded
from features.views import Row, RowViews, blank

Cell = TypeVar("Cell", bound=np.generic)

_RECORD: Final = np.dtype((np.record, ROW))
_DIRTY_AT: Final = int(_RECORD.fields["dirty"][1]) if _RECORD.fields else 0
_FEWEST: Final = 1024
"""Rows that there is room for at first."""
_AT_ONCE: Final = 512
"""Rows that are copied at a time."""


@inlined
def add(
    keys: Keys,
    rows: RowViews,
    text: NDArray[np.uint8],
    at: int,
    length: int,
    hashed: np.uint64,
) -> int:
    """Return the number of a new, blank row for a merchant that `keys.find` did not find.

    There must be room for it: see `Rows.prepare`.
    """
    row = append(keys, text, at, length, hashed)
    blank(rows[row])
    return row


def gather(
    source: NDArray[np.uint8], numbers: NDArray[np.int64], out: NDArray[np.uint8], at: int
) -> None:
    """Copy some rows of `source` into `out`, one behind the other, from column `at` on.

    A few at a time: what numpy copies in between stays in the cache. As a whole it would be a
    matrix of its own, of a hundred megabytes at a checkpoint, on pages never written to before.
    """
    width = source.shape[1]
    for first in range(0, len(numbers), _AT_ONCE):
        part = numbers[first : first + _AT_ONCE]
        out[first : first + len(part), at : at + width] = source[part]


def _grown(array: NDArray[Cell], used: int, needed: int) -> NDArray[Cell]:
    """Return `array` with room for `needed` entries, at least four times as many as before.

    Zeros: a page that nothing is written to costs no memory, and one written to for the first
    time costs 2 us on a virtual machine, so rows are copied as seldom as may be.
    """
    if needed <= len(array):
        return array
    larger = np.zeros((max(needed, len(array) * 4), *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger


class Rows:
    """A structured array of rows, an index from merchant id to row number, and what has changed.

    Kernels read and write `table` and `keys`; both are replaced when room is made, so they are
    asked for after `prepare`, for each batch anew.

    >>> rows = Rows()
    >>> number = rows.add(b"stall-7")
    >>> rows.find(b"stall-7") == number, rows.find(b"stall-8"), len(rows)
    (True, -1, 1)
    >>> int(rows.row(number).offset)
    -1
    """

    def __init__(self) -> None:
        self._rows = np.zeros(_FEWEST, _RECORD)
        self.keys = Keys(
            slots=np.zeros(2 * _FEWEST, np.uint64),
            place=np.zeros(_FEWEST, np.uint64),
            heap=np.zeros(_FEWEST * 16, np.uint8),
            counts=np.zeros(4, np.int64),
        )

    def __len__(self) -> int:
        """Merchants that have a row."""
        return int(self.keys.counts[ROWS] - self.keys.counts[DELETED])

    @property
    def used(self) -> int:
        """Row numbers given out: rows are 0 to `used - 1`, deleted ones included."""
        return int(self.keys.counts[ROWS])

    def prepare(self, n: int) -> None:
        """Make room for `n` new merchants, so that kernels need not."""
        counts = self.keys.counts
        rows = self.used + n
        self._rows = _grown(self._rows, self.used, rows)
        place = _grown(self.keys.place, self.used, rows)
        heap = _grown(self.keys.heap, int(counts[HEAP]), int(counts[HEAP]) + n * LONGEST_ID)
        if place is not self.keys.place or heap is not self.keys.heap:
            self.keys = self.keys._replace(place=place, heap=heap)
        if 4 * (int(counts[SLOTS]) + n) > 3 * len(self.keys.slots):
            slots = len(self.keys.slots)
            while 4 * (len(self) + n) > 3 * slots:
                slots *= 2
            self.keys = self.keys._replace(slots=np.zeros(slots, np.uint64))
            fill(self.keys)

    @property
    def table(self) -> NDArray[np.uint8]:
        """The bytes of all rows, for `views.as_rows` in a kernel; valid until `prepare`."""
        return self._rows.view(np.uint8)

    def add(self, merchant_id: bytes) -> int:
        """Return the row number of a merchant, of a new blank row if need be."""
        found = self.find(merchant_id)
        if found >= 0:
            return found
        if not 1 <= len(merchant_id) <= LONGEST_ID:
            raise ValueError(
                f"a merchant id has 1 to {LONGEST_ID} bytes, this one {len(merchant_id)}"
            )
        self.prepare(1)
        text = np.frombuffer(merchant_id, np.uint8)
        hashed = np.uint64(hash_of(merchant_id))
        row = append(self.keys, text, 0, len(text), hashed)
        blank(self.row(row))
        return int(row)

    def find(self, merchant_id: bytes) -> int:
        """Return the row number of a merchant, or -1."""
        text = np.frombuffer(merchant_id, np.uint8)
        return int(find(self.keys, text, 0, len(text), np.uint64(hash_of(merchant_id))))

    def key(self, row: int) -> bytes:
        """Return the merchant id of a row; empty when it was deleted."""
        place = int(self.keys.place[row])
        return self.keys.heap[place >> 8 : (place >> 8) + (place & 0xFF)].tobytes()

    def keys_of(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the merchant ids of some rows, end to end as one text, and their lengths.

        >>> rows = Rows()
        >>> numbers = np.array([rows.add(b"stall-7"), rows.add(b"m")])
        >>> text, lengths = rows.keys_of(numbers)
        >>> text.tobytes(), lengths.tolist()
        (b'stall-7m', [7, 1])
        """
        place = self.keys.place[numbers]
        starts = (place >> np.uint64(8)).astype(np.int64)
        lengths = (place & np.uint64(0xFF)).astype(np.int64)
        shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        return self.keys.heap[shift + np.arange(len(shift))], lengths

    def row(self, row: int) -> Row:
        """Return a row by its number; writing to it changes the row. Valid until `prepare`.

        Kernels for one row, such as `vector.compute`, take it too, half a millisecond a call.
        """
        return cast(Row, self._rows[row])

    def value(self, row: int, name: str) -> int:
        """Return one whole number of a row by the field's name, sooner than `row` does."""
        return int(self._rows[name][row])

    def currencies(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the currencies (`events.currency_index`) of some rows; -1 before a first event."""
        return cast("NDArray[np.int32]", self._rows["currency"][numbers])

    def packed(self, numbers: NDArray[np.int64], more: int = 0) -> NDArray[np.uint8]:
        """Return a copy of some rows as the changelog carries them.

        Args:
            numbers: of the rows.
            more: bytes behind each row that are left for the caller to fill.

        Returns:
            Bytes of shape (len(numbers), ROW.itemsize + more); no row says that it is dirty.
        """
        copy = np.empty((len(numbers), ROW.itemsize + more), np.uint8)
        gather(self._bytes(), numbers, copy, 0)
        copy[:, _DIRTY_AT] = 0
        return copy

    def dirty_rows(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that changed since they were last cleared."""
        return np.flatnonzero(self._bytes()[: self.used, _DIRTY_AT])

    def clear_dirty(self, numbers: NDArray[np.int64]) -> None:
        """Take rows for unchanged: they are in the changelog."""
        self._bytes()[numbers, _DIRTY_AT] = 0

    def restore(self, records: Records) -> None:
        """Take in changelog records, in log order.

        The row with the highest offset wins, of equal ones the last; a null value deletes.
        A restored row is not dirty.

        Raises:
            UnreadableRow: naming the merchant, when a value is not a row of this schema version
                or an older one. The records before it are applied.
        """
        for index in np.flatnonzero((records.key_length < 1) | (records.key_length > LONGEST_ID)):
            raise UnreadableRow(
                f"changelog record {index}: a merchant id has 1 to {LONGEST_ID} bytes,"
                f" this key {records.key_length[index]}"
            )
        self.prepare(len(records.key_at))
        never = np.zeros(1, ROW)
        never["due_at"] = np.iinfo(np.int64).max
        never_bytes = never.view(np.uint8)
        start = 0
        while True:
            start = restore_records(self.keys, self._bytes(), records, start, never_bytes)
            if start == len(records.key_at):
                return
            self._restore_one(records, start, never_bytes)
            start += 1

    def _restore_one(self, records: Records, index: int, never: NDArray[np.uint8]) -> None:
        """Take in a record whose value the kernel does not know."""
        at, size = int(records.key_at[index]), int(records.key_length[index])
        key = records.text[at : at + size].tobytes()
        at, size = int(records.value_at[index]), int(records.value_length[index])
        try:
            value = upgraded(records.text[at : at + size].tobytes())
        except UnreadableRow as error:
            raise UnreadableRow(f"the changelog row of merchant {key!r}: {error}") from error
        one = Records(
            text=np.frombuffer(key + value, np.uint8),
            key_at=np.array([0], np.int64),
            key_length=np.array([len(key)], np.int32),
            value_at=np.array([len(key)], np.int64),
            value_length=np.array([len(value)], np.int32),
        )
        restore_records(self.keys, self._bytes(), one, 0, never)

    def _bytes(self) -> NDArray[np.uint8]:
        return self._rows.view(np.uint8).reshape(len(self._rows), ROW.itemsize)


def row_at(value: bytes | None, at: int, zone: Zone) -> Row:
    """Return a row of its own from a row's bytes, rolled to a time.

    Args:
        value: bytes of one row of the present schema version; None for a merchant of whom nothing
            is known.
        at: event time, epoch ms; a row that is later stays.
        zone: where the merchant's day begins.

    Raises:
        ValueError: the bytes are not a row.
    """
    if value is not None and len(value) != ROW.itemsize:
        raise ValueError(f"a row has {ROW.itemsize} bytes, this one {len(value)}")
    rows = Rows()
    number = rows.add(b"looked at")
    if value is not None:
        rows.table[number * ROW.itemsize :][: ROW.itemsize] = np.frombuffer(value, np.uint8)
    row = rows.row(number)
    roll(row, at, zone)
    return row
