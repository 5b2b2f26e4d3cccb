"""The record batches of a fetched partition: their headers, checksums and boundaries.

A batch, magic 2 (all integers big-endian): base offset 8 bytes, length of what follows 4,
leader epoch 4, magic 1, CRC-32C of what follows 4, attributes 2, last offset delta 4, first
timestamp 8, largest timestamp 8, producer id 8, producer epoch 2, base sequence 4, record
count 4, records. Attributes: bits 0-2 compression, 3 log-append time, 4 transactional,
5 control batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from streams.wire.codec import Compression, decompress
from streams.wire.crc import crc32c
from streams.wire.errors import CorruptBatch, UnsupportedBatch, WireError
from streams.wire.records import walk

HEADER_BYTES = 61
"""Bytes before the first record of a batch."""

_LENGTH_AT, _MAGIC_AT, _CRC_AT, _ATTRIBUTES_AT = 8, 16, 17, 21
_AFTER_LENGTH = 12
_SMALLEST_LENGTH = HEADER_BYTES - _AFTER_LENGTH
_SMALLEST_OLD_LENGTH = 14

# Columns of the table that `scan` fills, one row a batch.
START, END, BASE_OFFSET, LAST_OFFSET, ATTRIBUTES, FIRST_TIMESTAMP, MAX_TIMESTAMP = range(7)
PRODUCER_ID, PRODUCER_EPOCH, BASE_SEQUENCE, RECORD_COUNT, CRC_HOLDS = range(7, 12)
COLUMNS = 12

_LARGEST_OFFSET = (1 << 62) - 1

_WHOLE, _BAD_LENGTH, _OTHER_MAGIC, _BAD_OFFSETS = range(4)

COMPRESSION_MASK, LOG_APPEND, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
"""What the bits of `attributes` mean."""


class Marker(IntEnum):
    """What a control batch says of the transaction of its producer."""

    ABORT = 0
    COMMIT = 1


class TimestampType(IntEnum):
    """Whose clock the timestamps of a batch are."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class RecordBatch(NamedTuple):
    """One whole batch. Offsets are absolute, timestamps epoch milliseconds."""

    base_offset: int
    last_offset: int
    attributes: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    crc_holds: bool
    raw: memoryview
    """The bytes of the batch, header included."""

    @property
    def next_offset(self) -> int:
        """The offset to fetch after this batch."""
        return self.last_offset + 1

    @property
    def compression(self) -> int:
        """The compression's number, 0 to 7 (see `codec.Compression`)."""
        return self.attributes & COMPRESSION_MASK

    @property
    def is_control(self) -> bool:
        """Whether this is the end of a transaction and not for the application."""
        return bool(self.attributes & CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Whether the batch belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def timestamp_type(self) -> TimestampType:
        """With LOG_APPEND_TIME every record bears `max_timestamp`."""
        append = self.attributes & LOG_APPEND
        return TimestampType.LOG_APPEND_TIME if append else TimestampType.CREATE_TIME

    def validate_crc(self) -> None:
        """Raise `CorruptBatch` unless the checksum is that of the bytes."""
        if not self.crc_holds:
            raise CorruptBatch(
                f"the checksum of the batch at offset {self.base_offset} does not match its bytes",
                self.base_offset,
                self.next_offset,
            )

    def records(self, max_bytes: int) -> bytes:
        """Return the records, decompressed.

        Raises `DecompressionBomb` when that would be more than `max_bytes`, `CorruptBatch`
        when the stream is broken, `UnsupportedBatch` for an unknown compression.
        """
        section = self.raw[HEADER_BYTES:]
        if self.compression == Compression.NONE:
            return bytes(section)
        try:
            return bytes(decompress(self.compression, section, max_bytes))
        except WireError as error:
            raise located(error, self.base_offset, self.last_offset) from error

    def marker(self) -> Marker | None:
        """Return what a control batch says; None for other batches and unknown markers."""
        if not self.is_control:
            return None
        text = np.frombuffer(bytearray(self.raw), np.uint8)
        whole = [
            HEADER_BYTES,
            text.size,
            self.base_offset,
            self.last_offset,
            0,
            -1,
            self.record_count,
        ]
        records = walk(text, np.array([whole], np.int64))
        if records.offset.size == 0:
            return None
        at, length = int(records.key_at[0]), int(records.key_length[0])
        kind = int.from_bytes(text[at + 2 : at + 4].tobytes(), "big") if length >= 4 else -1
        return Marker(kind) if kind in (Marker.ABORT, Marker.COMMIT) else None


def located(error: WireError, base_offset: int, last_offset: int) -> WireError:
    """Return an error of the same class that also says which batch it concerns."""
    where = f"batch of offsets {base_offset} to {last_offset}: {error}"
    return type(error)(where, base_offset, last_offset + 1)


class Batches:
    """The whole batches of a fetch response, in order; a truncated last one is left out."""

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(buffer).toreadonly().cast("B")
        self._table, self._status, self._stopped_at = scan_table(self._view)

    @property
    def trailing(self) -> int:
        """Bytes at the end that belong to a batch of which the rest is missing."""
        return 0 if self._status != _WHOLE else len(self._view) - self._stopped_at

    def __iter__(self) -> Iterator[RecordBatch]:
        """Yield each batch; then raise if what follows them is not a batch.

        Raises `CorruptBatch` for a length or offset that cannot be, `UnsupportedBatch` for
        another magic than 2.
        """
        for row in self._table.tolist():
            yield batch_of(row, self._view)
        if self._status != _WHOLE:
            raise trouble_at(self._view, self._status, self._stopped_at)


def split(buffer: bytes | bytearray | memoryview) -> Batches:
    """Return the record batches of `buffer`, the records of one partition in a fetch response.

    >>> batches = split(b"")
    >>> list(batches), batches.trailing
    ([], 0)
    """
    return Batches(buffer)


def batch_of(row: list[int], view: memoryview) -> RecordBatch:
    """Return the batch that one row of `scan_table` describes."""
    raw = view[row[START] : row[END]]
    return RecordBatch._make([*row[BASE_OFFSET:CRC_HOLDS], bool(row[CRC_HOLDS]), raw])


def scan_table(view: memoryview) -> tuple[NDArray[np.int64], int, int]:
    """Return one row of `COLUMNS` figures a whole batch, a status, and where the scan stopped.

    Status 0: what is left there is a truncated batch or nothing. Otherwise give both to
    `trouble_at`.
    """
    data = np.frombuffer(view, np.uint8)
    table = np.empty((data.size // HEADER_BYTES, COLUMNS), np.int64)
    n, status, stopped_at = _scan(data, table)
    return table[:n], status, stopped_at


def trouble_at(view: memoryview, status: int, at: int) -> WireError:
    """Return the error for what `scan_table` met at `at`."""
    base_offset = int.from_bytes(view[at : at + _LENGTH_AT], "big", signed=True)
    if status == _OTHER_MAGIC:
        return UnsupportedBatch(
            f"the batch at offset {base_offset} has magic {view[at + _MAGIC_AT]}, not 2; 0 and 1"
            " are the formats from before Kafka 0.11: have the topic's producers upgraded",
            base_offset,
        )
    what = "length" if status == _BAD_LENGTH else "range of offsets"
    return CorruptBatch(
        f"the batch at offset {base_offset} states an impossible {what}", base_offset
    )


@kernel
def _big_endian(data: NDArray[np.uint8], at: int, size: int) -> int:
    """Return the signed big-endian integer of `size` bytes at `data[at]`."""
    value = np.int64(data[at])
    if value >= 0x80:
        value -= 0x100
    for i in range(1, size):
        value = (value << 8) | np.int64(data[at + i])
    return int(value)


@kernel
def _scan(data: NDArray[np.uint8], table: NDArray[np.int64]) -> tuple[int, int, int]:
    """Fill `table`; return (batches, status, position after the last whole batch)."""
    at = 0
    n = 0
    while at + _CRC_AT <= data.size:
        length = _big_endian(data, at + _LENGTH_AT, 4)
        magic = data[at + _MAGIC_AT]
        if length < _SMALLEST_OLD_LENGTH:
            return n, _BAD_LENGTH, at
        end = at + _AFTER_LENGTH + length
        if end > data.size:
            return n, _WHOLE, at
        if magic != 2:
            return n, _OTHER_MAGIC, at
        if length < _SMALLEST_LENGTH:
            return n, _BAD_LENGTH, at
        row = table[n]
        row[START] = at
        row[END] = end
        row[BASE_OFFSET] = _big_endian(data, at, 8)
        last_offset_delta = _big_endian(data, at + 23, 4)
        if row[BASE_OFFSET] < 0 or row[BASE_OFFSET] > _LARGEST_OFFSET or last_offset_delta < 0:
            return n, _BAD_OFFSETS, at
        row[LAST_OFFSET] = row[BASE_OFFSET] + last_offset_delta
        row[ATTRIBUTES] = _big_endian(data, at + _ATTRIBUTES_AT, 2)
        row[FIRST_TIMESTAMP] = _big_endian(data, at + 27, 8)
        row[MAX_TIMESTAMP] = _big_endian(data, at + 35, 8)
        row[PRODUCER_ID] = _big_endian(data, at + 43, 8)
        row[PRODUCER_EPOCH] = _big_endian(data, at + 51, 2)
        row[BASE_SEQUENCE] = _big_endian(data, at + 53, 4)
        row[RECORD_COUNT] = _big_endian(data, at + 57, 4)
        stated = _big_endian(data, at + _CRC_AT, 4) & 0xFFFFFFFF
        row[CRC_HOLDS] = crc32c(data, at + _ATTRIBUTES_AT, end) == stated
        n += 1
        at = end
    return n, _WHOLE, at
