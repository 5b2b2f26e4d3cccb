"""Synthetic load for the benchmarks: many merchants, a few of them busy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FUNDINGS = ("balance", "debit", "credit", "other")


def merchant_of(rank: int) -> str:
    """Return the id of the merchant of a rank, from 0."""
    return f"merchant-{rank:07d}"


@dataclass(frozen=True)
class Load:
    """What kind of load.

    Attributes:
        payments: how many.
        merchants: of how many merchants.
        exponent: of the Zipf law by which merchants receive payments: the merchant of rank r
            gets a share proportional to r ** -exponent.
        begins_at: event time of the first payment, epoch ms.
        ends_at: event time of the last one, epoch ms.
        seed: makes the load repeatable.
    """

    payments: int
    merchants: int
    exponent: float = 0.8
    begins_at: int = 0
    ends_at: int = 0
    seed: int = 1

    def ranks(self, random: np.random.Generator, n: int) -> NDArray[np.int64]:
        """Draw the merchants of `n` payments, as ranks from 0."""
        weights = np.arange(1, self.merchants + 1, dtype=np.float64) ** -self.exponent
        cumulative = np.cumsum(weights)
        drawn = random.random(n) * cumulative[-1]
        ranks: NDArray[np.int64] = np.searchsorted(cumulative, drawn).astype(np.int64)
        return ranks

    def chunks(self, size: int = 100_000) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield the payments as (key, JSON), in the order of their event times.

        One payment in a hundred is a refund of an earlier day's payment.
        """
        random = np.random.default_rng(self.seed)
        for first in range(0, self.payments, size):
            n = min(size, self.payments - first)
            yield self._chunk(random, first, n)

    def _chunk(self, random: np.random.Generator, first: int, n: int) -> list[tuple[bytes, bytes]]:
        ranks = self.ranks(random, n).tolist()
        span = self.ends_at - self.begins_at
        times = (
            self.begins_at + (np.arange(first, first + n) * span) // max(1, self.payments)
        ).tolist()
        payers = random.integers(0, 400, n).tolist()
        amounts = np.maximum(1, random.lognormal(7.6, 0.9, n)).astype(np.int64).tolist()
        fundings = random.integers(0, 4, n).tolist()
        refunds = (random.random(n) < 0.01).tolist()
        rows = []
        for i in range(n):
            number = first + i
            rank = ranks[i]
            merchant = merchant_of(rank)
            kind, extra = "payment", ""
            if refunds[i]:
                kind = "refund"
                extra = f',"original_occurred_at":{times[i] - 86_400_000}'
            value = (
                f'{{"payment_id":"2026-{number:012d}","kind":"{kind}","merchant_id":"{merchant}",'
                f'"code_id":"code-{rank:07d}-1","payer_id":"payer-{(rank * 31 + payers[i]):08d}",'
                f'"amount":{amounts[i]},"currency":"CNY","occurred_at":{times[i]},'
                f'"funding":"{FUNDINGS[fundings[i]]}","channel":"qr"{extra}}}'
            )
            rows.append((merchant.encode(), value.encode()))
        return rows
