"""Record batches from columns, ready for a producer to send as they are."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from streams.wire.batches import HEADER_BYTES
from streams.wire.codec import Compression, compress, compressed_bound
from streams.wire.crc import crc32c
from streams.wire.varint import varint_size, write_varint
from streams.wire.words import copy

LARGEST_SECTION = 900_000
"""Bytes of records in one batch before compression; a broker takes 1 MiB by default."""

_PRODUCER = struct.Struct(">qhi")
_CRC = struct.Struct(">I")
_PRODUCER_AT, _CRC_AT, _ATTRIBUTES_AT = 43, 17, 21
_HEADER = struct.Struct(">qiibIhiqqqhii")
_AFTER_LENGTH = 12
_NOBODY = -1
_NO_HEADERS = b"\x00"

_OVERHEAD = 31  # attributes and five varints at their longest

Headers = Sequence[tuple[str, bytes | None]]
Message = (
    tuple[bytes | None, bytes | None]
    | tuple[bytes | None, bytes | None, Headers]
    | tuple[bytes | None, bytes | None, Headers, int | None]
)
"""(key, value[, headers[, timestamp]]): a null is None, the timestamp epoch ms, None for now."""


class EncodedBatch:
    """One record batch, as aiokafka's `send_batch` takes it in place of its own builder.

    Args:
        data: The batch; its checksum is computed when it is built, since the producer's id,
            epoch and sequence number come last.
        count: Records in it.
    """

    def __init__(self, data: bytearray, count: int) -> None:
        self._data = data
        self._count = count
        self._sealed = False

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        _PRODUCER.pack_into(self._data, _PRODUCER_AT, producer_id, producer_epoch, base_sequence)
        self._sealed = False

    def _build(self) -> bytearray:
        if not self._sealed:
            data = np.frombuffer(self._data, np.uint8)
            data.setflags(write=False)  # as fetched bytes are: the kernel is compiled once
            _CRC.pack_into(self._data, _CRC_AT, crc32c(data, _ATTRIBUTES_AT, data.size))
            self._sealed = True
        return self._data

    def size(self) -> int:
        """Return the bytes of the batch, header included."""
        return len(self._data)

    def record_count(self) -> int:
        """Return how many records are in it."""
        return self._count

    def closed(self) -> bool:
        """Return True: nothing can be added."""
        return True

    def close(self) -> None:
        """Do nothing: nothing can be added anyway."""


class Columns(NamedTuple):
    """Records to encode, one entry each, in three texts; a length of -1 is null."""

    keys: NDArray[np.uint8]
    key_at: NDArray[np.int64]
    key_length: NDArray[np.int64]
    values: NDArray[np.uint8]
    value_at: NDArray[np.int64]
    value_length: NDArray[np.int64]
    headers: NDArray[np.uint8]
    """Headers as on the wire, each record's with their count in front."""
    headers_at: NDArray[np.int64]
    headers_length: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    """Epoch milliseconds."""


def encode(
    columns: Columns, compression: str = "snappy", largest: int = LARGEST_SECTION
) -> list[EncodedBatch]:
    """Return batches of all records, in their order.

    Args:
        columns: The records. Texts and positions are trusted, and not kept.
        compression: `none`, `snappy`, `lz4` or `zstd`, each at its fast level.
        largest: Bytes of records in a batch, before compression. A record that is larger
            gets a batch of its own.
    """
    codec = Compression[compression.upper()]
    n = len(columns.key_at)
    room = _room(columns, largest)
    section = np.empty(room, np.uint8)
    packed = np.empty(0 if codec is Compression.NONE else compressed_bound(room), np.uint8)
    batches = []
    first = 0
    while first < n:
        count, size, newest = _write(columns, first, largest, section)
        body = section[:size]
        if codec is not Compression.NONE:
            body = packed[: compress(codec, body, packed)]
        data = bytearray(HEADER_BYTES + body.size)
        _HEADER.pack_into(
            data, 0, 0, len(data) - _AFTER_LENGTH, _NOBODY, 2, 0, codec, count - 1,
            int(columns.timestamp[first]), newest, _NOBODY, _NOBODY, _NOBODY, count,
        )  # fmt: skip
        data[HEADER_BYTES:] = body.data
        batches.append(EncodedBatch(data, count))
        first += count
    return batches


def encode_rows(
    keys: NDArray[np.uint8],
    key_length: NDArray[np.int64],
    rows: NDArray[np.uint8],
    compression: str = "snappy",
) -> list[EncodedBatch]:
    """Return batches of records whose values are the rows of a C-contiguous matrix.

    Args:
        keys: The records' keys, end to end.
        key_length: Bytes of each key.
        rows: Shape (rows, bytes of a row).
        compression: As in `encode`. The timestamp is the present.

    >>> keys, lengths = np.frombuffer(b"ab", np.uint8), np.array([1, 1])
    >>> [b.record_count() for b in encode_rows(keys, lengths, np.zeros((2, 3), np.uint8))]
    [2]
    """
    n = len(key_length)
    width = rows.shape[1] if n else 0
    return encode(
        Columns(
            keys if n else _text(b""),
            _starts(key_length),
            key_length,
            rows.reshape(-1),
            np.arange(n, dtype=np.int64) * width,
            np.full(n, width, np.int64),
            *_no_headers(n),
            timestamp=np.full(n, _now(), np.int64),
        ),
        compression,
    )


def encode_messages(messages: Sequence[Message], compression: str = "snappy") -> list[EncodedBatch]:
    """Return batches of messages, in their order; none for none.

    Args:
        messages: See `Message`.
        compression: As in `encode`.

    >>> [batch.record_count() for batch in encode_messages([(b"m1", b"{}"), (b"m2", None)])]
    [2]
    """
    now, n = _now(), len(messages)
    texts = [message[0] for message in messages] + [message[1] for message in messages]
    text, at, length = _joined(texts)
    plain = all(len(message) == 2 for message in messages)
    return encode(
        Columns(
            text,
            at[:n],
            length[:n],
            text,
            at[n:],
            length[n:],
            *(_no_headers(n) if plain else _joined([_headers_of(each) for each in messages])),
            timestamp=np.full(n, now, np.int64) if plain else _timestamps(messages, now),
        ),
        compression,
    )


def _no_headers(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    return _text(_NO_HEADERS), np.zeros(n, np.int64), np.ones(n, np.int64)


def _headers_of(message: Message) -> bytes:
    return _headers(message[2]) if len(message) > 2 else _NO_HEADERS


def _timestamps(messages: Sequence[Message], now: int) -> NDArray[np.int64]:
    given = [message[3] if len(message) > 3 else None for message in messages]
    return np.array([now if each is None else each for each in given], np.int64)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _headers(headers: Headers) -> bytes:
    if not headers:
        return _NO_HEADERS
    parts = [_varint(len(headers))]
    for name, value in headers:
        key = name.encode()
        parts += [_varint(len(key)), key]
        parts += [_varint(-1)] if value is None else [_varint(len(value)), value]
    return b"".join(parts)


def _varint(value: int) -> bytes:
    out = np.empty(10, np.uint8)
    return out[: write_varint(out, 0, value)].tobytes()


def _text(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(bytearray(data), np.uint8)


def _joined(
    parts: Sequence[bytes | None],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Return the parts as one text, where each begins in it, and their lengths."""
    lengths = [-1 if part is None else len(part) for part in parts]
    # For the few parts of most batches numpy's own sums would take longer than all the rest.
    starts = list(accumulate([max(length, 0) for length in lengths], initial=0))
    text = _text(b"".join([part for part in parts if part]))
    return text, np.array(starts[:-1], np.int64), np.array(lengths, np.int64)


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    present = np.maximum(lengths, 0)
    return np.cumsum(present) - present


@kernel
def _room(columns: Columns, largest: int) -> int:
    """Return a size that every section fits."""
    total = 0
    biggest = 0
    for i in range(columns.key_at.size):
        size = _OVERHEAD + columns.headers_length[i]
        size += max(columns.key_length[i], 0) + max(columns.value_length[i], 0)
        biggest = max(biggest, size)
        total += size
    return max(biggest, min(total, largest))


@kernel
def _write(
    columns: Columns, first: int, largest: int, out: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Write records from `first` on, at least one; return their count, size and newest time."""
    at = 0
    base = columns.timestamp[first]
    newest = base
    for i in range(first, columns.key_at.size):
        delta = columns.timestamp[i] - base
        key_length, value_length = columns.key_length[i], columns.value_length[i]
        headers_length = columns.headers_length[i]
        body = 1 + varint_size(delta) + varint_size(i - first) + headers_length
        body += varint_size(key_length) + max(key_length, 0)
        body += varint_size(value_length) + max(value_length, 0)
        if i > first and at + varint_size(body) + body > largest:
            return i - first, at, newest
        at = write_varint(out, at, body)
        out[at] = 0
        at = write_varint(out, at + 1, delta)
        at = write_varint(out, at, i - first)
        at = write_varint(out, at, key_length)
        if key_length > 0:
            copy(columns.keys, columns.key_at[i], out, at, key_length)
            at += key_length
        at = write_varint(out, at, value_length)
        if value_length > 0:
            copy(columns.values, columns.value_at[i], out, at, value_length)
            at += value_length
        copy(columns.headers, columns.headers_at[i], out, at, headers_length)
        at += headers_length
        newest = max(newest, columns.timestamp[i])
    return columns.key_at.size - first, at, newest
