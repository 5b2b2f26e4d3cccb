"""Investors of the fund sweep, as the tests tell of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from features.calendar import load_zone
from scorers.funds.book import FundBook, FundVerdict
from scorers.funds.events import FundAnswer, FundEvent, FundKind
from scorers.funds.investor import Investor
from scorers.funds.terms import FundTerms
from scorers.source import Source

ZONE = load_zone("Asia/Shanghai")
TERMS = FundTerms(qualified_banks=("icbc", "ccb"))
CAP = 1_000_000
DAY = 86_400_000


def at(text: str) -> int:
    """Epoch ms of a local time in Shanghai, for example 2026-03-02 23:59:59.999."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    return round(local.timestamp() * 1000)


NOON = at("2026-03-02 12:00:00")


class Dict:
    """A store that keeps entries as a changelog does: encoded."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, ...], bytes] = {}
        self.puts = 0

    def get(self, key: tuple[str, ...]) -> Investor | None:
        raw = self.entries.get(key)
        return None if raw is None else msgspec.json.decode(raw, type=Investor)

    def put(self, key: tuple[str, ...], value: Investor) -> None:
        self.puts += 1
        self.entries[key] = msgspec.json.encode(value)


def event(kind: FundKind, name: str = "", **fields: Any) -> FundEvent:
    usual = FundEvent(
        event_id=name or str(kind),
        kind=kind,
        merchant_id="stall",
        lender_id="yu",
        fund_id="daily",
        currency="CNY",
        amount=1_000,
        occurred_at=NOON,
        advance_provider="icbc" if kind is FundKind.REDEMPTION_REQUESTED else None,
    )
    return msgspec.structs.replace(usual, **fields)


def swept(amount: int, name: str = "swept", **fields: Any) -> FundEvent:
    return event(FundKind.SUBSCRIBED, name, amount=amount, **fields)


def asked(amount: int, name: str = "asked", **fields: Any) -> FundEvent:
    return event(FundKind.REDEMPTION_REQUESTED, name, amount=amount, **fields)


class Told:
    """A book that is told events, each behind the one before."""

    def __init__(self) -> None:
        self.store = Dict()
        self.book = FundBook(self.store, ZONE)
        self.offset = 0

    def tell(self, each: FundEvent, terms: FundTerms | None = TERMS) -> FundVerdict:
        self.offset += 1
        version = 0 if terms is None else 3
        return self.book.apply(each, Source("payments", 2, self.offset), terms, version)

    def answer(self, each: FundEvent, terms: FundTerms | None = TERMS) -> FundAnswer:
        answer = self.tell(each, terms).answer
        assert answer is not None
        return answer

    def parts(
        self, each: FundEvent, terms: FundTerms | None = TERMS
    ) -> tuple[int, int, int, list[str]]:
        answer = self.answer(each, terms)
        codes = [str(reason.code) for reason in answer.reasons]
        return answer.t_plus_0, answer.t_plus_1, answer.refused, codes
