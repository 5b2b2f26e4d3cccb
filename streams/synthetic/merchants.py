"""Synthetic merchants with characters, for the demo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from streams.contract.messages import FundingSource, PaymentEvent, PaymentKind

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_MS = 86_400_000


class Character(StrEnum):
    """How a merchant's business goes."""

    STEADY = "steady stall"
    GROWING = "growing shop"
    SEASONAL = "seasonal"
    NEW = "new"
    FADING = "fading"


SHARES = {
    Character.STEADY: 0.40,
    Character.GROWING: 0.20,
    Character.SEASONAL: 0.15,
    Character.NEW: 0.15,
    Character.FADING: 0.10,
}


@dataclass(frozen=True, slots=True)
class Merchant:
    """One synthetic merchant.

    Attributes:
        merchant_id: its id.
        character: how its business goes.
        payments_a_day: on an ordinary day.
        ticket: the middle ticket, in fen.
        regulars: how many payers it knows.
        opens: the share of the played time after which its first payment comes, 0 to 1.
    """

    merchant_id: str
    character: Character
    payments_a_day: float
    ticket: float
    regulars: int
    opens: float

    def intensity(self, progress: float, day: float) -> float:
        """Return expected payments a day at a moment.

        Args:
            progress: share of the played time that has passed, 0 to 1.
            day: days since the played time began, with fraction.
        """
        if progress < self.opens:
            return 0.0
        match self.character:
            case Character.GROWING:
                factor = 0.4 + 2.6 * progress
            case Character.SEASONAL:
                factor = 1.0 + 0.9 * math.sin(2 * math.pi * day / 14.0)
            case Character.FADING:
                factor = 1.0 if progress < 0.4 else max(0.0, 1.0 - 2.2 * (progress - 0.4))
            case _:
                factor = 1.0
        return self.payments_a_day * factor


def make_merchants(n: int, random: np.random.Generator) -> list[Merchant]:
    """Return `n` merchants, their characters in the proportions of `SHARES`."""
    characters = random.choice(list(SHARES), size=n, p=list(SHARES.values()))
    return [
        Merchant(
            merchant_id=f"m{number:05d}",
            character=Character(str(character)),
            payments_a_day=float(np.clip(random.lognormal(3.1, 0.6), 4, 150)),
            ticket=float(np.clip(random.lognormal(7.3, 0.5), 200, 40_000)),
            regulars=int(random.integers(15, 300)),
            opens=float(random.uniform(0.4, 0.7)) if character == Character.NEW else 0.0,
        )
        for number, character in enumerate(characters)
    ]


def hours_of_trade(
    merchants: list[Merchant], begins_at: int, days: float, random: np.random.Generator
) -> Iterator[tuple[int, list[PaymentEvent]]]:
    """Yield hour after hour of synthetic trade: the hour's end and its payments in time order.

    Args:
        merchants: who trades.
        begins_at: event time of the beginning, epoch ms.
        days: how long to go on.
        random: source of chance; the same seed gives the same trade.
    """
    hour_ms = DAY_MS // 24
    number = 0
    for hour in range(int(days * 24)):
        start = begins_at + hour * hour_ms
        local_hour = (start // hour_ms + 8) % 24  # Shanghai
        open_share = 1.6 if 7 <= local_hour < 22 else 0.05
        events: list[PaymentEvent] = []
        for merchant in merchants:
            expected = merchant.intensity(hour / (days * 24), hour / 24) * open_share / 24
            for _ in range(int(random.poisson(expected))):
                number += 1
                events.append(
                    _event(merchant, number, start + int(random.integers(hour_ms)), random)
                )
        events.sort(key=lambda event: event.occurred_at)
        yield start + hour_ms, events


def _event(
    merchant: Merchant, number: int, occurred_at: int, random: np.random.Generator
) -> PaymentEvent:
    refund = random.random() < (0.05 if merchant.character == Character.FADING else 0.01)
    return PaymentEvent(
        payment_id=f"demo-{number:09d}",
        kind=PaymentKind.REFUND if refund else PaymentKind.PAYMENT,
        merchant_id=merchant.merchant_id,
        amount=max(1, int(merchant.ticket * random.lognormal(0.0, 0.6))),
        currency="CNY",
        occurred_at=occurred_at,
        code_id=f"{merchant.merchant_id}-1",
        payer_id=f"p{int(random.integers(merchant.regulars)) + first_payer(merchant):07d}",
        original_occurred_at=occurred_at - DAY_MS if refund else None,
        funding=FundingSource.CREDIT if random.random() < 0.15 else FundingSource.BALANCE,
        channel="static_code",
    )


def first_payer(merchant: Merchant) -> int:
    """Return where the numbers of a merchant's payers begin."""
    return int(merchant.merchant_id[1:]) * 1000
