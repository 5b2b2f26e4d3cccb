"""Rows from the changelog, many at a time."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from features.hashing import hash_bytes
from features.keys import Keys, append, find, remove
from features.layout import ROW, SCHEMA_VERSION

_SIZE: Final = ROW.itemsize
_OFFSET_AT: Final = int(ROW.fields["offset"][1]) if ROW.fields else 0


class Records(NamedTuple):
    """Changelog records in log order: where each one's key and value stand in `text`."""

    text: NDArray[np.uint8]
    key_at: NDArray[np.int64]
    key_length: NDArray[np.int32]
    value_at: NDArray[np.int64]
    value_length: NDArray[np.int32]
    """-1 for a null value, which deletes the merchant."""


@kernel
def offset_at(text: NDArray[np.uint8], at: int) -> int:
    """Return the little-endian number of 64 bits that begins at `at`."""
    top = int(text[at + 7])
    offset = top - 256 if top >= 128 else top
    for k in range(6, -1, -1):
        offset = offset << 8 | int(text[at + k])
    return offset


@kernel
def _version_in(text: NDArray[np.uint8], at: int) -> int:
    """Return the schema version of the row that begins at `at`."""
    return int(text[at]) | int(text[at + 1]) << 8


@kernel
def restore_records(
    keys: Keys, raw: NDArray[np.uint8], records: Records, start: int, never: NDArray[np.uint8]
) -> int:
    """Apply records from `start` on, and return the index of the first that needs a closer look.

    A row stays when it holds a higher offset than the record; with the same one, the later
    record wins. Where a value is not a row of this schema version, the kernel stops.

    Args:
        keys: the index, with room for every record.
        raw: the rows as bytes, shape (rows, ROW.itemsize).
        records: the changelog records.
        start: the first record to apply.
        never: the bytes of a row without a merchant.

    Returns:
        `len(records.key_at)` when all are applied.
    """
    text = records.text
    for record in range(start, len(records.key_at)):
        key_at = int(records.key_at[record])
        key_length = int(records.key_length[record])
        at = int(records.value_at[record])
        size = int(records.value_length[record])
        if size >= 0 and (size != _SIZE or _version_in(text, at) != SCHEMA_VERSION):
            return record
        hashed = hash_bytes(text, key_at, key_length)
        row = find(keys, text, key_at, key_length, hashed)
        if size < 0:
            if row >= 0:
                remove(keys, row, hashed)
                for k in range(_SIZE):
                    raw[row, k] = never[k]
            continue
        if row < 0:
            row = append(keys, text, key_at, key_length, hashed)
        elif offset_at(text, at + _OFFSET_AT) < offset_at(raw[row], _OFFSET_AT):
            continue
        # Unsigned indices need no check for negative ones: so this becomes one copy.
        into, source = raw[row], text[at : at + _SIZE]
        for k in range(np.uint64(_SIZE)):
            into[k] = source[k]
    return len(records.key_at)
