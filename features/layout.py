"""The row: everything that is remembered of one merchant, in one table.

Times are epoch milliseconds, days are local day numbers (days since 1970-01-01 by the local
calendar), amounts are minor units of the row's currency. Rings are addressed by the day or hour
number modulo their length. Counts that a void may lower are signed: a void that overtakes its
payment must not wrap, and what is read is never below 0.
"""

from typing import Final, NamedTuple

import numpy as np

SCHEMA_VERSION: Final = 2
"""Raised whenever the layout or the meaning of a field changes; see `features.upgrade`."""

DAYS: Final = 35
"""Local days in the ring of days."""
HOURS: Final = 24
"""Local hours in the ring of hours."""
WINDOW: Final = 28
"""Local days that a feature looks back on, and length of a block."""
PAYERS: Final = 32
"""Payers that the sketch holds: the count is exact up to here."""
TOPS: Final = 6
"""Counters for the largest payers: a share is understated by at most 1/(TOPS + 1)."""


class Field(NamedTuple):
    """One field of a row."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    doc: str

    @property
    def size(self) -> int:
        """Bytes that the field costs a merchant."""
        return int(np.dtype((self.dtype, self.shape)).itemsize)


FIELDS: Final = (
    Field("schema_version", "<u2", (), "", "Version of this layout; 0 in a row without merchant"),
    Field("payer_level", "u1", (), "", "Sampling level of the payer sketch: 1 payer in 2**level"),
    Field(
        "dirty",
        "u1",
        (),
        "",
        "1 when the row changed since the last checkpoint; 0 in the changelog",
    ),
    Field("currency", "<i4", (), "index", "`events.currency_index`; -1 before the first event"),
    Field("offset", "<i8", (), "offset", "Last applied offset of `payments`; -1 before the first"),
    Field("clock", "<i8", (), "ms", "Event time up to which the row has been rolled"),
    Field(
        "due_at",
        "<i8",
        (),
        "ms",
        "Watermark from which on the row must be evaluated without an event of its own",
    ),
    Field("first_at", "<i8", (), "ms", "Oldest payment; -1 before the first"),
    Field("last_at", "<i8", (), "ms", "Newest payment; -1 before the first"),
    Field("day", "<i4", (), "day", "Local day to which the rings are rolled"),
    Field("hour", "<i4", (), "hour", "Local hour to which the ring of hours is rolled"),
    Field("first_day", "<i4", (), "day", "Local day of the oldest payment"),
    Field("last_day", "<i4", (), "day", "Local day of the newest payment"),
    Field("touched_day", "<i4", (), "day", "Newest local day that an event was counted on"),
    Field("limit_version", "<u4", (), "", "Limit updates so far"),
    Field("limit", "<i8", (), "minor units", "The limit in force"),
    Field("raised_at", "<i8", (), "ms", "Event time of the last raise; -1 before the first"),
    Field(
        "day_net",
        "<i8",
        (DAYS,),
        "minor units",
        "Per local day: payments less what was taken back; below 0 it reads as 0, and the excess"
        " is what was taken back beyond the payments",
    ),
    Field("day_payments", "<i4", (DAYS,), "payments", "Per local day: payments less voids"),
    Field(
        "day_refunds",
        "<i4",
        (DAYS,),
        "refunds",
        "Per local day of the payment: refunds and chargebacks less reversed chargebacks",
    ),
    Field("hour_payments", "<i4", (HOURS,), "payments", "Per local hour: payments less voids"),
    Field("hour_amount", "<i8", (HOURS,), "minor units", "Per local hour: payments less voids"),
    Field("payer_mark", "<u4", (PAYERS,), "hash", "Payer sketch: 32 bits of the payer's hash"),
    Field("payer_day", "u1", (PAYERS,), "day", "Payer sketch: last local day seen, modulo 256"),
    Field("payer_weight", "u1", (PAYERS,), "", "Payer sketch: the entry stands for 2**weight"),
    Field("top_mark", "<u4", (TOPS,), "hash", "Largest payers: 32 bits of the payer's hash"),
    Field(
        "top_amount",
        "<i8",
        (TOPS,),
        "minor units",
        "Largest payers: Misra-Gries counters of the amount, halved with every block",
    ),
    Field("top_total", "<i8", (), "minor units", "All that the counters were fed, halved alike"),
    Field("block_payments", "<i4", (2,), "payments", "Per block: payments less voids"),
    Field("block_night", "<i4", (2,), "payments", "Per block: those from 23:00 to 06:00 local"),
    Field("block_funded", "<i4", (2,), "payments", "Per block: those whose funding is known"),
    Field("block_credit", "<i4", (2,), "payments", "Per block: those funded by credit"),
    Field("block_amount", "<i8", (2,), "minor units", "Per block: payments less voids"),
    Field("block_refunded", "<i8", (2,), "minor units", "Per block of the payment: refunds"),
    Field("block_charged_back", "<i8", (2,), "minor units", "Per block: less what was reversed"),
    Field(
        "block_square_high",
        "<i8",
        (2,),
        "minor units squared",
        "Per block: exact sum of squared tickets less voids, divided by 2**60",
    ),
    Field("block_square_low", "<i8", (2,), "minor units squared", "The rest of that division"),
    Field("block_gap", "<i8", (2,), "ms", "Longest time without a payment that ended in the block"),
    Field("excess", "<i8", (), "minor units", "Excess of the day tiles that have left the ring"),
    Field("total_payments", "<i8", (), "payments", "Ever: payments less voids"),
    Field("total_amount", "<i8", (), "minor units", "Ever: payments less voids"),
    Field("total_refunds", "<i8", (), "refunds", "Ever: refunds, chargebacks less reversed ones"),
    Field("total_refunded", "<i8", (), "minor units", "Ever: what those took back"),
    Field("total_outflow", "<i8", (), "minor units", "Ever: outflows"),
    Field(
        "balance_low",
        "<i8",
        (),
        "minor units",
        "Lowest balance after an event, ever; the balance is `total_amount` less `total_refunded`"
        " less `total_outflow`; 2**63 - 1 before the first event",
    ),
    Field(
        "block_balance_low",
        "<i8",
        (2,),
        "minor units",
        "Lowest balance while the row's clock was in the block, that at its beginning included",
    ),
)
"""Every field, in the order of its place in a row.

Entry 0 of a block field is the block of 28 local days (`day // 28`) in which the row's day
lies, entry 1 the block before it: together 28 to 56 days.
"""

ROW: Final = np.dtype(
    [(field.name, field.dtype, field.shape) for field in FIELDS],
    align=True,
)
"""The row as numpy sees it, and as the changelog carries it (little-endian)."""
