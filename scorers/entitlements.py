"""What a merchant has beside what everybody has: one record for each that has said something.

A merchant enrols for policies, at most `ENTITLEMENTS` at a time, and may have a time zone of its
own. Most do neither, so the record does not stand in the row: it has a table of its own, and
travels behind the row in the changelog.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import numpy as np

from features.compiler import JIT, kernel, pasted
from features.hashing import hash_bytes
from features.keys import find
from features.layout import ROW
from features.restore import offset_at
from features.rows import gather
from features.upgrade import upgraded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from features.keys import Keys
    from features.restore import Records

ENTITLEMENTS: Final = 8
"""Policies that a merchant may be enrolled for at a time."""

FULL: Final = 10_000
"""Standing of a merchant that nothing is held against, and that has earned nothing on top."""

GONE: Final = -1
"""Standing of a merchant that is withdrawing."""

MOST_STANDING: Final = 100_000
"""No standing is above this."""

RECORD: Final = np.dtype(
    [
        ("schema_version", "<u2"),
        ("closed", "u1"),
        ("zone", "<u4"),
        ("offset", "<i8"),
        ("source_offset", "<i8"),
        ("source_partition", "<i4"),
        ("key", "<u8", (ENTITLEMENTS,)),
        ("limit", "<i8", (ENTITLEMENTS,)),
        ("raised_at", "<i8", (ENTITLEMENTS,)),
        ("version", "<u4", (ENTITLEMENTS,)),
        ("standing", "<i4", (ENTITLEMENTS + 1,)),
        ("standing_offset", "<i8", (ENTITLEMENTS + 1,)),
        ("version_floor", "<u4"),
        ("month", "<i4"),
        ("month_net", "<i8", (2,)),
        ("since", "<i8"),
    ],
    align=True,
)
"""A record as numpy sees it and the changelog carries it; `Entitled` says what is in it."""

RECORD_SCHEMA_VERSION: Final = 2
"""In version 1 the place of `zone` was empty: zeros, and so the installation's."""
WIDTH: Final = ROW.itemsize + RECORD.itemsize
"""Bytes of a row with the record behind it."""

_RECORD: Final = np.dtype((np.record, RECORD))


class Entitled(Protocol):
    """One merchant's record; the arrays have an entry for each policy that it is enrolled for."""

    schema_version: int
    closed: int
    """1 when the merchant has closed: every limit is 0."""
    zone: np.uint32
    """`calendar.zone_key` of the zone it has registered; 0 for none: the installation's holds."""
    offset: int
    """Last offset of the log that the row had when the record was written."""
    source_offset: int
    """Offset, on its own topic, of the last merchant event; -1 before any."""
    source_partition: int
    """Partition of that topic."""
    key: NDArray[np.uint64]
    """`PolicyName.key`; 0 where there is none."""
    limit: NDArray[np.int64]
    """Limit in force, minor units."""
    raised_at: NDArray[np.int64]
    """Event time of the last raise, epoch ms; -1 before the first."""
    version: NDArray[np.uint32]
    """Of the last limit update."""
    standing: NDArray[np.int32]
    """What is left of the limit by how the merchant pays back, in 1/10,000 (`FULL`); the last
    entry is for everybody's policy."""
    standing_offset: NDArray[np.int64]
    """Offset in the log of what led to each standing; -1 before anything has."""
    version_floor: int
    """Versions of what it enrols for from now on are above this one."""
    month: int
    """Local month (`calendar.month_of`) of `month_net[0]`."""
    month_net: NDArray[np.int64]
    """Payments less what was taken back, of this month and the one before, minor units."""
    since: int
    """Event time from which on payments are in `month_net`, epoch ms; -1 before any."""


_STANDINGS: Final = ENTITLEMENTS + 1


def _filled(value: int, kind: type[np.generic], n: int = ENTITLEMENTS) -> Any:
    return lambda: np.full(n, value, kind)


@dataclass(slots=True)
class Draft:
    """A record while it is changed; the names are those of `Entitled`."""

    closed: bool = False
    zone: int = 0
    source_offset: int = -1
    source_partition: int = 0
    key: NDArray[np.uint64] = field(default_factory=_filled(0, np.uint64))
    limit: NDArray[np.int64] = field(default_factory=_filled(0, np.int64))
    raised_at: NDArray[np.int64] = field(default_factory=_filled(-1, np.int64))
    version: NDArray[np.uint32] = field(default_factory=_filled(0, np.uint32))
    standing: NDArray[np.int32] = field(default_factory=_filled(FULL, np.int32, _STANDINGS))
    standing_offset: NDArray[np.int64] = field(default_factory=_filled(-1, np.int64, _STANDINGS))
    version_floor: int = 0
    since: int = -1


class EntitledViews(Protocol):
    """Several records: `records[i]` is one."""

    def __getitem__(self, i: int) -> Entitled:
        """Return record `i`; writing to it changes the record."""


if JIT:

    @pasted
    def as_records(table: NDArray[np.uint8]) -> EntitledViews:
        """Return the records whose bytes are `table`."""
        return table.view(RECORD)

else:

    def as_records(table: NDArray[np.uint8]) -> EntitledViews:
        """Return the records whose bytes are `table`."""
        return cast(EntitledViews, table.view(_RECORD).view(np.recarray))


_OFFSET_AT: Final = int(RECORD.fields["offset"][1]) if RECORD.fields else 0
_ZONE_AT: Final = int(RECORD.fields["zone"][1]) if RECORD.fields else 0
_SIZE: Final = RECORD.itemsize


@kernel
def restore_records(
    keys: Keys,
    text: NDArray[np.uint8],
    key_at: NDArray[np.int64],
    key_length: NDArray[np.int32],
    at: NDArray[np.int64],
    of_row: NDArray[np.int32],
    raw: NDArray[np.uint8],
    used: int,
) -> int:
    """Take in records of merchants that all have a row; of one merchant's the highest offset wins.

    They are of `RECORD_SCHEMA_VERSION` from then on.

    Args:
        keys: the index of the rows.
        text: bytes that hold keys and records.
        key_at: where each merchant's id begins.
        key_length: its length.
        at: where each record begins.
        of_row: `Entitlements.of_row`.
        raw: the records as bytes, shape (records, RECORD.itemsize), with room for all.
        used: records in use.

    Returns:
        Records in use from now on.
    """
    for i in range(len(at)):
        start, length = int(key_at[i]), int(key_length[i])
        row = find(keys, text, start, length, hash_bytes(text, start, length))
        number = int(of_row[row]) - 1
        if number < 0:
            number = used
            used += 1
            of_row[row] = used
        elif offset_at(text, at[i] + _OFFSET_AT) < offset_at(raw[number], _OFFSET_AT):
            continue
        into = raw[number]
        for k in range(_SIZE):
            into[k] = text[at[i] + k]
        into[0], into[1] = RECORD_SCHEMA_VERSION, 0
    return used


def record_in(raw: bytes) -> Entitled | None:
    """Return the record that stands behind a row in the changelog; None when there is none."""
    return cast(Entitled, np.frombuffer(raw, _RECORD)[0]) if raw else None


def zones_in(records: Records) -> NDArray[np.uint32]:
    """Return the zones (`Entitled.zone`) that records name which stand behind rows."""
    at = records.value_at + ROW.itemsize + _ZONE_AT
    zones: NDArray[np.uint32] = records.text[at[:, None] + np.arange(4)].view("<u4").ravel()
    return zones


def upgraded_wide(value: bytes) -> bytes:
    """Return a changelog value with its row brought up to date (`features.upgrade`).

    Raises:
        UnreadableRow: the row is newer, or no row.
    """
    if len(value) == WIDTH:
        return upgraded(value[: ROW.itemsize]) + value[ROW.itemsize :]
    return upgraded(value)


class Entitlements:
    """The records of one partition's merchants.

    Attributes:
        of_row: for each row number the number of its record plus 1; 0 for none.
    """

    def __init__(self) -> None:
        self._records = np.zeros(64, _RECORD)
        self._used = 0
        self.of_row = np.zeros(1024, np.int32)

    def __len__(self) -> int:
        """Merchants that have a record."""
        return self._used

    @property
    def table(self) -> NDArray[np.uint8]:
        """The bytes of all records, for `as_records`; valid until `prepare`."""
        return self._records.view(np.uint8)

    def prepare(self, rows: int, more: int = 0) -> None:
        """Make room for the numbers of so many rows, and for some more records."""
        if rows > len(self.of_row):
            numbers = np.zeros(max(rows, 4 * len(self.of_row)), np.int32)
            numbers[: len(self.of_row)] = self.of_row
            self.of_row = numbers
        if self._used + more > len(self._records):
            records = np.zeros(max(self._used + more, 4 * len(self._records)), _RECORD)
            records[: self._used] = self._records[: self._used]
            self._records = records

    def of(self, row: int) -> Entitled | None:
        """Return the record of a row, to be read at once; None when it has none."""
        number = int(self.of_row[row]) if row < len(self.of_row) else 0
        return cast(Entitled, self._records[number - 1]) if number else None

    def have_one(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of some rows have a record."""
        self.prepare(int(rows.max(initial=-1)) + 1)
        return self.of_row[rows] > 0

    def limits_of(self, key: np.uint64) -> NDArray[np.int64]:
        """Return the limits, minor units, of all that are enrolled for the policy of a key."""
        records = self._records[: self._used]
        return cast("NDArray[np.int64]", records["limit"][records["key"] == key])

    def sums(self) -> dict[int, int]:
        """Return the sum of the limits, minor units, by the key of the policy."""
        records = self._records[: self._used]
        keys, places = np.unique(records["key"], return_inverse=True)
        sums = np.zeros(len(keys), np.int64)
        np.add.at(sums, places.ravel(), records["limit"].ravel())
        return dict(zip(keys.tolist(), sums.tolist(), strict=True))

    def draft(self, row: int) -> Draft:
        """Return a copy of a row's record to change, or a new one (also of row -1)."""
        number = int(self.of_row[row]) if 0 <= row < len(self.of_row) else 0
        if not number:
            return Draft()
        columns, n = self._records, number - 1
        return Draft(
            closed=bool(columns["closed"][n]),
            zone=int(columns["zone"][n]),
            source_offset=int(columns["source_offset"][n]),
            source_partition=int(columns["source_partition"][n]),
            key=columns["key"][n].copy(),
            limit=columns["limit"][n].copy(),
            raised_at=columns["raised_at"][n].copy(),
            version=columns["version"][n].copy(),
            standing=columns["standing"][n].copy(),
            standing_offset=columns["standing_offset"][n].copy(),
            version_floor=int(columns["version_floor"][n]),
            since=int(columns["since"][n]),
        )

    def put(self, row: int, draft: Draft) -> None:
        """Make a draft the record of a row."""
        self.prepare(row + 1, 1)
        if not self.of_row[row]:
            self._records["schema_version"][self._used] = RECORD_SCHEMA_VERSION
            self._records["offset"][self._used] = -1
            self._used += 1
            self.of_row[row] = self._used
        n = int(self.of_row[row]) - 1
        for name in Draft.__slots__:
            self._records[name][n] = getattr(draft, name)

    def forget_gone(self, row: int) -> None:
        """Free the entries of a row that it has withdrawn from; versions never fall."""
        n = int(self.of_row[row]) - 1
        columns = self._records
        for entry in np.flatnonzero(columns["standing"][n, :ENTITLEMENTS] == GONE):
            if columns["key"][n, entry]:
                floor = max(columns["version_floor"][n], columns["version"][n, entry])
                columns["version_floor"][n] = floor
                columns["key"][n, entry] = 0

    def pack(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Copy the records of some rows, all of which have one, behind them.

        Args:
            rows: their numbers.
            out: bytes of shape (len(rows), WIDTH): the last RECORD.itemsize of each are filled.
        """
        records = self.table.reshape(-1, RECORD.itemsize)
        gather(records, self.of_row[rows].astype(np.int64) - 1, out, ROW.itemsize)

    def restore(self, keys: Keys, records: Records) -> None:
        """Take records back that stand behind rows in the changelog; the highest offset wins.

        Args:
            keys: the index of the rows, which have been restored before.
            records: the changelog records; each value is a row with a record behind it.

        Raises:
            ValueError: one is of a newer layout.
        """
        at = records.value_at + ROW.itemsize
        versions = records.text[at].astype(np.int64) | records.text[at + 1].astype(np.int64) << 8
        for version in versions[(versions < 1) | (versions > RECORD_SCHEMA_VERSION)]:
            raise ValueError(
                f"what a merchant is enrolled for has layout {version}, this release knows"
                f" layouts up to {RECORD_SCHEMA_VERSION}: start a newer release"
            )
        self.prepare(len(keys.place), len(at))
        self._used = restore_records(
            keys, records.text, records.key_at, records.key_length, at, self.of_row,
            self.table.reshape(-1, RECORD.itemsize), self._used,
        )  # fmt: skip
