"""Payment ids of the last day: each counts once, also over restarts and rebalances.

Ids are kept as 64-bit hashes in generations of 12 hours of watermark time. An id counts as seen
in its own generation and the two after it, so for 24 to 36 hours. A fourth generation stays for
replays: what was seen at an offset is found seen again when that offset comes back after a crash,
even if a page of the next generation was written before.

An entry keeps the offset that first carried the id. A record at that offset, or before it, comes
again after a crash and is no duplicate of itself.

Two ids of a partition share a hash with a probability of n * n / 2**65: of 100 million ids in a
day, once in 3,700 days.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel

GENERATION_MS: Final = 12 * 3_600_000
"""Watermark time of a generation."""
GENERATIONS: Final = 4
"""Generations that are kept."""
VISIBLE: Final = 3
"""Generations in which an id counts as seen: the watermark's and the two before."""

NEW: Final = 0
DUPLICATE: Final = 1
"""The same id with the same content came before."""
CONFLICT: Final = 2
"""The same id came before with other content."""
REPLAY: Final = 3
"""The id is known from this very offset or a later one: apply it like a new one."""

CURRENT: Final = 0
"""`Seen.state`: the newest generation."""
FRESH: Final = 1
"""`Seen.state`: entries of the fresh columns."""
COUNTS: Final = 2
"""`Seen.state`: from here on, the entries of each of the four tables."""

NONE_YET: Final = -(2**40)
"""`CURRENT` before the first generation."""
_OFFSET_BITS = np.uint64(44)
_OFFSETS = np.uint64(2**44 - 1)
_CONTENTS = np.uint64(2**20 - 1)
_0, _1, _32 = np.uint64(0), np.uint64(1), np.uint64(32)
_HALF = np.uint64(0xFFFFFFFF)


class Seen(NamedTuple):
    """What kernels read and write of the ids of a partition.

    Generation g is in table g % 4. A table has the shape (slots, 2); a slot is free (0, 0), or
    (hash, content << 44 | offset) with 20 bits of the content's hash: of a million conflicts
    one is called a duplicate. Either changes nothing.
    """

    table_0: NDArray[np.uint64]
    table_1: NDArray[np.uint64]
    table_2: NDArray[np.uint64]
    table_3: NDArray[np.uint64]
    state: NDArray[np.int64]
    """`CURRENT`, `FRESH`, `COUNTS`."""
    fresh_hash: NDArray[np.uint64]
    """Columns of what has come since the last page was taken."""
    fresh_content: NDArray[np.uint32]
    fresh_offset: NDArray[np.int64]
    fresh_generation: NDArray[np.int64]


@kernel
def _slot_of(table: NDArray[np.uint64], hashed: np.uint64) -> np.uint64:
    """Return the slot that holds the id, or the free one where it belongs."""
    slots = np.uint64(len(table))
    slot = ((hashed >> _32) * slots) >> _32
    while table[slot, 0] != _0 and table[slot, 0] != hashed:
        slot += _1
        if slot == slots:
            slot = _0
    return slot


@kernel
def _look(table: NDArray[np.uint64], hashed: np.uint64, content: np.uint64, offset: int) -> int:
    """Return what one table knows of an id."""
    slot = _slot_of(table, hashed)
    if table[slot, 0] == _0:
        return NEW
    entry = table[slot, 1]
    if np.int64(entry & _OFFSETS) >= offset:
        return REPLAY
    return DUPLICATE if (entry >> _OFFSET_BITS) == (content & _CONTENTS) else CONFLICT


@kernel
def _is_visible(seen: Seen, which: int, generation: int) -> bool:
    """Return whether table `which` has ids that count as seen in `generation`."""
    if seen.state[COUNTS + which] == 0:
        return False
    current = seen.state[CURRENT]
    held = current - (current - which) % GENERATIONS
    return bool(held > generation - VISIBLE)


@kernel
def check(seen: Seen, hashed: np.uint64, content: np.uint64, offset: int, watermark: int) -> int:
    """Return `NEW`, `DUPLICATE`, `CONFLICT` or `REPLAY` for the id of a record. Changes nothing.

    Args:
        seen: the ids of the partition.
        hashed: hash of the payment id.
        content: hash of what a repetition must repeat.
        offset: of the record.
        watermark: of the partition before this record, epoch ms.
    """
    generation = watermark // GENERATION_MS
    found = NEW
    if _is_visible(seen, 0, generation):
        found = _look(seen.table_0, hashed, content, offset)
    if found == NEW and _is_visible(seen, 1, generation):
        found = _look(seen.table_1, hashed, content, offset)
    if found == NEW and _is_visible(seen, 2, generation):
        found = _look(seen.table_2, hashed, content, offset)
    if found == NEW and _is_visible(seen, 3, generation):
        found = _look(seen.table_3, hashed, content, offset)
    return found


@kernel
def _put(table: NDArray[np.uint64], hashed: np.uint64, content: np.uint64, offset: int) -> bool:
    """Enter an id, and return whether it was unknown; of two offsets the lower one stays."""
    slot = _slot_of(table, hashed)
    known = table[slot, 0] != _0
    if known and np.int64(table[slot, 1] & _OFFSETS) <= offset:
        return False
    table[slot, 0] = hashed
    table[slot, 1] = ((content & _CONTENTS) << _OFFSET_BITS) | (np.uint64(offset) & _OFFSETS)
    return not known


@kernel
def _enter(seen: Seen, generation: int, hashed: np.uint64, content: np.uint64, offset: int) -> bool:
    """Enter an id in its generation's table, and return whether it was unknown there."""
    which = generation % GENERATIONS
    if which == 0:
        unknown = _put(seen.table_0, hashed, content, offset)
    elif which == 1:
        unknown = _put(seen.table_1, hashed, content, offset)
    elif which == 2:
        unknown = _put(seen.table_2, hashed, content, offset)
    else:
        unknown = _put(seen.table_3, hashed, content, offset)
    if unknown:
        seen.state[COUNTS + which] += 1
    return unknown


@kernel
def advance(seen: Seen, generation: int) -> None:
    """Make `generation` the newest, and forget those that no longer fit."""
    first = max(seen.state[CURRENT] + 1, generation - GENERATIONS + 1)
    for begun in range(first, generation + 1):
        which = begun % GENERATIONS
        if seen.state[COUNTS + which] > 0:
            if which == 0:
                seen.table_0[:] = _0
            elif which == 1:
                seen.table_1[:] = _0
            elif which == 2:
                seen.table_2[:] = _0
            else:
                seen.table_3[:] = _0
            seen.state[COUNTS + which] = 0
    seen.state[CURRENT] = max(seen.state[CURRENT], generation)


@kernel
def remember(
    seen: Seen, hashed: np.uint64, content: np.uint64, offset: int, watermark: int
) -> None:
    """Enter the id of a record that `check` found new or replayed.

    Args:
        seen: the ids of the partition, with room for it (`Duplicates.prepare`).
        hashed: hash of the payment id.
        content: hash of what a repetition must repeat.
        offset: of the record.
        watermark: of the partition with this record, epoch ms. Only its generation matters, and
            a new one begins here: what is forgotten is decided by the log alone.
    """
    generation = watermark // GENERATION_MS
    advance(seen, generation)
    if generation <= seen.state[CURRENT] - GENERATIONS:
        return
    if _enter(seen, generation, hashed, content, offset):
        fresh = seen.state[FRESH]
        seen.fresh_hash[fresh] = hashed
        seen.fresh_content[fresh] = content & _HALF
        seen.fresh_offset[fresh] = offset
        seen.fresh_generation[fresh] = generation
        seen.state[FRESH] = fresh + 1


@kernel
def load(
    seen: Seen,
    generation: int,
    hashes: NDArray[np.uint64],
    contents: NDArray[np.uint32],
    offsets: NDArray[np.int64],
) -> int:
    """Enter a page of ids into its generation, and return how many were unknown."""
    unknown = 0
    for k in range(len(hashes)):
        unknown += _enter(seen, generation, hashes[k], np.uint64(contents[k]), offsets[k])
    return unknown


@kernel
def rehash(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> None:
    """Copy the entries of a table into a larger, free one."""
    for k in range(len(old)):
        if old[k, 0] != _0:
            slot = _slot_of(new, old[k, 0])
            new[slot, 0] = old[k, 0]
            new[slot, 1] = old[k, 1]
