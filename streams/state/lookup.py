"""Reads one merchant's row out of the changelog, without being a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiokafka
import msgspec
import numpy as np

from streams.brokers.clients import client_options
from streams.decode.routing import murmur2
from streams.state.holding import CHECKPOINT_KEY, CheckpointRecord, Holding
from streams.transport.fetching import FoldDecoder, install

if TYPE_CHECKING:
    from collections.abc import Callable

    from scorers.partition import Partition
    from streams.settings import Settings
    from streams.transport.fold import Fold


async def find_row(
    settings: Settings, merchant_id: str
) -> tuple[bytes | None, CheckpointRecord | None]:
    """Return a merchant's newest durable row and its partition's newest checkpoint record.

    The row is at most one checkpoint old; None when the merchant has none.
    """
    install()
    key = merchant_id.encode()
    text = np.frombuffer(key, np.uint8)
    number = murmur2(text, 0, len(text)) % settings.partitions
    tp = aiokafka.TopicPartition(settings.topics.rows_changelog.name, number)
    consumer = aiokafka.AIOKafkaConsumer(
        **client_options(settings),
        key_deserializer=FoldDecoder({}, settings.max_batch_bytes_uncompressed),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    row: bytes | None = None
    record: CheckpointRecord | None = None
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        begin = (await consumer.beginning_offsets([tp]))[tp]
        await consumer.seek_to_beginning(tp)
        while begin < end and await consumer.position(tp) < end:
            for fold in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, []):
                row = _last(fold, key, row)
                mark = _last(fold, CHECKPOINT_KEY, None)
                if mark is not None:
                    record = msgspec.json.decode(mark, type=CheckpointRecord)
    finally:
        await consumer.stop()
    return row, record


async def whole_state(settings: Settings, new_partition: Callable[[], Partition]) -> list[Holding]:
    """Return every partition's merchants as they are durable now: rows and checkpoint record."""
    install()
    topic = settings.topics.rows_changelog.name
    holdings = [Holding(number, new_partition()) for number in range(settings.partitions)]
    consumer = aiokafka.AIOKafkaConsumer(
        **client_options(settings),
        key_deserializer=FoldDecoder({}, settings.max_batch_bytes_uncompressed),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        partitions = [aiokafka.TopicPartition(topic, number) for number in range(len(holdings))]
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for tp in partitions:
            await consumer.seek_to_beginning(tp)
            while begins[tp] < ends[tp] and await consumer.position(tp) < ends[tp]:
                for fold in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, []):
                    holdings[tp.partition].restore_rows(fold)
    finally:
        await consumer.stop()
    return holdings


def _last(fold: Fold, key: bytes, before: bytes | None) -> bytes | None:
    """Return the value of the last record with a key in a fold; `before` when it has none."""
    records = fold.records
    for i in np.flatnonzero(records.key_length == len(key))[::-1]:
        at = int(records.key_at[i])
        if fold.text[at : at + len(key)].tobytes() == key:
            value, length = int(records.value_at[i]), int(records.value_length[i])
            return None if length < 0 else fold.text[value : value + length].tobytes()
    return before
