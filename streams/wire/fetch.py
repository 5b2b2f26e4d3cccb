"""One fetch of one partition, from the broker's bytes to one text and one set of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from streams.wire import batches as b
from streams.wire import records as r
from streams.wire.codec import Arena
from streams.wire.errors import CorruptBatch, WireError
from streams.wire.records import Records, walk
from streams.wire.words import copy

LARGEST_BATCH = 32 << 20
"""Bytes that a compressed batch may open to; a broker accepts 1 MiB of compressed ones."""

_TYPICAL_RATIO = 4

_SKIP, _PLAIN, _PACKED = range(3)
_NOWHERE = np.empty((0, 2), np.int64)


class Fetched(NamedTuple):
    """What `read` made of a fetch response."""

    records: Records
    text: NDArray[np.uint8]
    """The bytes that the positions in `records` count from."""
    next_offset: int
    """Where the next fetch begins; every record below it is in `records` or not wanted."""
    trailing: int
    """Bytes of a last batch of which the broker sent only a part."""
    refused: WireError | None
    """Why reading stopped at `next_offset`: nothing below it is lost. The next fetch meets the
    same batch; to pass it for good, fetch from `refused.next_offset`."""


def read(
    buffer: bytes | bytearray | memoryview,
    fetch_offset: int,
    max_bytes: int = LARGEST_BATCH,
    aborted: Sequence[tuple[int, int]] = (),
) -> Fetched:
    """Return all records of `buffer` from `fetch_offset` on.

    Checksums are checked, control batches and batches of aborted transactions left out.
    `aborted` is the fetch response's list of (producer id, first offset); empty when reading
    uncommitted. A batch may open to `max_bytes` and no more; reading also stops, to go on
    with the next fetch, once all batches together have opened to that.
    """
    view = memoryview(buffer).toreadonly().cast("B")
    table, status, stopped_at = b.scan_table(view)
    action = np.empty(len(table), np.uint8)
    sound, plain_bytes, packed, packed_bytes = _plan(table, fetch_offset, action)
    refused = b.trouble_at(view, status, stopped_at) if status else None
    if sound < len(table):
        refused = _wrong_checksum(table[sound])
    table = table[:sound]
    if aborted:
        _leave_out_aborted(view, table, action, aborted)

    arena = Arena(plain_bytes + _TYPICAL_RATIO * packed_bytes)
    where = _NOWHERE
    if packed:
        where, stopped = _open_all(view, table, action, arena, max_bytes)
        if len(where) < sound:
            table, refused = table[: len(where)], stopped
    plain_at, used = arena.reserve(plain_bytes)
    text = arena.text[:used]
    sections = np.empty((len(table), r.SECTION_COLUMNS), np.int64)
    data = np.frombuffer(view, np.uint8)
    n = _fill(data, table, action, where, text, plain_at, sections)
    records, corrupt = _walk_sound(text, sections[:n], fetch_offset)
    return Fetched(
        records=records,
        text=text,
        next_offset=_next_offset(table, fetch_offset, corrupt),
        trailing=0 if status else len(view) - stopped_at,
        refused=corrupt or refused,
    )


def _open_all(
    view: memoryview,
    table: NDArray[np.int64],
    action: NDArray[np.uint8],
    arena: Arena,
    max_bytes: int,
) -> tuple[NDArray[np.int64], WireError | None]:
    """Decompress the packed batches into `arena`.

    Returns where each begins and ends there, shape (batches, 2), and why it stopped: before a
    batch that cannot be opened, or, without an error, behind the one with which all together
    reach `max_bytes`.
    """
    places: list[tuple[int, int]] = []
    error = None
    for row, what in zip(table.tolist(), action.tolist(), strict=False):
        if what != _PACKED:
            places.append((0, 0))
            continue
        section = view[row[b.START] + b.HEADER_BYTES : row[b.END]]
        try:
            places.append(arena.open(row[b.ATTRIBUTES] & b.COMPRESSION_MASK, section, max_bytes))
        except WireError as cause:
            error = b.located(cause, row[b.BASE_OFFSET], row[b.LAST_OFFSET])
            break
        if arena.used >= max_bytes:
            break
    return np.array(places, np.int64).reshape(-1, 2), error


def _walk_sound(
    text: NDArray[np.uint8], sections: NDArray[np.int64], fetch_offset: int
) -> tuple[Records, CorruptBatch | None]:
    """Return the records before the first corrupt batch, and what is wrong with that one."""
    try:
        return walk(text, sections, fetch_offset), None
    except CorruptBatch as error:
        sound = int(np.searchsorted(sections[:, r.BASE_OFFSET], error.base_offset))
        return walk(text, sections[:sound], fetch_offset), error


def _next_offset(table: NDArray[np.int64], fetch_offset: int, corrupt: CorruptBatch | None) -> int:
    if corrupt is not None:
        return max(fetch_offset, corrupt.base_offset)
    return max(fetch_offset, int(table[-1, b.LAST_OFFSET]) + 1) if len(table) else fetch_offset


def _wrong_checksum(row: NDArray[np.int64]) -> CorruptBatch:
    first, last = int(row[b.BASE_OFFSET]), int(row[b.LAST_OFFSET])
    return CorruptBatch(
        f"batch of offsets {first} to {last}: its checksum does not match", first, last + 1
    )


def _leave_out_aborted(
    view: memoryview,
    table: NDArray[np.int64],
    action: NDArray[np.uint8],
    aborted: Sequence[tuple[int, int]],
) -> None:
    """Set to `_SKIP` the batches of each aborted producer from its first offset to its marker."""
    waiting = sorted(aborted, key=lambda transaction: transaction[1])
    in_abort: set[int] = set()
    for i, row in enumerate(table.tolist()):
        while waiting and waiting[0][1] <= row[b.LAST_OFFSET]:
            in_abort.add(waiting.pop(0)[0])
        if row[b.PRODUCER_ID] not in in_abort or not row[b.ATTRIBUTES] & b.TRANSACTIONAL:
            continue
        if row[b.ATTRIBUTES] & b.CONTROL:
            if b.batch_of(row, view).marker() is b.Marker.ABORT:
                in_abort.discard(row[b.PRODUCER_ID])
        else:
            action[i] = _SKIP


@kernel
def _plan(
    table: NDArray[np.int64], fetch_offset: int, action: NDArray[np.uint8]
) -> tuple[int, int, int, int]:
    """Say of each batch what to do with it.

    Returns (batches before the first with a wrong checksum, bytes of records in the plain
    ones, how many are packed, bytes of records in the packed ones).
    """
    plain_bytes = 0
    packed = 0
    packed_bytes = 0
    for i in range(table.shape[0]):
        row = table[i]
        if row[b.CRC_HOLDS] == 0:
            return i, plain_bytes, packed, packed_bytes
        size = row[b.END] - row[b.START] - b.HEADER_BYTES
        if row[b.LAST_OFFSET] < fetch_offset or row[b.ATTRIBUTES] & b.CONTROL:
            action[i] = _SKIP
        elif row[b.ATTRIBUTES] & b.COMPRESSION_MASK:
            action[i] = _PACKED
            packed += 1
            packed_bytes += size
        else:
            action[i] = _PLAIN
            plain_bytes += size
    return table.shape[0], plain_bytes, packed, packed_bytes


@kernel
def _fill(
    data: NDArray[np.uint8],
    table: NDArray[np.int64],
    action: NDArray[np.uint8],
    where: NDArray[np.int64],
    text: NDArray[np.uint8],
    plain_at: int,
    sections: NDArray[np.int64],
) -> int:
    """Copy the records of plain batches to `text[plain_at:]`; fill and count `sections`."""
    n = 0
    for i in range(table.shape[0]):
        if action[i] == _SKIP:
            continue
        row, section = table[i], sections[n]
        if action[i] == _PACKED:
            section[r.AT], section[r.END] = where[i, 0], where[i, 1]
        else:
            source = row[b.START] + b.HEADER_BYTES
            size = row[b.END] - source
            section[r.AT], section[r.END] = plain_at, plain_at + size
            copy(data, source, text, plain_at, size)
            plain_at += size
        section[r.BASE_OFFSET] = row[b.BASE_OFFSET]
        section[r.LAST_OFFSET] = row[b.LAST_OFFSET]
        section[r.FIRST_TIMESTAMP] = row[b.FIRST_TIMESTAMP]
        append = row[b.ATTRIBUTES] & b.LOG_APPEND
        section[r.FIXED_TIMESTAMP] = row[b.MAX_TIMESTAMP] if append else -1
        section[r.RECORD_COUNT] = row[b.RECORD_COUNT]
        n += 1
    return n
