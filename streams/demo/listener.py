"""Reads limit updates and decisions as lenders would."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from typing import TYPE_CHECKING

import msgspec
from kafka import KafkaConsumer, TopicPartition

from scorers.applications.messages import Decision, Outcome
from streams.brokers.clients import consumer_settings
from streams.contract.messages import LimitUpdate
from streams.contract.topics import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.contract.topics import Topic
    from streams.settings import Settings

POLL_MS = 10
"""kafka-python now and then sleeps through the whole timeout although records have come."""


class Listener(threading.Thread, ABC):
    """Follows topics from their beginnings on.

    Args:
        settings: the broker.
        topics: which.
    """

    def __init__(self, settings: Settings, *topics: Topic) -> None:
        super().__init__(name=f"duoshou-{topics[0].name}", daemon=True)
        self._settings = settings
        self._topics = topics
        self._stopping = threading.Event()

    def run(self) -> None:
        """Read until `stop` is called."""
        consumer = KafkaConsumer(**consumer_settings(self._settings), auto_offset_reset="earliest")
        assigned = [
            TopicPartition(topic.name, n) for topic in self._topics for n in range(topic.partitions)
        ]
        consumer.assign(assigned)
        consumer.seek_to_beginning()
        try:
            while not self._stopping.is_set():
                for records in consumer.poll(timeout_ms=POLL_MS).values():
                    for record in records:
                        self.take(record.value)
        finally:
            consumer.close()

    def stop(self) -> None:
        """Stop reading; returns at once."""
        self._stopping.set()

    @abstractmethod
    def take(self, value: bytes) -> None:
        """Take a record's value in."""


class UpdateListener(Listener):
    """Follows the platform's limit updates.

    Args:
        settings: broker and topics.
        sent_at: tells when the payment at a partition's offset was sent, in epoch seconds.
        keep: how many of the newest ones are kept.

    Attributes:
        updates: how many have come.
        raises: how many of them raised a limit.
        latest: the newest ones, newest first.
        limits: the limit of each merchant.
        latencies_ms: for each update, the time since its payment was sent.
        first_at: `time.monotonic()` of the first update, or None.
    """

    def __init__(
        self, settings: Settings, sent_at: Callable[[int, int], float | None], keep: int = 200
    ) -> None:
        super().__init__(settings, settings.topics.limit_updates(PLATFORM))
        self._sent_at = sent_at
        self._decode = msgspec.json.Decoder(LimitUpdate).decode
        self.updates = 0
        self.raises = 0
        self.latest: deque[LimitUpdate] = deque(maxlen=keep)
        self.limits: dict[str, LimitUpdate] = {}
        self.latencies_ms: list[float] = []
        self.first_at: float | None = None

    def take(self, value: bytes) -> None:
        """Take an update in; one that has come before changes nothing."""
        update = self._decode(value)
        known = self.limits.get(update.merchant_id)
        if known is not None and known.version >= update.version:
            return
        self.first_at = self.first_at or time.monotonic()
        self.limits[update.merchant_id] = update
        self.latest.appendleft(update)
        self.updates += 1
        self.raises += update.limit > update.previous_limit
        sent_at = self._sent_at(update.source_partition, update.source_offset)
        if sent_at is not None:
            self.latencies_ms.append((time.time() - sent_at) * 1000)


class DecisionListener(Listener):
    """Follows the decisions of some lenders.

    Args:
        settings: broker and topics.
        lenders: whose.
        hear: called with each decision; the same one may come again.
        keep: how many of the newest ones are kept.

    Attributes:
        outcomes: how many there were of each.
        latest: the newest ones, newest first.
    """

    def __init__(
        self,
        settings: Settings,
        lenders: tuple[str, ...],
        hear: Callable[[Decision], None],
        keep: int = 20,
    ) -> None:
        super().__init__(settings, *(settings.topics.decisions(lender) for lender in lenders))
        self._hear = hear
        self._decode = msgspec.json.Decoder(Decision).decode
        self.outcomes: Counter[Outcome] = Counter()
        self.latest: deque[Decision] = deque(maxlen=keep)

    def take(self, value: bytes) -> None:
        """Take a decision in."""
        decision = self._decode(value)
        self.outcomes[decision.outcome] += 1
        self.latest.appendleft(decision)
        self._hear(decision)
