"""How a merchant pays back, and what that leaves of its limit: its standing with a lender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
from msgspec import Meta

from features.bounds import Identifier
from scorers.entitlements import ENTITLEMENTS, FULL, MOST_STANDING
from scorers.loans import LoanKind
from scorers.policy import EVERYBODYS, PolicyName, Product

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scorers.entitlements import Draft
    from scorers.loans import Loan
    from scorers.policy import Servicing

LOST = frozenset({LoanKind.DEFAULTED, LoanKind.WRITTEN_OFF})


class StandingChanged(msgspec.Struct, frozen=True, tag_field="type", tag="standing_changed"):
    """A merchant's standing with a lender for a product, told to its row through the log.

    Attributes:
        merchant_id: Whose standing.
        lender_id: With whom.
        product: For what.
        standing: What is left of the limit, in 1/10,000.
    """

    merchant_id: Identifier
    lender_id: Identifier
    product: Product
    standing: Annotated[int, Meta(ge=0, le=MOST_STANDING)]


class Said(msgspec.Struct, frozen=True):
    """The last standing that a row was told of, as the ledger keeps it."""

    standing: int
    schema_version: int = 1


def standing_of(loans: Iterable[Loan], servicing: Servicing) -> int:
    """Return the standing that loans of one lender and product give, in 1/10,000.

    One that was lost ends the limit. While something is overdue, the bands say what is left of
    it; else every loan that was paid back and never overdue adds something to it.

    >>> from scorers.policy import Servicing
    >>> standing_of([], Servicing())
    10000
    """
    owed = overdue = on_time = 0
    for loan in loans:
        if loan.status in LOST:
            return 0
        owed += loan.outstanding
        overdue += loan.overdue
        on_time += loan.status is LoanKind.SETTLED and not loan.late
    if overdue > 0:
        reached = [band.standing for band in servicing.overdue if overdue >= band.share * owed]
        return min(reached, default=FULL)
    bonus = min(on_time * servicing.bonus_of_a_loan, servicing.most_bonus)
    return min(FULL + bonus, MOST_STANDING)


class Restanding:
    """What a change of standing does to a merchant's record (`partition.Amendment`).

    Args:
        change: the change.
        source: partition and offset of the record of the log that led to it. One at or below the
            last of the same partition counts no more.
    """

    currency = None

    def __init__(self, change: StandingChanged, source: tuple[int, int]) -> None:
        self._change = change
        self._source = source

    def change(self, record: Draft) -> None:
        """Make it; with whom the merchant is not enrolled it changes nothing."""
        name = PolicyName(self._change.lender_id, self._change.product)
        if name == EVERYBODYS:
            place = ENTITLEMENTS
        else:
            known = np.flatnonzero(record.key == np.uint64(name.key))
            if not len(known):
                return
            place = int(known[0])
        _, offset = self._source
        if offset > record.standing_offset[place]:
            record.standing_offset[place] = offset
            record.standing[place] = self._change.standing
