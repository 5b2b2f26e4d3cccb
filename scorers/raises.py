"""Which limits may not rise: those of a policy outside its band, until it is back in it.

It is asked between two events and takes effect behind a checkpoint that names the answer, as
other policies do. Cuts, and limits of other policies and partitions, go on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from scorers.applications.messages import BASIS_POINTS
from scorers.exposure import Line
from scorers.policy import PolicyName, Product

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scorers.accounts import Accounts
    from scorers.catalogue import Policies
    from scorers.partition import Partition

RESUME_BPS: Final = 9_500
"""Share of `Band.largest_limits`, basis points, at which limits may rise again. Were it the whole,
the first cut would let as much rise, and that stop it again, each second."""


class Cause(StrEnum):
    """What has left its band."""

    APPROVALS = "approvals"
    LIMITS = "limits"


class Stop(NamedTuple):
    """Why the limits of one policy do not rise."""

    lender: str
    product: Product
    cause: Cause

    @property
    def policy(self) -> PolicyName:
        """Whose limits."""
        return PolicyName(self.lender, self.product)


def stops(partition: Partition, accounts: Accounts, policies: Policies) -> frozenset[Stop]:
    """Return what stops raises as things stand now in a partition.

    Args:
        partition: between two events; the stops in force there tell what has to come back first.
        accounts: its accounts, which have begun (`Accounts.begin`).
        policies: in force from now on.
    """
    return frozenset(_stops(partition, accounts, policies))


def _stops(partition: Partition, accounts: Accounts, policies: Policies) -> Iterator[Stop]:
    for policy in policies:
        band = policy.lending.band
        if band is None:
            continue
        line = Line(policy.lender, policy.product, policy.currency)
        if accounts.applications.breaker_is_open(line, partition.watermark):
            yield Stop(policy.lender, policy.product, Cause.APPROVALS)
        if band.largest_limits is not None:
            stop, bound = Stop(policy.lender, policy.product, Cause.LIMITS), band.largest_limits
            if stop in partition.version.stops:
                bound = bound * RESUME_BPS // BASIS_POINTS
            if partition.sum_of_limits(policy.name) > bound:
                yield stop
