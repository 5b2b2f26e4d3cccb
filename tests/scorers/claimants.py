"""Merchants that claim on their cover, as the tests tell of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from features.calendar import load_zone
from scorers.claims.book import ClaimBook, ClaimVerdict, CoverStanding
from scorers.claims.claimant import Claimant
from scorers.claims.events import ClaimAnswer, ClaimEvent
from scorers.source import Source

ZONE = load_zone("Asia/Shanghai")
COVER = 1_200_000
STANDING = CoverStanding(
    enrolled=True, closed=False, currency="CNY", cover=COVER, version=4, zone=ZONE
)


def at(text: str) -> int:
    """Epoch ms of a local time in Shanghai, for example 2026-03-31 23:59:59.999."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    return round(local.timestamp() * 1000)


NOON = at("2026-03-10 12:00:00")


class Dict:
    """A store that keeps entries as a changelog does: encoded."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, ...], bytes] = {}
        self.puts = 0

    def get(self, key: tuple[str, ...]) -> Claimant | None:
        raw = self.entries.get(key)
        return None if raw is None else msgspec.json.decode(raw, type=Claimant)

    def put(self, key: tuple[str, ...], value: Claimant) -> None:
        self.puts += 1
        self.entries[key] = msgspec.json.encode(value)


def claim(amount: int, name: str = "c", **fields: Any) -> ClaimEvent:
    fields = {"occurred_at": NOON} | fields
    fields = {"claimed_at": fields["occurred_at"]} | fields
    usual = ClaimEvent(name, "stall", "ping", "CNY", amount, NOON, NOON)
    return msgspec.structs.replace(usual, **fields)


class Told:
    """A book that is told claims, each behind the one before, at the time of the claim."""

    def __init__(self) -> None:
        self.store = Dict()
        self.book = ClaimBook(self.store)
        self.offset = 0
        self.clock = 0

    def tell(self, each: ClaimEvent, **standing: Any) -> ClaimVerdict:
        self.offset += 1
        self.clock = max(self.clock, each.claimed_at)
        return self.book.apply(
            each, Source("payments", 2, self.offset), STANDING._replace(**standing), 5, self.clock
        )

    def answer(self, each: ClaimEvent, **standing: Any) -> ClaimAnswer:
        answer = self.tell(each, **standing).answer
        assert answer is not None
        return answer

    def parts(self, each: ClaimEvent, **standing: Any) -> tuple[int, int, list[str]]:
        answer = self.answer(each, **standing)
        return answer.covered, answer.uncovered, [str(reason.code) for reason in answer.reasons]
