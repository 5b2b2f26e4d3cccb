"""What has been published and is not acknowledged yet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.ending import end_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.transport.driver import Producer
    from streams.wire.encode import EncodedBatch


Source = int | tuple[str, int]

LANE = 64
"""Batches that may wait for one output partition before the payments wait for them."""


class _Posted(NamedTuple):
    batch: EncodedBatch
    done: asyncio.Future[None]
    acknowledged: Callable[[], None] | None


class Outbox:
    """Publishes batches and knows, for each input partition, which the broker still owes.

    A checkpoint waits for them: a row that is durable has had its outputs published.

    Each output partition has a lane of its own. aiokafka takes the next batch of a partition only
    when the one before has left, and that must not hold up the payments of all others.

    Args:
        producer: returns the producer; it exists only once Faust has started.
    """

    def __init__(self, producer: Callable[[], Producer]) -> None:
        self._producer = producer
        self._owed: defaultdict[Source, set[asyncio.Future[None]]] = defaultdict(set)
        self._lanes: dict[tuple[str, int], asyncio.Queue[_Posted]] = {}
        self._senders: list[asyncio.Task[None]] = []

    async def publish(
        self,
        source: Source,
        topic: str,
        partition: int,
        batch: EncodedBatch,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Queue a batch; waits only while `LANE` batches wait in front of it.

        Args:
            source: what the batch came from: a partition of `payments` by its number, of another
                topic by that and its name.
            topic: Kafka topic to write to.
            partition: Kafka partition to write to.
            batch: the records.
            acknowledged: called once the broker has the batch.
        """
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = asyncio.Queue(LANE)
            self._senders.append(asyncio.create_task(self._send(topic, partition, lane)))
        owed = self._owed[source]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        owed.add(done)
        done.add_done_callback(owed.discard)
        await lane.put(_Posted(batch, done, acknowledged))

    async def _send(self, topic: str, partition: int, lane: asyncio.Queue[_Posted]) -> None:
        """Hand the batches of a lane to the producer, in their order, for ever."""
        while True:
            posted = await lane.get()
            try:
                future = await self._producer().send_batch(posted.batch, topic, partition)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                end_process(f"records could not be written to {topic}-{partition}", error)
            future.add_done_callback(partial(_written, topic, partition, posted))

    def owed(self, source: Source) -> set[asyncio.Future[None]]:
        """Return what has been published from an input partition and is not acknowledged."""
        return set(self._owed[source])


def _written(topic: str, partition: int, posted: _Posted, future: asyncio.Future[Any]) -> None:
    if future.cancelled() or future.exception() is not None:
        error = None if future.cancelled() else future.exception()
        end_process(f"records could not be written to {topic}-{partition}", error)
    if not posted.done.done():
        posted.done.set_result(None)
    if posted.acknowledged is not None:
        posted.acknowledged()
