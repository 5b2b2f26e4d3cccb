"""Rows as kernels see them.

Kernels are handed all rows as one array of bytes: numba's dispatcher needs 400 us to recognise
a structured array of this many fields, and next to nothing for bytes. `as_rows` makes rows of
them again inside the kernel, where it costs nothing.
"""

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from features.calendar import NEVER
from features.compiler import JIT, inlined, pasted
from features.layout import ROW, SCHEMA_VERSION


class Row(Protocol):
    """One row, to read and write: `row.clock`, `row.day_net[slot]`.

    The names, and what they hold, are those of `features.layout.FIELDS`.
    """

    schema_version: int
    payer_level: int
    dirty: int
    currency: int
    offset: int
    clock: int
    due_at: int
    first_at: int
    last_at: int
    day: int
    hour: int
    first_day: int
    last_day: int
    touched_day: int
    limit_version: int
    limit: int
    raised_at: int
    day_net: NDArray[np.int64]
    day_payments: NDArray[np.int32]
    day_refunds: NDArray[np.int32]
    hour_payments: NDArray[np.int32]
    hour_amount: NDArray[np.int64]
    payer_mark: NDArray[np.uint32]
    payer_day: NDArray[np.uint8]
    payer_weight: NDArray[np.uint8]
    top_mark: NDArray[np.uint32]
    top_amount: NDArray[np.int64]
    top_total: int
    block_payments: NDArray[np.int32]
    block_night: NDArray[np.int32]
    block_funded: NDArray[np.int32]
    block_credit: NDArray[np.int32]
    block_amount: NDArray[np.int64]
    block_refunded: NDArray[np.int64]
    block_charged_back: NDArray[np.int64]
    block_square_high: NDArray[np.int64]
    block_square_low: NDArray[np.int64]
    block_gap: NDArray[np.int64]
    excess: int
    total_payments: int
    total_amount: int
    total_refunds: int
    total_refunded: int
    total_outflow: int
    balance_low: int
    block_balance_low: NDArray[np.int64]


class RowViews(Protocol):
    """All rows: `rows[i]` is one, `rows.clock[i]` a field of one."""

    def __getitem__(self, i: int) -> Row:
        """Return row `i`; writing to it changes the row."""

    schema_version: NDArray[np.uint16]
    payer_level: NDArray[np.uint8]
    dirty: NDArray[np.uint8]
    currency: NDArray[np.int32]
    offset: NDArray[np.int64]
    clock: NDArray[np.int64]
    due_at: NDArray[np.int64]
    first_at: NDArray[np.int64]
    last_at: NDArray[np.int64]
    day: NDArray[np.int32]
    hour: NDArray[np.int32]
    first_day: NDArray[np.int32]
    last_day: NDArray[np.int32]
    touched_day: NDArray[np.int32]
    limit_version: NDArray[np.uint32]
    limit: NDArray[np.int64]
    raised_at: NDArray[np.int64]
    day_net: NDArray[np.int64]
    day_payments: NDArray[np.int32]
    day_refunds: NDArray[np.int32]
    hour_payments: NDArray[np.int32]
    hour_amount: NDArray[np.int64]
    payer_mark: NDArray[np.uint32]
    payer_day: NDArray[np.uint8]
    payer_weight: NDArray[np.uint8]
    top_mark: NDArray[np.uint32]
    top_amount: NDArray[np.int64]
    top_total: NDArray[np.int64]
    block_payments: NDArray[np.int32]
    block_night: NDArray[np.int32]
    block_funded: NDArray[np.int32]
    block_credit: NDArray[np.int32]
    block_amount: NDArray[np.int64]
    block_refunded: NDArray[np.int64]
    block_charged_back: NDArray[np.int64]
    block_square_high: NDArray[np.int64]
    block_square_low: NDArray[np.int64]
    block_gap: NDArray[np.int64]
    excess: NDArray[np.int64]
    total_payments: NDArray[np.int64]
    total_amount: NDArray[np.int64]
    total_refunds: NDArray[np.int64]
    total_refunded: NDArray[np.int64]
    total_outflow: NDArray[np.int64]
    balance_low: NDArray[np.int64]
    block_balance_low: NDArray[np.int64]


if JIT:

    @pasted
    def as_rows(table: NDArray[np.uint8]) -> RowViews:
        """Return the rows whose bytes are `table`: see `features.rows.Rows.table`."""
        return table.view(ROW)  # type: ignore[return-value]  # numba knows its fields

else:
    _RECORD = np.dtype((np.record, ROW))

    def as_rows(table: NDArray[np.uint8]) -> RowViews:
        """Return the rows whose bytes are `table`: see `features.rows.Rows.table`."""
        return cast(RowViews, table.view(_RECORD).view(np.recarray))


@inlined
def blank(row: Row) -> None:
    """Make a row that is all zero the row of a merchant of whom nothing is known."""
    row.schema_version = SCHEMA_VERSION
    row.currency = -1
    row.offset = -1
    row.clock = -1
    row.due_at = NEVER
    row.first_at = -1
    row.last_at = -1
    row.raised_at = -1
    row.balance_low = NEVER
    row.block_balance_low[0] = NEVER
    row.block_balance_low[1] = NEVER
