"""Follows topics that every process reads whole, such as models and policies."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiokafka

from streams.ending import end_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)


class TopicFollower:
    """Reads small topics whole, and goes on reading them, outside of any group.

    Args:
        topics: for each topic the function that takes a record's value and offset in
            (`Versions.takers`).
        client: settings of the Kafka client (servers, security).
        refused: called with the topic for each record that was refused.
    """

    def __init__(
        self,
        topics: Mapping[str, Callable[[bytes, int], None]],
        client: Mapping[str, Any],
        refused: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._client = client
        self._refused = refused
        self._consumer: aiokafka.AIOKafkaConsumer | None = None
        self._running = False

    async def read_to_end(self) -> None:
        """Read everything published so far."""
        consumer = aiokafka.AIOKafkaConsumer(
            **self._client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=500,
        )
        await consumer.start()
        self._consumer = consumer
        partitions = [
            aiokafka.TopicPartition(topic, partition)
            for topic in self._topics
            for partition in consumer.partitions_for_topic(topic) or await self._partitions(topic)
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        await self.catch_up()

    async def _partitions(self, topic: str) -> set[int]:
        if self._consumer is None:
            return set()
        await self._consumer._client._wait_on_metadata(topic)
        return self._consumer.partitions_for_topic(topic) or set()

    async def run(self) -> None:
        """Go on reading, for ever."""
        if self._consumer is None:
            raise RuntimeError("read_to_end comes first")
        self._running = True
        try:
            while True:
                self._take(await self._consumer.getmany(timeout_ms=1000))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end_process(f"{', '.join(self._topics)} can no longer be read", error)
        finally:
            await self.close()

    async def catch_up(self) -> None:
        """Return when everything that is published now has been read, by `run` or here."""
        if self._consumer is None:
            raise RuntimeError("read_to_end comes first")
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        for tp, end in ends.items():
            while await self._consumer.position(tp) < end:
                if self._running:
                    await asyncio.sleep(0.02)
                else:
                    self._take(await self._consumer.getmany(tp, timeout_ms=500))

    async def close(self) -> None:
        """Hang up."""
        if self._consumer is not None:
            await self._consumer.stop()

    def _take(self, fetched: Mapping[Any, list[Any]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                if record.value is None:
                    continue
                try:
                    self._topics[tp.topic](record.value, record.offset)
                except ValueError as error:
                    self._refused(tp.topic)
                    logger.error(
                        "refused %s-%d at offset %d, what was in force stays: %s",
                        tp.topic, tp.partition, record.offset, error,
                    )  # fmt: skip
