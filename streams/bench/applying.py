"""Applications for the benchmark, and a listener to their decisions."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

from scorers.applications.messages import Application, Decision, Outcome, Product
from streams.brokers.clients import consumer_settings
from streams.demo.listener import POLL_MS
from streams.synthetic.load import merchant_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import Settings


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


class DecisionListener(threading.Thread):
    """Follows the decisions of one lender.

    Args:
        settings: broker and topics.
        lender: whose.
        sent_at: when each application was sent, by its id, in epoch seconds.

    Attributes:
        latencies: for each decision when it came, in epoch seconds, and how long it took, in ms.
        approved: how many were approved.
    """

    def __init__(self, settings: Settings, lender: str, sent_at: Mapping[str, float]) -> None:
        super().__init__(name="duoshou-decisions", daemon=True)
        self._settings = settings
        self._lender = lender
        self._sent_at = sent_at
        self._stopping = threading.Event()
        self.latencies: list[tuple[float, float]] = []
        self.approved = 0

    def run(self) -> None:
        """Read until `stop` is called."""
        topic = self._settings.topics.decisions(self._lender)
        consumer = KafkaConsumer(**consumer_settings(self._settings), auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic.name, n) for n in range(topic.partitions)])
        consumer.seek_to_beginning()
        decode = msgspec.json.Decoder(Decision).decode
        try:
            while not self._stopping.is_set():
                for records in consumer.poll(timeout_ms=POLL_MS).values():
                    now = time.time()
                    for record in records:
                        decision = decode(record.value)
                        self.approved += decision.outcome is Outcome.APPROVE
                        sent = self._sent_at.get(decision.application_id)
                        if sent is not None:
                            self.latencies.append((now, (now - sent) * 1000.0))
        finally:
            consumer.close()

    def stop(self) -> None:
        """Stop reading; returns at once."""
        self._stopping.set()
