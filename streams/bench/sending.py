"""Sends records at a steady rate, in a batch for each partition every few milliseconds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import aiokafka

from streams.brokers.clients import client_options
from streams.decode.routing import home_of
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka.structs import RecordMetadata

    from streams.settings import Settings

PACE_S = 0.005
"""Seconds between two batches of a partition: how long Kafka's own producers wait by default
(linger.ms since Kafka 4)."""


@dataclass(frozen=True)
class Steady:
    """Records of one topic, to be sent at a rate.

    Attributes:
        topic: full name; it has as many partitions as `payments`.
        rate: records per second.
        rows: keys and values, in their order.
        handed_over: told of each batch when the producer has it: its keys and values, and when,
            in epoch seconds.
        written: told of each batch when the broker has it, and when it was handed over.
    """

    topic: str
    rate: float
    rows: Sequence[tuple[bytes, bytes]]
    handed_over: Callable[[Sequence[tuple[bytes, bytes]], float], None] = lambda _, __: None
    written: Callable[[RecordMetadata, float], None] = lambda _, __: None


async def send_steadily(settings: Settings, streams: Sequence[Steady]) -> None:
    """Send all records as they fall due, and wait until the broker has them."""
    producer = aiokafka.AIOKafkaProducer(**client_options(settings), acks="all")
    await producer.start()
    waiting: set[asyncio.Future[RecordMetadata]] = set()

    def note(stream: Steady, at: float, future: asyncio.Future[RecordMetadata]) -> None:
        waiting.discard(future)
        stream.written(future.result(), at)

    async def send(
        stream: Steady, homes: Sequence[int], rows: Sequence[tuple[bytes, bytes]]
    ) -> None:
        batches: dict[int, list[tuple[bytes, bytes]]] = {}
        for home, row in zip(homes, rows, strict=True):
            batches.setdefault(home, []).append(row)
        for partition, messages in batches.items():
            for batch in encode_messages(messages, compression="none"):
                at = time.time()
                future = await producer.send_batch(batch, stream.topic, partition=partition)
                future.add_done_callback(partial(note, stream, at))
                waiting.add(future)
            stream.handed_over(messages, at)

    # Before the clock runs: who sends must not take the time of who is measured.
    homes = [[home_of(key, settings.partitions) for key, _ in stream.rows] for stream in streams]
    began = time.monotonic()
    done = [0] * len(streams)
    try:
        while any(n < len(stream.rows) for n, stream in zip(done, streams, strict=True)):
            for place, stream in enumerate(streams):
                due = min(len(stream.rows), int((time.monotonic() - began) * stream.rate))
                if due > done[place]:
                    sent = slice(done[place], due)
                    await send(stream, homes[place][sent], stream.rows[sent])
                    done[place] = due
            await asyncio.sleep(PACE_S)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
