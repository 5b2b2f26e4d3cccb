"""Reads partitions that are assigned by hand, as folds."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiokafka

from streams.brokers.clients import client_options
from streams.transport.fetching import FoldDecoder, install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from streams.settings import Settings
    from streams.transport.fold import Fold

FETCH_MAX_WAIT_MS = 100
"""How long the broker may hold a fetch open. aiokafka sends the next one once all that the last
one brought has been taken, or after 100 ms without what has not been taken."""


@asynccontextmanager
async def fold_consumer(
    settings: Settings,
    decoders: Mapping[str, Callable[[Fold], Any]],
    *,
    group: str | None = None,
) -> AsyncIterator[aiokafka.AIOKafkaConsumer]:
    """Open a consumer that returns folds, decoded as the worker's are; nothing is assigned to it.

    Args:
        settings: say which broker.
        decoders: for a topic, what makes `Fold.decoded` of a fold.
        group: under whose name offsets are kept, which only `commit` does; it has no members.
    """
    install()
    consumer = aiokafka.AIOKafkaConsumer(
        **client_options(settings),
        group_id=group,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        key_deserializer=FoldDecoder(decoders, settings.max_batch_bytes_uncompressed),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed" if settings.idempotence else "read_uncommitted",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def folds_to_end(
    consumer: aiokafka.AIOKafkaConsumer, topic: str, number: int
) -> AsyncIterator[Fold]:
    """Yield the folds of a partition that are there now, in their order."""
    tp = aiokafka.TopicPartition(topic, number)
    consumer.assign([tp])
    end = (await consumer.end_offsets([tp]))[tp]
    begin = (await consumer.beginning_offsets([tp]))[tp]
    await consumer.seek_to_beginning(tp)
    while begin < end and await consumer.position(tp) < end:
        for fold in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, []):
            yield fold
