"""From a merchant id to a row number: an index in open addressing, for kernels.

A slot of the index holds the upper half of the id's hash and the row number. The ids themselves
stand one after another in a heap of bytes and are compared byte by byte: two merchants whose
hashes agree stay two merchants.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from features.hashing import hash_bytes

LONGEST_ID: Final = 64
"""Bytes of the longest merchant id."""

ROWS: Final = 0
"""`Keys.counts`: row numbers given out, deleted ones included."""
HEAP: Final = 1
"""`Keys.counts`: bytes of the heap in use."""
SLOTS: Final = 2
"""`Keys.counts`: slots of the index that are not free, deleted ones included."""
DELETED: Final = 3
"""`Keys.counts`: row numbers whose merchant was deleted. They are not given out again."""

_FREE = np.uint64(0)
_GONE = np.uint64(0xFFFFFFFF)
_ROW = np.uint64(0xFFFFFFFF)
_TAG = np.uint64(0xFFFFFFFF00000000)
_LENGTH = np.uint64(0xFF)
_1, _8 = np.uint64(1), np.uint64(8)


class Keys(NamedTuple):
    """The index of a partition's merchants."""

    slots: NDArray[np.uint64]
    """A power of two of slots: 0 is free, else hash[63:32] << 32 | row number + 1."""
    place: NDArray[np.uint64]
    """Per row: where the id begins in the heap << 8 | its length; 0 when deleted."""
    heap: NDArray[np.uint8]
    counts: NDArray[np.int64]
    """`ROWS`, `HEAP`, `SLOTS`, `DELETED`."""


@kernel
def _is_at(keys: Keys, place: np.uint64, text: NDArray[np.uint8], at: int, length: int) -> bool:
    """Return whether the id in the heap at `place` is `text[at:at + length]`."""
    if np.int64(place & _LENGTH) != length:
        return False
    i, j = place >> _8, np.uint64(at)
    for k in range(np.uint64(length)):
        if keys.heap[i + np.uint64(k)] != text[j + np.uint64(k)]:
            return False
    return True


@kernel
def find(keys: Keys, text: NDArray[np.uint8], at: int, length: int, hashed: np.uint64) -> int:
    """Return the row number of the merchant `text[at:at + length]`, or -1.

    Args:
        keys: the index.
        text: bytes that hold the id.
        at: where it begins.
        length: its length, 1 to 64.
        hashed: `hash_bytes` of it.
    """
    mask = np.uint64(len(keys.slots)) - _1
    slot = hashed & mask
    tag = hashed & _TAG
    while keys.slots[slot] != _FREE:
        entry = keys.slots[slot]
        if (entry & _TAG) == tag and (entry & _ROW) != _GONE:
            row = int(np.int64((entry & _ROW) - _1))
            if _is_at(keys, keys.place[row], text, at, length):
                return row
        slot = (slot + _1) & mask
    return -1


@kernel
def _put(keys: Keys, row: int, hashed: np.uint64) -> None:
    """Point the first free slot for `hashed` at `row`."""
    mask = np.uint64(len(keys.slots)) - _1
    slot = hashed & mask
    while keys.slots[slot] != _FREE:
        slot = (slot + _1) & mask
    keys.slots[slot] = (hashed & _TAG) | np.uint64(row + 1)
    keys.counts[SLOTS] += 1


@kernel
def append(keys: Keys, text: NDArray[np.uint8], at: int, length: int, hashed: np.uint64) -> int:
    """Return a new row number for the merchant `text[at:at + length]`, which `find` did not find.

    There must be room: see `features.rows.Rows.prepare`.
    """
    row = int(keys.counts[ROWS])
    start = int(keys.counts[HEAP])
    for k in range(length):
        keys.heap[start + k] = text[at + k]
    keys.place[row] = np.uint64(start) << _8 | np.uint64(length)
    keys.counts[ROWS] = row + 1
    keys.counts[HEAP] = start + length
    _put(keys, row, hashed)
    return row


@kernel
def remove(keys: Keys, row: int, hashed: np.uint64) -> None:
    """Forget the merchant of `row`; its row number stays unused."""
    mask = np.uint64(len(keys.slots)) - _1
    slot = hashed & mask
    wanted = (hashed & _TAG) | np.uint64(row + 1)
    while keys.slots[slot] != wanted:
        slot = (slot + _1) & mask
    keys.slots[slot] = _GONE
    keys.place[row] = _FREE
    keys.counts[DELETED] += 1


@kernel
def hash_at(keys: Keys, row: int) -> np.uint64:
    """Return `hash_bytes` of the merchant id of `row`, which was not deleted."""
    place = keys.place[row]
    length = int(np.int64(place & _LENGTH))
    return hash_bytes(keys.heap, int(np.int64(place >> _8)), length)


@kernel
def fill(keys: Keys) -> None:
    """Point the slots, all free until now, at every row that has a merchant."""
    keys.counts[SLOTS] = 0
    for row in range(keys.counts[ROWS]):
        if keys.place[row] != _FREE:
            _put(keys, row, hash_at(keys, row))
