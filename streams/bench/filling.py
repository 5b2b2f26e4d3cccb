"""Fills a topic with synthetic payments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiokafka

from streams.brokers.clients import client_options
from streams.decode.routing import home_of
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings
    from streams.synthetic.load import Load

BATCH_PAYMENTS = 200
"""Payments in one record batch: some 50 kB, what a producer with a little linger sends."""


def fill(settings: Settings, load: Load, compression: str, sent: Callable[[int], None]) -> None:
    """Write a load to the topic `payments` and wait until the broker has all of it.

    Args:
        settings: broker and topics.
        load: the payments.
        compression: of the batches: none, snappy, lz4 or zstd.
        sent: called with the number of payments handed over so far.
    """
    asyncio.run(_fill(settings, load, compression, sent))


async def _fill(
    settings: Settings, load: Load, compression: str, sent: Callable[[int], None]
) -> None:
    producer = aiokafka.AIOKafkaProducer(**client_options(settings), acks="all")
    await producer.start()
    topic = settings.topics.payments.name
    waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in range(settings.partitions)]
    futures: list[asyncio.Future[aiokafka.structs.RecordMetadata]] = []
    done = 0

    async def send(partition: int) -> None:
        for batch in encode_messages(waiting[partition], compression=compression):
            future = await producer.send_batch(batch, topic, partition=partition)
            futures.append(future)
        waiting[partition] = []

    try:
        for chunk in load.chunks():
            for key, value in chunk:
                partition = home_of(key, settings.partitions)
                waiting[partition].append((key, value))
                if len(waiting[partition]) == BATCH_PAYMENTS:
                    await send(partition)
            done += len(chunk)
            sent(done)
        for partition in range(settings.partitions):
            await send(partition)
        await asyncio.gather(*futures)
    finally:
        await producer.stop()
