"""Quantities times prices, and what that makes for each decision and each merchant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.cost.usage import Usage
    from streams.settings import Prices

HOUR_S = 3_600.0
MONTH_S = 730 * HOUR_S
"""A twelfth of a year of 365 days, as machines are charged."""

GB = 1e9
YARDSTICK = 2.0
"""Yuan of computing that a loan may cost where no person is in it: what we measure ourselves by."""


class Part(NamedTuple):
    """One line of a bill, in the currency of the prices."""

    name: str
    cost: float
    """In the time that was looked at."""
    monthly: float
    """In a month that goes on like that time."""


class Bill(NamedTuple):
    """What workers cost, and what for. Costs are in the currency of the prices."""

    seconds: float
    """How long the time was that was looked at."""
    parts: tuple[Part, ...]
    merchants: float
    decisions: float
    applications: float
    loans: float

    @property
    def total(self) -> float:
        """Everything, in the time that was looked at."""
        return sum(part.cost for part in self.parts)

    @property
    def monthly(self) -> float:
        """Everything, in a month that goes on like that."""
        return sum(part.monthly for part in self.parts)

    @property
    def of_a_decision(self) -> float | None:
        """Everything over the limits decided; None while there is none."""
        return _over(self.total, self.decisions)

    @property
    def of_an_application(self) -> float | None:
        """Everything over the applications answered; None while there is none."""
        return _over(self.total, self.applications)

    @property
    def of_a_loan(self) -> float | None:
        """Everything over the loans drawn; None while there is none."""
        return _over(self.total, self.loans)

    @property
    def of_a_merchant_month(self) -> float | None:
        """A month of everything over the merchants; None while there is none."""
        return _over(self.monthly, self.merchants)


def bill_of(usages: Sequence[Usage], stored_bytes: float, prices: Prices) -> Bill:
    """Work out the bill of one or more processes.

    Args:
        usages: of each, its own time.
        stored_bytes: on the broker's disks, all replicas; charged for the longest of these times.
        prices: what the machines cost.

    Raises:
        ValueError: there is no process, or one whose time is not above 0.
    """
    if not usages or min(usage.seconds for usage in usages) <= 0:
        raise ValueError("a bill is over one process or more, each over a time above 0 seconds")
    seconds = max(usage.seconds for usage in usages)
    memory = sum(usage.memory_bytes for usage in usages) / GB * prices.memory_gb_month
    storage = stored_bytes / GB * prices.storage_gb_month
    of_cpu = [(each.seconds, each.cpu_seconds / HOUR_S * prices.cpu_hour) for each in usages]
    written = [(each.seconds, each.written_bytes / GB * prices.written_gb) for each in usages]
    of_memory = sum(
        usage.memory_bytes / GB * usage.seconds / MONTH_S * prices.memory_gb_month
        for usage in usages
    )
    return Bill(
        seconds,
        (
            Part("cpu", _sum(of_cpu), _monthly(of_cpu)),
            Part("memory", of_memory, memory),
            Part("storage", storage * seconds / MONTH_S, storage),
            Part("written", _sum(written), _monthly(written)),
        ),
        merchants=sum(usage.merchants for usage in usages),
        decisions=sum(usage.decisions for usage in usages),
        applications=sum(usage.applications for usage in usages),
        loans=sum(usage.loans for usage in usages),
    )


def _sum(costs: list[tuple[float, float]]) -> float:
    return sum(cost for _, cost in costs)


def _monthly(costs: list[tuple[float, float]]) -> float:
    """Each over its own time: a process that has just been restarted counts for a whole month."""
    return sum(cost / seconds * MONTH_S for seconds, cost in costs)


def _over(cost: float, count: float) -> float | None:
    return cost / count if count > 0 else None
