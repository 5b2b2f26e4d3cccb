"""The holdings of a partition's investors, and what their redemptions are answered."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from features.bounds import LARGEST_AMOUNT
from features.calendar import Zone, local_day
from scorers.funds.events import REASONS, FundAnswer, FundEvent, FundKind, FundReason
from scorers.funds.investor import (
    DAYS_OF_ALLOWANCE,
    DAYS_OF_EVENTS,
    MOST_EVENTS,
    MOST_HOLDINGS,
    Counted,
    DayUsed,
    Holding,
    Investor,
    Outcome,
)
from scorers.funds.rules import allowance, hindrances, split

if TYPE_CHECKING:
    from scorers.funds.terms import FundTerms
    from scorers.source import Source
    from scorers.store import Store


class Became(StrEnum):
    """What became of a fund event. From `CONFLICT` on it is a dead letter."""

    APPLIED = "applied"
    REPLAYED = "replayed"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    TOO_LATE = "too_late"
    OTHER_CURRENCY = "other_currency"
    TOO_LARGE = "too_large"
    TOO_MANY_FUNDS = "too_many_funds"
    TOO_MANY_EVENTS = "too_many_events"


SENTENCES = {
    Became.CONFLICT: "event_id has been used for an event of this investor with other content;"
    " the first one counts",
    Became.TOO_LATE: f"occurred_at lies {DAYS_OF_EVENTS} local days or more before the investor's"
    " newest event: whether it has counted before is no longer known",
    Became.OTHER_CURRENCY: "the investor holds this fund in another currency",
    Became.TOO_LARGE: f"the holding would exceed {LARGEST_AMOUNT} minor units",
    Became.TOO_MANY_FUNDS: f"the investor holds {MOST_HOLDINGS} funds; one of them must be redeemed"
    " before another is subscribed to",
    Became.TOO_MANY_EVENTS: f"{MOST_EVENTS} events of this investor have counted within"
    f" {DAYS_OF_EVENTS} local days; send it again when they are past, and sweep less often",
}
"""Why an event was refused, for a person."""


class FundVerdict(NamedTuple):
    """What became of an event, and the answer that is due to its distributor."""

    became: Became
    answer: FundAnswer | None = None
    """Of a redemption that is applied, or once more of one that is repeated."""


class FundBook:
    """The holdings of one partition, over a store of investors keyed by `(merchant_id,)`.

    >>> from features.calendar import load_zone
    >>> from scorers.funds.terms import FundTerms
    >>> from scorers.source import Source
    >>> class Kept(dict):
    ...     put = dict.__setitem__
    >>> book = FundBook(Kept(), load_zone("Asia/Shanghai"))
    >>> terms = FundTerms(qualified_banks=("icbc",))
    >>> swept = FundEvent("e1", FundKind.SUBSCRIBED, "stall", "yu", "f1", "CNY", 1_500_000, 1000)
    >>> book.apply(swept, Source("payments", 0, 7), terms, 1).became
    <Became.APPLIED: 'applied'>
    >>> asked = FundEvent(
    ...     "e2", FundKind.REDEMPTION_REQUESTED, "stall", "yu", "f1", "CNY", 1_200_000, 2000, "icbc"
    ... )
    >>> answer = book.apply(asked, Source("payments", 0, 8), terms, 1).answer
    >>> answer.t_plus_0, answer.t_plus_1, answer.refused, answer.holding
    (1000000, 200000, 0, 300000)
    >>> book.apply(asked, Source("payments", 0, 9), terms, 1) == (Became.DUPLICATE, answer)
    True
    """

    def __init__(self, investors: Store[Investor], zone: Zone) -> None:
        self._investors = investors
        self._zone = zone

    def apply(
        self, event: FundEvent, source: Source, terms: FundTerms | None, policy_version: int
    ) -> FundVerdict:
        """Apply one event. Nothing changes unless it is `APPLIED`.

        Args:
            event: what happened.
            source: where it was read; an offset at or below the investor's last is a replay,
                whose answer was published before the entry became durable.
            terms: of the event's distributor; None when it has no policy for the fund sweep.
            policy_version: of the policy that carries the terms; 0 without one.
        """
        before = self.investor(event.merchant_id)
        if source.offset <= before.offset:
            return FundVerdict(Became.REPLAYED)
        day = int(local_day(event.occurred_at, self._zone))
        # Before the first event there is no newest day to be behind.
        after = before.at(event.occurred_at, day) if before.counted else _first(event, day)
        known = after.known(event.event_id)
        if known is not None:
            if known.checksum != _checksum(event):
                return FundVerdict(Became.CONFLICT)
            return FundVerdict(Became.DUPLICATE, _answer(event, known.outcome))
        became = _judge(after, event, day)
        if became is not Became.APPLIED:
            return FundVerdict(became)
        if event.kind is FundKind.SUBSCRIBED:
            after, outcome = _subscribed(after, event), None
        else:
            after, outcome = _redeemed(after, event, day, source, terms, policy_version)
        counted = Counted(event.event_id, day, _checksum(event), outcome)
        self._investors.put(
            (event.merchant_id,),
            msgspec.structs.replace(after, counted=(*after.counted, counted), offset=source.offset),
        )
        return FundVerdict(Became.APPLIED, _answer(event, outcome))

    def investor(self, merchant_id: str) -> Investor:
        """Return all that is kept of an investor; an empty entry before the first event."""
        return self._investors.get((merchant_id,)) or Investor()

    def holding(self, merchant_id: str, lender_id: str, fund_id: str) -> int:
        """Return what an investor holds in a fund, in minor units."""
        held = self.investor(merchant_id).held(lender_id, fund_id)
        return 0 if held is None else held.amount

    def used(self, merchant_id: str, at: int) -> int:
        """Return an investor's T+0 of the local day of an instant (ms), in fen.

        It is 0 of a day that is no longer kept.
        """
        return self.investor(merchant_id).used_on(int(local_day(at, self._zone)))


def _first(event: FundEvent, day: int) -> Investor:
    return Investor(newest_at=event.occurred_at, newest_day=day)


def _judge(investor: Investor, event: FundEvent, day: int) -> Became:
    if day <= investor.newest_day - DAYS_OF_EVENTS:
        return Became.TOO_LATE
    held = investor.held(event.lender_id, event.fund_id)
    if held is not None and held.currency != event.currency:
        return Became.OTHER_CURRENCY
    if event.kind is FundKind.SUBSCRIBED:
        if held is None and len(investor.holdings) >= MOST_HOLDINGS:
            return Became.TOO_MANY_FUNDS
        if held is not None and held.amount + event.amount > LARGEST_AMOUNT:
            return Became.TOO_LARGE
    if len(investor.counted) >= MOST_EVENTS:
        return Became.TOO_MANY_EVENTS
    return Became.APPLIED


def _subscribed(investor: Investor, event: FundEvent) -> Investor:
    held = investor.held(event.lender_id, event.fund_id)
    return _holding(investor, event, event.amount + (0 if held is None else held.amount))


def _redeemed(
    investor: Investor,
    event: FundEvent,
    day: int,
    source: Source,
    terms: FundTerms | None,
    policy_version: int,
) -> tuple[Investor, Outcome]:
    held = investor.held(event.lender_id, event.fund_id)
    late = day <= investor.newest_day - DAYS_OF_ALLOWANCE
    used = investor.used_on(day)
    left = allowance(event, terms, None if late else used)
    parts = split(
        event.amount,
        0 if held is None else held.amount,
        left,
        hindrances(event, terms, late=late),
    )
    rest = 0 if held is None else held.amount - parts.t_plus_0 - parts.t_plus_1
    if held is not None:
        investor = _holding(investor, event, rest)
    if parts.t_plus_0:
        others = (each for each in investor.used if each.day != day)
        investor = msgspec.structs.replace(
            investor, used=(*others, DayUsed(day, used + parts.t_plus_0))
        )
    return investor, Outcome(
        t_plus_0=parts.t_plus_0,
        t_plus_1=parts.t_plus_1,
        refused=parts.refused,
        reasons=parts.reasons,
        holding=rest,
        remaining_t_plus_0=left - parts.t_plus_0,
        policy_version=policy_version,
        as_of=investor.newest_at,
        source_topic=source.topic,
        source_partition=source.partition,
        source_offset=source.offset,
    )


def _holding(investor: Investor, event: FundEvent, amount: int) -> Investor:
    """Return the investor with the holding of the event's fund replaced, or without it at 0."""
    name = (event.lender_id, event.fund_id)
    others = [each for each in investor.holdings if (each.lender_id, each.fund_id) != name]
    now = [Holding(*name, event.currency, amount)] if amount else []
    return msgspec.structs.replace(investor, holdings=(*others, *now))


def _answer(event: FundEvent, outcome: Outcome | None) -> FundAnswer | None:
    """Return the answer to a request; a repeated one gives the same, as its content is the same."""
    if outcome is None:
        return None
    return FundAnswer(
        event_id=event.event_id,
        merchant_id=event.merchant_id,
        lender_id=event.lender_id,
        fund_id=event.fund_id,
        currency=event.currency,
        t_plus_0=outcome.t_plus_0,
        t_plus_1=outcome.t_plus_1,
        refused=outcome.refused,
        reasons=[FundReason(code, REASONS[code]) for code in outcome.reasons],
        holding=outcome.holding,
        remaining_t_plus_0=outcome.remaining_t_plus_0,
        advance_provider=event.advance_provider if outcome.t_plus_0 else None,
        policy_version=outcome.policy_version,
        as_of=outcome.as_of,
        source_topic=outcome.source_topic,
        source_partition=outcome.source_partition,
        source_offset=outcome.source_offset,
    )


def _checksum(event: FundEvent) -> int:
    """Return 64 bits of an event's content: an answer is repeated to whoever has the same."""
    digest = hashlib.blake2b(msgspec.json.encode(event), digest_size=8).digest()
    return int.from_bytes(digest)
