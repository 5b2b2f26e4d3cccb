"""Which limits may not rise: those of a policy outside its band, until it is back in it.

It is asked between two events and takes effect behind a checkpoint that names the answer, as
other policies do. Cuts, and limits of other policies and partitions, go on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from scorers.applications.messages import BASIS_POINTS
from scorers.exposure import Line
from scorers.policy import PolicyName, Product

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

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


class HeldBack:
    """How many evaluations have held a raise back, by policy.

    An evaluation counts when it would have raised the limit, or given one to a merchant that has
    none. So one merchant counts again with each payment, and at each midnight, until raises go on.

    Attributes:
        kernels: one entry a policy in force, for the kernels, which count there.
    """

    def __init__(self) -> None:
        self.kernels: NDArray[np.int64] = np.zeros(0, np.int64)
        self._names: tuple[PolicyName, ...] = ()
        self._before: dict[PolicyName, int] = {}

    def put_beside(self, policies: Policies) -> None:
        """Count from now on by these policies in force."""
        self._keep()
        self._names = tuple(policy.name for policy in policies)
        self.kernels = np.zeros(len(self._names), np.int64)

    def take(self) -> dict[PolicyName, int]:
        """Return what has been counted since the last call, by policy; none of them is 0."""
        self._keep()
        taken, self._before = self._before, {}
        return taken

    def _keep(self) -> None:
        for place in np.flatnonzero(self.kernels).tolist():
            name = self._names[place]
            self._before[name] = self._before.get(name, 0) + int(self.kernels[place])
        self.kernels[:] = 0


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
