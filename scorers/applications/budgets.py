"""A lender's budget, split over the partitions, which lend each other what they do not need.

A partition alone decides about its share, so no approval waits for another partition. What is
given is taken off the giver before the receiver hears of it: while it is under way nobody has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from features.bounds import LARGEST_AMOUNT
from scorers.applications.messages import BudgetGiven, BudgetWanted

if TYPE_CHECKING:
    from scorers.exposure import Line
    from scorers.store import Store

WANT_AGAIN_MS: Final = 60_000
"""Event time after which a request that nobody answered is repeated, ms."""


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a partition has received and given of the budget of one line.

    Attributes:
        received: since ever, minor units.
        given: since ever, minor units.
        wanted_at: event time of a request that is not answered yet, epoch ms.
        wants: highest source offset of the requests of each other partition.
        gifts: highest source offset of what each other partition gave.
        schema_version: of this layout.
    """

    received: int = 0
    given: int = 0
    wanted_at: int | None = None
    wants: dict[int, int] = {}
    gifts: dict[int, int] = {}
    schema_version: int = 1


NOTHING = Share()


def base_share(budget: int, partition: int, partitions: int) -> int:
    """Return a partition's share before anything is given: the lowest get what does not divide.

    >>> [base_share(100, partition, 3) for partition in range(3)]
    [34, 33, 33]
    """
    return budget // partitions + (partition < budget % partitions)


class Budgets:
    """The shares of one partition.

    Args:
        store: keeps a `Share` by lender, product and currency.
        partition: whose shares.
        partitions: how many there are; it can never change, or shares would be counted twice.
    """

    def __init__(self, store: Store[Share], partition: int, partitions: int) -> None:
        self._store = store
        self._partition = partition
        self._partitions = partitions

    def share(self, line: Line, budget: int) -> int:
        """Return what this partition may lend and reserve, minor units, in [0, budget].

        Args:
            line: the lender's product and currency.
            budget: of all partitions together, minor units.
        """
        base = base_share(budget, self._partition, self._partitions)
        share = self._store.get(line) or NOTHING
        return max(0, min(budget, base + share.received - share.given))

    def want(self, line: Line, lacks: int, offset: int, clock: int) -> BudgetWanted | None:
        """Return a request for the other partitions, unless one is still waiting.

        Args:
            line: the lender's product and currency.
            lacks: what would have been needed, minor units.
            offset: of the application that needed it, in this partition's log.
            clock: event time, epoch ms.
        """
        share = self._store.get(line) or NOTHING
        waiting = share.wanted_at is not None and clock - share.wanted_at < WANT_AGAIN_MS
        if lacks <= 0 or self._partitions == 1 or waiting:
            return None
        self._store.put(line, msgspec.structs.replace(share, wanted_at=clock))
        amount = min(lacks, LARGEST_AMOUNT)
        return BudgetWanted(*line, self._partition, amount, offset)

    def give(
        self, wanted: BudgetWanted, line: Line, budget: int | None, used: int, offset: int
    ) -> BudgetGiven | None:
        """Return what another partition gets: at most half of what is free here, rounded down.

        Args:
            wanted: what it asks for; it counts once.
            line: the line of the request.
            budget: of all partitions together, minor units; None where the policy knows none in
                this currency, which gives nothing.
            used: what is lent and reserved here, minor units.
            offset: of the request, in this partition's log.
        """
        share = self._store.get(line) or NOTHING
        if wanted.source_offset <= share.wants.get(wanted.partition, -1):
            return None
        free = 0 if budget is None else self.share(line, budget) - used
        amount = min(wanted.amount, max(0, free) // 2)
        share = msgspec.structs.replace(
            share,
            given=share.given + amount,
            wants=share.wants | {wanted.partition: wanted.source_offset},
        )
        self._store.put(line, share)
        if not amount:
            return None
        return BudgetGiven(*line, self._partition, wanted.partition, amount, offset)

    def take(self, given: BudgetGiven, line: Line) -> bool:
        """Add what another partition has given, once, and tell whether it counted."""
        share = self._store.get(line) or NOTHING
        if given.source_offset <= share.gifts.get(given.from_partition, -1):
            return False
        share = msgspec.structs.replace(
            share,
            received=share.received + given.amount,
            wanted_at=None,
            gifts=share.gifts | {given.from_partition: given.source_offset},
        )
        self._store.put(line, share)
        return True
