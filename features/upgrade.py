"""Rows of other schema versions: an older one is brought up to date, a newer one refused."""

from collections.abc import Callable
from typing import Final

import numpy as np

from features.calendar import NEVER
from features.layout import ROW, SCHEMA_VERSION

_BEFORE_OUTFLOWS: Final = int(ROW.fields["total_outflow"][1]) if ROW.fields else 0
"""Bytes of a row of version 1."""


def _with_outflows(value: bytes) -> bytes:
    """Add the fields of outflows (version 2): none so far, the lowest balance is today's."""
    if len(value) != _BEFORE_OUTFLOWS:
        return value  # its size will be complained of
    row = np.frombuffer(value + bytes(ROW.itemsize - len(value)), ROW).copy()
    row["schema_version"] = 2
    known = int(row["offset"][0]) >= 0
    low = row["total_amount"] - row["total_refunded"] if known else NEVER
    row["balance_low"] = low
    row["block_balance_low"] = low
    return row.tobytes()


UPGRADES: Final[dict[int, Callable[[bytes], bytes]]] = {1: _with_outflows}
"""By schema version: from a row of that version to one of the next. Every change of
`SCHEMA_VERSION` adds the step from the version before it."""


class UnreadableRow(ValueError):  # noqa: N818  # reads as what it is
    """A changelog value that is not a row this program can read."""


def upgraded(value: bytes) -> bytes:
    """Return a row of any version up to `SCHEMA_VERSION` as a row of that version.

    Raises:
        UnreadableRow: when the row is newer, of no known version, or has another size.

    >>> upgraded(b"")
    Traceback (most recent call last):
    ...
    features.upgrade.UnreadableRow: a row begins with its schema version, but this has 0 bytes
    """
    if len(value) < 2:
        raise UnreadableRow(
            f"a row begins with its schema version, but this has {len(value)} bytes"
        )
    version = int.from_bytes(value[:2], "little")
    if version > SCHEMA_VERSION:
        raise UnreadableRow(
            f"the row has schema version {version} and this program reads up to {SCHEMA_VERSION}:"
            " start a version of Duoshou at least as new as the one that wrote it"
        )
    while version < SCHEMA_VERSION:
        step = UPGRADES.get(version)
        if step is None:
            raise UnreadableRow(f"no program ever wrote rows of schema version {version}")
        value = step(value)
        version += 1
    if len(value) != ROW.itemsize:
        raise UnreadableRow(
            f"a row of schema version {SCHEMA_VERSION} has {ROW.itemsize} bytes,"
            f" but this has {len(value)}"
        )
    return value
