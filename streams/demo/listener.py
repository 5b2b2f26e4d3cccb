"""Reads limit updates as a lender would."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from kafka import KafkaConsumer, TopicPartition

from streams.brokers.clients import consumer_settings
from streams.contract.messages import LimitUpdate
from streams.contract.topics import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

POLL_MS = 10
"""kafka-python now and then sleeps through the whole timeout although records have come."""


class UpdateListener(threading.Thread):
    """Follows the topic of limit updates.

    Args:
        settings: broker and topics.
        sent_at: tells when the payment at a partition's offset was sent, in epoch seconds.

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
        super().__init__(name="duoshou-listener", daemon=True)
        self._settings = settings
        self._sent_at = sent_at
        self._stopping = threading.Event()
        self.updates = 0
        self.raises = 0
        self.latest: deque[LimitUpdate] = deque(maxlen=keep)
        self.limits: dict[str, LimitUpdate] = {}
        self.latencies_ms: list[float] = []
        self.first_at: float | None = None

    def run(self) -> None:
        """Read until `stop` is called."""
        topic = self._settings.topics.limit_updates(PLATFORM)
        consumer = KafkaConsumer(**consumer_settings(self._settings), auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic.name, n) for n in range(topic.partitions)])
        consumer.seek_to_beginning()
        decode = msgspec.json.Decoder(LimitUpdate).decode
        try:
            while not self._stopping.is_set():
                for records in consumer.poll(timeout_ms=POLL_MS).values():
                    for record in records:
                        self._take(decode(record.value))
        finally:
            consumer.close()

    def stop(self) -> None:
        """Stop reading; returns at once."""
        self._stopping.set()

    def _take(self, update: LimitUpdate) -> None:
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
