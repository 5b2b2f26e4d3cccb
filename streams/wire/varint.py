"""Kafka's zigzag varints, as kernels that never read past the end they are given."""

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel

_ONE = np.uint64(1)
_SEVEN = np.uint64(7)
_BITS = np.uint64(64)
_LOW = np.uint64(0x7F)
_MORE = np.uint64(0x80)


@kernel
def read_varint(text: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Return the signed value at `text[at]` and where it ends; -1 for the latter if malformed.

    `at` is not negative. Malformed: it runs into `end`, or is longer than the ten bytes that
    64 bits can take.

    >>> read_varint(np.array([0x96, 0x01], np.uint8), 0, 2)
    (75, 2)
    >>> read_varint(np.array([0x96], np.uint8), 0, 1)
    (0, -1)
    """
    raw, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < _BITS:
        byte = np.uint64(text[np.uint64(at)])
        at += 1
        raw |= (byte & _LOW) << shift
        if byte < _MORE:
            return int(np.int64(raw >> _ONE) ^ -np.int64(raw & _ONE)), at
        shift += _SEVEN
    return 0, -1


@kernel
def varint_size(value: int) -> int:
    """Return how many bytes `value` takes: 1 to 10.

    >>> varint_size(-64), varint_size(64)
    (1, 2)
    """
    if -64 <= value < 64:
        return 1
    raw = np.uint64(~value if value < 0 else value) >> np.uint64(6)
    size = 1
    while raw:
        raw >>= _SEVEN
        size += 1
    return size


@kernel
def write_varint(out: NDArray[np.uint8], at: int, value: int) -> int:
    """Write `value` at `out[at]`, which must have room for `varint_size(value)` bytes.

    Returns the position behind it.
    """
    raw = (np.uint64(~value) << _ONE) | _ONE if value < 0 else np.uint64(value) << _ONE
    while raw >= _MORE:
        out[at] = np.uint8((raw & _LOW) | _MORE)
        raw >>= _SEVEN
        at += 1
    out[at] = np.uint8(raw)
    return at + 1
