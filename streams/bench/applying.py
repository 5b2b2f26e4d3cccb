"""Applications for the benchmark."""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec
import numpy as np

from scorers.applications.messages import Application, Product
from streams.synthetic.load import merchant_of


class Rates(NamedTuple):
    """Records per second."""

    payments: float
    applications: float


class _Id(msgspec.Struct):
    application_id: str


_id_in = msgspec.json.Decoder(_Id).decode


def application_in(value: bytes) -> str:
    """Return the id of an application in JSON."""
    return _id_in(value).application_id


def applications(lender: str, merchants: int, n: int, seed: int = 3) -> list[tuple[bytes, bytes]]:
    """Return so many applications to a lender, of merchants drawn at random, as keys and values."""
    random = np.random.default_rng(seed)
    ranks = random.integers(0, merchants, n).tolist()
    steps = random.integers(1, 20, n).tolist()
    now = time.time_ns() // 1_000_000
    rows = []
    for number, (rank, step) in enumerate(zip(ranks, steps, strict=True)):
        merchant = merchant_of(rank)
        application = Application(
            application_id=f"application-{number}",
            lender_id=lender,
            merchant_id=merchant,
            product=Product.LOAN,
            currency="CNY",
            amount=10_000 * step,
            applied_at=now,
        )
        rows.append((merchant.encode(), msgspec.json.encode(application)))
    return rows
