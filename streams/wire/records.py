"""Walk the record sections of one or many batches into columns.

A record: length varint (of what follows), attributes 1 byte, timestamp delta varint, offset
delta varint, key length varint (-1 null) and key, value length and value, header count and
for each header its key and value, each with its length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from streams.wire.errors import CorruptBatch
from streams.wire.varint import read_varint

SMALLEST_RECORD = 7
"""Bytes of a record with neither key, value nor headers."""

_FAR = 1 << 61
"""Times beyond this are refused as corrupt, so that adding two never overflows."""


class Records(NamedTuple):
    """Columns of equal length, one entry a record, in offset order.

    Positions count from the start of the text the sections lie in.
    """

    offset: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    """Epoch milliseconds, by the clock that the topic's `message.timestamp.type` names."""
    key_at: NDArray[np.int64]
    key_length: NDArray[np.int64]
    """-1: the key is null."""
    value_at: NDArray[np.int64]
    value_length: NDArray[np.int64]
    """-1: the value is null."""
    headers_at: NDArray[np.int64]
    headers_length: NDArray[np.int64]
    header_count: NDArray[np.int64]


# Columns of a table of sections, one row a batch whose records lie in the text. With
# log-append time FIXED_TIMESTAMP is that of every record, else -1.
AT, END, BASE_OFFSET, LAST_OFFSET, FIRST_TIMESTAMP, FIXED_TIMESTAMP, RECORD_COUNT = range(7)
SECTION_COLUMNS = 7


def walk(text: NDArray[np.uint8], sections: NDArray[np.int64], wanted_from: int = 0) -> Records:
    """Return the columns of all records of `sections` with an offset of at least `wanted_from`.

    `text` is C-contiguous and writable (so that kernels compile once), `sections` a table of
    shape (batches, `SECTION_COLUMNS`), its offsets rising. Nothing outside a section is read.
    Raises `CorruptBatch` naming the batch and the position in its section when a record does
    not end where its length says, offsets do not rise within what the batch covers, or bytes
    are left over.
    """
    total, overfull = _total(sections)
    if overfull >= 0:
        raise _corrupt(sections[overfull], 0)
    columns = np.empty((len(Records._fields), total), np.int64)
    n, section, at = _walk(text, sections, wanted_from, columns)
    if section >= 0:
        raise _corrupt(sections[section], at - int(sections[section, AT]))
    return Records(*(columns if n == total else columns[:, :n]))


def headers(text: NDArray[np.uint8], at: int, length: int) -> list[tuple[str, bytes | None]]:
    """Return the headers at `text[at:at + length]`, in order, repeated keys and all.

    A key that is not UTF-8 is given with replacement characters: headers are only shown or
    passed on, and one that is odd must not stop the record.
    """
    end = at + length
    found: list[tuple[str, bytes | None]] = []
    while at < end:
        size, at = read_varint(text, at, end)
        key = text[at : at + size].tobytes().decode("utf-8", "replace")
        size, at = read_varint(text, at + size, end)
        found.append((key, None if size < 0 else text[at : at + size].tobytes()))
        at += max(size, 0)
    return found


def _corrupt(section: NDArray[np.int64], at: int) -> CorruptBatch:
    first, last = int(section[BASE_OFFSET]), int(section[LAST_OFFSET])
    return CorruptBatch(
        f"batch of offsets {first} to {last}: malformed record {at} bytes into"
        f" {int(section[END] - section[AT])} bytes that are said to hold"
        f" {int(section[RECORD_COUNT])} records",
        first,
        last + 1,
    )


@kernel
def _total(sections: NDArray[np.int64]) -> tuple[int, int]:
    """Return (records in all, first section that is too small for its count or -1)."""
    total = 0
    for s in range(sections.shape[0]):
        count = sections[s, RECORD_COUNT]
        if count < 0 or count * SMALLEST_RECORD > sections[s, END] - sections[s, AT]:
            return 0, s
        total += count
    return total, -1


@kernel
def _walk(
    text: NDArray[np.uint8], sections: NDArray[np.int64], wanted_from: int, out: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Fill `out`, one row a field of `Records`.

    Returns (records kept, section that is corrupt or -1, where).
    """
    n = 0
    before = -1
    for s in range(sections.shape[0]):
        at = sections[s, AT]
        section_end = min(sections[s, END], text.size)
        base, last = sections[s, BASE_OFFSET], sections[s, LAST_OFFSET]
        first_timestamp, fixed = sections[s, FIRST_TIMESTAMP], sections[s, FIXED_TIMESTAMP]
        for _ in range(sections[s, RECORD_COUNT]):
            begin = at
            length, at = read_varint(text, at, section_end)
            if at < 0 or length < SMALLEST_RECORD - 1 or length > section_end - at:
                return n, s, begin
            end = at + length
            delta, at = read_varint(text, at + 1, end)
            if at < 0 or not -_FAR < delta < _FAR or not -_FAR < first_timestamp < _FAR:
                return n, s, begin
            offset_delta, at = read_varint(text, at, end)
            if at < 0 or offset_delta < 0 or offset_delta > last - base:
                return n, s, begin
            offset = base + offset_delta
            if offset <= before:
                return n, s, begin
            before = offset
            key_length, key_at = read_varint(text, at, end)
            if key_at < 0 or key_length < -1 or key_length > end - key_at:
                return n, s, begin
            value_length, value_at = read_varint(text, key_at + max(key_length, 0), end)
            if value_at < 0 or value_length < -1 or value_length > end - value_at:
                return n, s, begin
            header_count, headers_at = read_varint(text, value_at + max(value_length, 0), end)
            if headers_at < 0 or header_count < 0 or header_count > end - headers_at:
                return n, s, begin
            if _headers_end(text, headers_at, end, header_count) != end:
                return n, s, begin
            at = end
            if offset >= wanted_from:
                out[0, n] = offset
                out[1, n] = fixed if fixed != -1 else first_timestamp + delta
                out[2, n] = key_at
                out[3, n] = key_length
                out[4, n] = value_at
                out[5, n] = value_length
                out[6, n] = headers_at
                out[7, n] = end - headers_at
                out[8, n] = header_count
                n += 1
        if at != section_end:
            return n, s, at
    return n, -1, 0


@kernel
def _headers_end(text: NDArray[np.uint8], at: int, end: int, count: int) -> int:
    """Return where `count` headers from `at` end, -1 if they are malformed."""
    for _ in range(count):
        size, at = read_varint(text, at, end)
        if at < 0 or size < 0 or size > end - at:
            return -1
        size, at = read_varint(text, at + size, end)
        if at < 0 or size < -1 or size > end - at:
            return -1
        at += max(size, 0)
    return at
