"""Plays synthetic trade into Kafka at a steady rate."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import aiokafka
import msgspec
import numpy as np

from scorers.applications.messages import Application
from scorers.loans import LoanEvent
from scorers.merchants import MerchantEvent
from streams.brokers.clients import client_options
from streams.contract.messages import Tick
from streams.decode.routing import home_of
from streams.synthetic.merchants import DAY_MS, Merchant, hours_of_trade
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.contract.messages import PaymentEvent
    from streams.settings import Settings
    from streams.synthetic.borrowing import Borrowers, Event

PAYMENTS_A_SLICE = 0.02  # of a second's rate


class Feeder(threading.Thread):
    """Sends payments hour by hour of event time, what borrowers say, and the ticks.

    Ticks let the hours pass.

    Args:
        settings: broker and topics.
        merchants: who trades.
        borrowers: who of them borrows.
        rate: payments per second of real time.
        duration_s: how long to play.
        random: source of chance.

    Attributes:
        sent: payments sent so far.
        days: days played so far.
        finished: set when everything was acknowledged, or when it failed.
        error: why it failed, or None.
    """

    def __init__(
        self,
        settings: Settings,
        merchants: list[Merchant],
        borrowers: Borrowers,
        rate: float,
        duration_s: float,
        random: np.random.Generator,
    ) -> None:
        super().__init__(name="duoshou-feeder", daemon=True)
        self._settings = settings
        self._rate = rate
        self._duration_s = duration_s
        self._random = random
        self._merchants = merchants
        self._borrowers = borrowers
        topics = settings.topics
        self._topics = {
            Application: topics.applications.name,
            LoanEvent: topics.loan_events.name,
            MerchantEvent: topics.merchant_events.name,
        }
        self._sent_at: dict[int, tuple[list[int], list[float]]] = {}
        self.sent = 0
        self.days = 0.0
        self.began_at = 0.0
        self.ended_at = 0.0
        self.finished = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Play until the time is over."""
        try:
            asyncio.run(self._play())
        except Exception as error:  # noqa: BLE001 (shown by the session that started the thread)
            self.error = error
        finally:
            self.ended_at = time.monotonic()
            self.finished.set()

    def sent_at(self, partition: int, offset: int) -> float | None:
        """Return when a payment was handed to the producer (`time.time()`), if it is known."""
        offsets, times = self._sent_at.get(partition, ([], []))
        i = int(np.searchsorted(offsets, offset, side="right")) - 1
        return times[i] if i >= 0 else None

    async def _play(self) -> None:
        producer = aiokafka.AIOKafkaProducer(
            **client_options(self._settings), acks="all", enable_idempotence=False
        )
        await producer.start()
        try:
            a_day = sum(merchant.payments_a_day for merchant in self._merchants)
            days = self._rate * self._duration_s / a_day
            begins_at = (time.time_ns() // 1_000_000 - int(days * DAY_MS)) // DAY_MS * DAY_MS
            self.began_at = time.monotonic()
            await self._tell(producer, self._borrowers.consents(begins_at))
            trade = hours_of_trade(self._merchants, begins_at, days, self._random)
            for hour_ends, events in trade:
                size = max(1, int(self._rate * PAYMENTS_A_SLICE))
                for first in range(0, len(events), size):
                    await self._send(producer, events[first : first + size])
                    await self._keep_pace()
                await self._tell(producer, self._borrowers.hour(hour_ends, events))
                await self._tick(producer, hour_ends)
                self.days += 1 / 24
                if time.monotonic() - self.began_at > self._duration_s:
                    break
            await producer.flush()
        finally:
            await producer.stop()

    async def _keep_pace(self) -> None:
        ahead = self.sent / self._rate - (time.monotonic() - self.began_at)
        await asyncio.sleep(max(0.0, ahead))

    async def _send(self, producer: aiokafka.AIOKafkaProducer, events: list[PaymentEvent]) -> None:
        by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
        for event in events:
            key = event.merchant_id.encode()
            partition = home_of(key, self._settings.partitions)
            by_partition.setdefault(partition, []).append((key, msgspec.json.encode(event)))
        for partition, messages in by_partition.items():
            await self._send_messages(producer, partition, messages)
        self.sent += len(events)

    async def _tell(self, producer: aiokafka.AIOKafkaProducer, events: Sequence[Event]) -> None:
        for event in events:
            key, value = event.merchant_id.encode(), msgspec.json.encode(event)
            await producer.send(self._topics[type(event)], value, key)

    async def _tick(self, producer: aiokafka.AIOKafkaProducer, occurred_at: int) -> None:
        value = msgspec.json.encode(Tick(occurred_at=occurred_at))
        for partition in range(self._settings.partitions):
            await self._send_messages(producer, partition, [(None, value)])

    async def _send_messages(
        self, producer: aiokafka.AIOKafkaProducer, partition: int, messages: list[Any]
    ) -> None:
        topic = self._settings.topics.payments.name
        for batch in encode_messages(messages):
            handed_over = time.time()
            future = await producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(partial(self._note, partition, handed_over))

    def _note(self, partition: int, handed_over: float, written: asyncio.Future[Any]) -> None:
        offsets, times = self._sent_at.setdefault(partition, ([], []))
        times.append(handed_over)
        offsets.append(written.result().offset)
