"""All that is kept of an investor: one frozen entry, replaced with each event that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from scorers.funds.events import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable

INVESTOR_SCHEMA_VERSION = 1

DAYS_OF_ALLOWANCE = 3
"""Local days of which the used T+0 is kept: the investor's newest day and the two before."""

DAYS_OF_EVENTS = 7
"""Local days of which event ids are kept: the investor's newest day and the six before."""

MOST_EVENTS = 1_000
"""Events of one investor that count within `DAYS_OF_EVENTS` days."""

MOST_HOLDINGS = 64
"""Funds that one investor holds at a time. With `MOST_EVENTS` it keeps an entry below 1 MiB."""


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """What an investor holds in one fund of one distributor.

    Attributes:
        lender_id: the distributor.
        fund_id: the fund.
        currency: ISO 4217 code.
        amount: minor units, 1 to 10**15; what comes to nothing is not kept.
    """

    lender_id: str
    fund_id: str
    currency: str
    amount: int


class DayUsed(msgspec.Struct, frozen=True, array_like=True):
    """T+0 of one local day, over all funds and distributors.

    Attributes:
        day: local day number; 0 is 1970-01-01.
        t_plus_0: fen advanced.
    """

    day: int
    t_plus_0: int


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What a redemption was answered, as far as the request does not say it itself.

    The fields are those of the answer.
    """

    t_plus_0: int
    t_plus_1: int
    refused: int
    reasons: tuple[ReasonCode, ...]
    holding: int
    remaining_t_plus_0: int
    policy_version: int
    as_of: int
    source_topic: str
    source_partition: int
    source_offset: int


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """An event that has counted.

    Attributes:
        event_id: counts once.
        day: local day number of the event.
        checksum: 64 bits of its content.
        outcome: what a redemption was answered; None of a subscription.
    """

    event_id: str
    day: int
    checksum: int
    outcome: Outcome | None = None


class Investor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An investor's entry, as its changelog keeps it.

    Attributes:
        holdings: one for each distributor and fund in which something is held.
        used: T+0 of the newest `DAYS_OF_ALLOWANCE` local days; a day without any may be absent.
        counted: events of the newest `DAYS_OF_EVENTS` local days, in the order they counted.
        newest_at: newest event time of the events that counted, epoch ms.
        newest_day: its local day number.
        offset: of the last event applied, in the partition's log; -1 before the first.
        schema_version: of this layout.
    """

    holdings: tuple[Holding, ...] = ()
    used: tuple[DayUsed, ...] = ()
    counted: tuple[Counted, ...] = ()
    newest_at: int = 0
    newest_day: int = 0
    offset: int = -1
    schema_version: int = INVESTOR_SCHEMA_VERSION

    def held(self, lender_id: str, fund_id: str) -> Holding | None:
        """Return the holding in a fund; None when nothing is held."""
        for each in self.holdings:
            if (each.lender_id, each.fund_id) == (lender_id, fund_id):
                return each
        return None

    def used_on(self, day: int) -> int:
        """Return the T+0 of a local day that is kept, in fen."""
        return sum(each.t_plus_0 for each in self.used if each.day == day)

    def known(self, event_id: str) -> Counted | None:
        """Return the event that has counted under an id; None when none of the kept days has."""
        for each in self.counted:
            if each.event_id == event_id:
                return each
        return None

    def at(self, occurred_at: int, day: int) -> Investor:
        """Return the investor with an event time taken in, and without what is too old to keep."""
        newest = max(self.newest_day, day)
        return msgspec.structs.replace(
            self,
            used=_within(self.used, newest - DAYS_OF_ALLOWANCE),
            counted=_within(self.counted, newest - DAYS_OF_EVENTS),
            newest_at=max(self.newest_at, occurred_at),
            newest_day=newest,
        )


Dated = TypeVar("Dated", DayUsed, Counted)


def _within(entries: Iterable[Dated], day: int) -> tuple[Dated, ...]:
    return tuple(each for each in entries if each.day > day)
