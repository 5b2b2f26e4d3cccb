"""Logs of payment events: written by hand, or drawn at random with everything that goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from features.events import Events, Kind, Outcome, allocate, currency_index
from features.hashing import hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = int(datetime(2026, 3, 2, 4, tzinfo=UTC).timestamp() * 1000)  # 12:00 in Shanghai


HELD_OUT = b"m142"
"""A merchant whom the built-in policy's hold-out has drawn; `m0` to `m2` are not in it."""
MERCHANTS = (b"m0", b"m1", b"m2", HELD_OUT)


@dataclass(frozen=True)
class Record:
    """One record of `payments`; its offset is its place in the log."""

    merchant: bytes = b"stall"
    payment_id: str = "p"
    kind: Kind = Kind.PAYMENT
    amount: int = 20_000
    occurred_at: int = NOON
    payer: str = "anna"
    currency: str = "CNY"
    original_at: int = -1
    funding: int = 1
    timestamp: int | None = None  # by default the event's own time
    outcome: Outcome = Outcome.PENDING

    @property
    def content(self) -> int:
        return hash_of(
            repr((self.merchant, self.kind, self.amount, self.occurred_at, self.payer)).encode()
        )


def columns(log: Sequence[Record], first_offset: int = 0) -> tuple[Events, NDArray[np.uint8]]:
    """Return what the decoder would make of a stretch of the log."""
    events = allocate(len(log))
    text = b"".join(record.merchant for record in log)
    at = 0
    for i, record in enumerate(log):
        events.offset[i] = first_offset + i
        events.timestamp[i] = record.occurred_at if record.timestamp is None else record.timestamp
        events.outcome[i] = record.outcome
        events.kind[i] = record.kind
        events.merchant_at[i] = at
        events.merchant_length[i] = len(record.merchant)
        events.merchant_hash[i] = hash_of(record.merchant)
        events.payment_hash[i] = hash_of(record.payment_id.encode())
        events.content_hash[i] = record.content
        events.payer_hash[i] = hash_of(record.payer.encode()) if record.payer else 0
        events.amount[i] = record.amount
        events.currency[i] = currency_index(record.currency)
        events.occurred_at[i] = record.occurred_at
        events.original_at[i] = record.original_at
        events.funding[i] = record.funding
        at += len(record.merchant)
    return events, np.frombuffer(text, np.uint8)


def tick(at: int) -> Record:
    return Record(merchant=b"", payment_id="", kind=Kind.TICK, amount=0, occurred_at=at, payer="")


@dataclass(frozen=True)
class _Step:
    merchant: int
    kind: Kind
    amount: int
    payer: int
    pause: int
    twist: str
    earlier: int


TWISTS = ("none",) * 12 + (
    "again", "again", "other content", "late", "too late", "future", "currency", "refused", "tick",
    "tick", "original",
)  # fmt: skip
PAUSES = (0, 1, MINUTE, 20 * MINUTE, HOUR, 5 * HOUR, 11 * HOUR, DAY, 2 * DAY)

_steps = st.builds(
    _Step,
    merchant=st.integers(0, len(MERCHANTS) - 1),
    kind=st.sampled_from(
        [Kind.PAYMENT] * 8 + [Kind.REFUND, Kind.VOID, Kind.CHARGEBACK, Kind.OUTFLOW]
    ),
    amount=st.sampled_from([500, 20_000, 150_000, 2_000_000, 60_000_000]),
    payer=st.integers(0, 5),
    pause=st.sampled_from(PAUSES + (0, MINUTE) * 3 + (20 * DAY, 40 * DAY)),
    twist=st.sampled_from(TWISTS),
    earlier=st.integers(1, 20),
)


def _record_of(step: _Step, place: int, now: int, log: list[Record]) -> Record:
    record = Record(
        merchant=MERCHANTS[step.merchant],
        payment_id=f"p{place}",
        kind=step.kind,
        amount=step.amount,
        occurred_at=now,
        payer=f"payer{step.payer}" if step.payer else "",
        funding=step.payer % 5,
        timestamp=now,
    )
    payments = [earlier for earlier in log if earlier.kind is not Kind.TICK]
    before = payments[-step.earlier] if len(payments) >= step.earlier else None
    match step.twist:
        case "again" if before:
            return replace(before, timestamp=now)
        case "other content" if before:
            return replace(record, payment_id=before.payment_id)
        case "original" if before:
            return replace(record, kind=Kind.REFUND, original_at=before.occurred_at)
        case "late":
            return replace(record, occurred_at=now - 13 * HOUR)
        case "too late":
            return replace(record, occurred_at=now - 30 * HOUR)
        case "future":
            return replace(record, occurred_at=now + 6 * MINUTE)
        case "currency":
            return replace(record, currency="USD")
        case "refused":
            return replace(record, outcome=Outcome.NOT_JSON)
        case "tick":
            return tick(now)
    return record


def _log_of(steps: list[_Step]) -> list[Record]:
    log: list[Record] = []
    now = NOON
    for place, step in enumerate(steps):
        now += step.pause
        log.append(_record_of(step, place, now, log))
    return log


def logs(max_size: int = 80, *, min_size: int = 1) -> st.SearchStrategy[list[Record]]:
    """Draw logs of four merchants: all kinds, disorder, repetitions, gaps and ticks.

    One of the merchants is in the hold-out.
    """
    return st.lists(_steps, min_size=min_size, max_size=max_size).map(_log_of)
