"""A few payments of one merchant, for tests that count on their fingers."""

from __future__ import annotations

import time

import msgspec

from streams.contract.messages import PaymentEvent, PaymentKind
from tests.faults.ledger import NONSENSE, Entry

MERCHANT = b"m1"


def payments(first: int, count: int) -> list[Entry]:
    """Return payments of 1.00 each, by number, for partition 0."""
    now = time.time_ns() // 1_000_000
    return [_entry(number, now) for number in range(first, first + count)]


def _entry(number: int, now: int) -> Entry:
    event = PaymentEvent(
        payment_id=f"pay-{number}",
        kind=PaymentKind.PAYMENT,
        merchant_id=MERCHANT.decode(),
        amount=100,
        currency="CNY",
        occurred_at=now,
    )
    return Entry(0, MERCHANT, msgspec.json.encode(event), now, event)


def nonsense() -> Entry:
    """Return a record that can only become a dead letter."""
    return Entry(0, MERCHANT, NONSENSE, time.time_ns() // 1_000_000, None)
