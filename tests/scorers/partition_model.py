"""The rules of a partition in plain Python: one record at a time, nothing remembered cleverly.

A merchant is the list of the events that counted. Whenever it is evaluated, its features are
computed anew from that list; limits follow by `limits_model`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from features.calendar import NEVER, Zone, load_zone, next_midnight, zone_names
from features.events import Kind, Outcome
from features.hashing import hash_of
from features.roll import can_decay, roll
from features.rows import Rows
from features.update import apply_event
from features.vector import compute
from scorers.merchants import MerchantKind
from scorers.scorecard import FEATURE_NAMES
from tests.scorers.limits_model import (
    model_constant,
    model_decide,
    model_held_out,
    model_probability,
    model_settle,
    model_wanted,
)
from tests.scorers.logs import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorers.merchants import MerchantEvent
    from scorers.partition import Version
    from scorers.policy import Policy, PolicyName
    from tests.scorers.logs import Record

GENERATION = 12 * HOUR


class Update(NamedTuple):
    merchant: bytes
    version: int
    previous: int
    limit: int
    as_of: int
    offset: int
    by_time: bool
    lender: str = "platform"


@dataclass
class Entry:
    """One policy that a merchant is enrolled for."""

    lender: str
    limit: int = 0
    version: int = 0
    raised_at: int = -1
    had_one: bool = False


@dataclass
class Merchant:
    currency: str | None
    zone: Zone
    offset: int = -1
    clock: int = -1
    newest_payment: int = -1
    counted: list[tuple[int, Record | int, Zone]] = field(default_factory=list)
    """Records, and times to which it was rolled without one, with the zone that held then."""
    limit: int = 0
    version: int = 0
    raised_at: int = -1
    due_at: int = NEVER
    closed: bool = False
    slots: list[Entry | None] = field(default_factory=lambda: [None] * 8)
    floor: int = 0

    def roll(self, to_ms: int, offset: int) -> None:
        self.clock = max(self.clock, to_ms)
        self.offset = offset
        self.counted.append((offset, self.clock, self.zone))

    def lends(self) -> set[str]:
        """Whose limits above 0 it has."""
        enrolled = {entry.lender for entry in self.slots if entry and entry.limit > 0}
        return enrolled | ({"platform"} if self.limit > 0 else set())


class ModelPartition:
    def __init__(self, zone: Zone, version: Version) -> None:
        self.zone, self.version = zone, version
        self.merchants: dict[bytes, Merchant] = {}
        self.ids: dict[str, list[tuple[int, int]]] = {}
        self.watermark, self.swept_hour = -1, -1
        self.updates: list[Update] = []
        self.held_back: Counter[PolicyName] = Counter()

    def apply(self, offset: int, record: Record) -> Outcome:
        outcome = self._apply(offset, record)
        hourly = self.watermark // HOUR > self.swept_hour
        ended = {each.lender for each in self.version.policies if each.ended(self.watermark)}
        just_now = any(
            each.ended(self.watermark) and not each.ended(self.watermark - HOUR)
            for each in self.version.policies
        )
        if hourly or (outcome is Outcome.TICK and just_now):
            for merchant_id, merchant in self.merchants.items():
                due = hourly and merchant.due_at <= self.watermark
                if (due or merchant.lends() & ended) and merchant.offset < offset:
                    merchant.roll(self.watermark, offset)
                    self._evaluate(merchant_id, merchant, by_time=True)
            self.swept_hour = self.watermark // HOUR
        return outcome

    def _apply(self, offset: int, record: Record) -> Outcome:
        if record.outcome is not Outcome.PENDING:
            return record.outcome
        assert record.timestamp is not None or record.kind is Kind.TICK
        written_at = record.occurred_at if record.timestamp is None else record.timestamp
        if record.occurred_at > written_at + 5 * MINUTE:
            return Outcome.FROM_THE_FUTURE
        self.watermark = max(self.watermark, record.occurred_at)
        if record.kind is Kind.TICK:
            return Outcome.TICK
        merchant = self.merchants.get(record.merchant)
        if merchant is not None:
            if record.occurred_at < merchant.newest_payment - DAY:
                return Outcome.TOO_LATE
            if merchant.currency not in (None, record.currency):
                return Outcome.OTHER_CURRENCY
        generation = self.watermark // GENERATION
        for seen_in, content in self.ids.get(record.payment_id, []):
            if seen_in > generation - 3:
                return Outcome.DUPLICATE if content == record.content else Outcome.CONFLICT
        self.ids.setdefault(record.payment_id, []).append((generation, record.content))
        if merchant is None:
            merchant = self.merchants[record.merchant] = Merchant(record.currency, self.zone)
        merchant.currency = record.currency
        merchant.counted.append((offset, record, merchant.zone))
        merchant.offset = offset
        merchant.clock = max(merchant.clock, record.occurred_at)
        if record.kind is Kind.PAYMENT:
            merchant.newest_payment = max(merchant.newest_payment, record.occurred_at)
        self._evaluate(record.merchant, merchant, by_time=False)
        return Outcome.APPLIED

    def _features(self, merchant: Merchant) -> tuple[dict[str, float], bool]:
        shadow = Rows()
        row = shadow.row(shadow.add(b"shadow"))
        for offset, record, zone in merchant.counted:
            if isinstance(record, int):
                roll(row, record, zone)
                continue
            payer = np.uint64(hash_of(record.payer.encode()) if record.payer else 0)
            apply_event(
                row, int(record.kind), record.amount, record.occurred_at, record.original_at,
                record.funding, payer, offset, zone,
            )  # fmt: skip
        roll(row, merchant.clock, merchant.zone)
        vector = np.empty(len(FEATURE_NAMES))
        compute(row, vector)
        return dict(zip(FEATURE_NAMES, vector.tolist(), strict=True)), can_decay(row)

    def amend(self, offset: int, event: MerchantEvent) -> None:
        """Apply a merchant event; one that is refused changes nothing."""
        known = self.merchants.get(event.merchant_id.encode(), Merchant(None, self.zone))
        at = [i for i, entry in enumerate(known.slots) if entry and entry.lender == event.lender_id]
        free = [i for i, entry in enumerate(known.slots) if entry is None]
        gone: list[int] = []
        match event.kind:
            case MerchantKind.ENROLLED if not at:
                if not free:
                    return
                known.slots[free[0]] = Entry(str(event.lender_id), version=known.floor)
            case MerchantKind.WITHDRAWN:
                if not at:
                    return
                gone = at
            case MerchantKind.REGISTERED if event.zone is not None:
                if event.zone not in zone_names():
                    return
                known.zone = load_zone(event.zone)
            case MerchantKind.CLOSED | MerchantKind.REOPENED:
                known.closed = event.kind is MerchantKind.CLOSED
        if known.currency is None:
            known.currency = event.currency
        self.merchants[event.merchant_id.encode()] = known
        known.roll(max(self.watermark, 0), offset)
        self._evaluate(event.merchant_id.encode(), known, by_time=False, gone=gone)
        for i in gone:
            entry = known.slots[i]
            assert entry is not None
            known.floor, known.slots[i] = max(known.floor, entry.version), None

    def _evaluate(
        self, merchant_id: bytes, merchant: Merchant, *, by_time: bool, gone: Sequence[int] = ()
    ) -> None:
        scorecard, policies = self.version.scorecard, self.version.policies
        features, decays = self._features(merchant)
        pd = model_probability(features, scorecard)
        assert math.isfinite(pd)
        merchant.due_at = NEVER
        own = Entry(
            "platform", merchant.limit, merchant.version, merchant.raised_at, merchant.version > 0
        )
        entries = [own, *merchant.slots]
        for place, entry in enumerate(entries):
            policy = next((p for p in policies if entry and p.lender == entry.lender), None)
            if entry is None or policy is None:
                continue
            ended = merchant.closed or place - 1 in gone
            if policy.valid_to is not None and merchant.clock >= policy.valid_to:
                ended = True
            waits = self._decide(merchant_id, merchant, entry, policy, features, pd, ended, by_time)
            if waits:
                again = entry.raised_at + policy.cool_down_ms
                merchant.due_at = min(merchant.due_at, again)
            if entry.limit > 0 and policy.valid_to is not None:
                merchant.due_at = min(merchant.due_at, policy.valid_to)
        merchant.limit, merchant.version, merchant.raised_at = own.limit, own.version, own.raised_at
        if decays or any(entry and entry.limit > 0 for entry in entries):
            merchant.due_at = min(merchant.due_at, next_midnight(merchant.clock, merchant.zone))
        else:
            merchant.due_at = NEVER

    def _decide(
        self, merchant_id: bytes, merchant: Merchant, entry: Entry, policy: Policy,
        features: dict[str, float], pd: float, ended: bool, by_time: bool,
    ) -> bool:  # fmt: skip
        held_out = model_held_out(merchant_id, policy)
        gives = model_constant if held_out else model_wanted
        becomes = model_settle if held_out else model_decide
        whole, version = 0, entry.version if entry.had_one else 0
        if merchant.currency == policy.currency and not ended:
            whole = gives(features, pd, entry.limit, version, policy)
        previous = entry.limit
        entry.limit, waits = becomes(
            whole, previous, version, entry.raised_at, merchant.clock, policy
        )
        stopped = {stop.policy for stop in self.version.stops}
        if policy.name in stopped and entry.limit > previous:
            entry.limit, waits = previous, False
            self.held_back[policy.name] += 1
        if entry.limit != previous:
            entry.version += 1
            if entry.limit > previous:
                entry.raised_at, entry.had_one = merchant.clock, True
            self.updates.append(
                Update(
                    merchant_id, entry.version, previous, entry.limit, merchant.clock,
                    merchant.offset, by_time, entry.lender,
                )
            )  # fmt: skip
        return waits
