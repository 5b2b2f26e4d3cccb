"""What has been published and is not acknowledged yet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from streams.worker.ending import end_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.transport.driver import Producer
    from streams.wire.encode import EncodedBatch


class Outbox:
    """Publishes batches and knows, for each input partition, which the broker still owes.

    A checkpoint waits for them: a row that is durable has had its outputs published.

    Args:
        producer: returns the producer; it exists only once Faust has started.
    """

    def __init__(self, producer: Callable[[], Producer]) -> None:
        self._producer = producer
        self._owed: defaultdict[int, set[asyncio.Future[Any]]] = defaultdict(set)

    async def publish(
        self,
        source: int,
        topic: str,
        partition: int,
        batch: EncodedBatch,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Queue a batch; waits only while the one before it has not left yet.

        Args:
            source: the input partition that the batch came from.
            topic: Kafka topic to write to.
            partition: Kafka partition to write to.
            batch: the records.
            acknowledged: called once the broker has the batch.
        """
        future = await self._producer().send_batch(batch, topic, partition)
        owed = self._owed[source]
        owed.add(future)

        def done(future: asyncio.Future[Any]) -> None:
            owed.discard(future)
            if future.cancelled() or future.exception() is not None:
                error = None if future.cancelled() else future.exception()
                end_process(f"records could not be written to {topic}-{partition}", error)
            if acknowledged is not None:
                acknowledged()

        future.add_done_callback(done)

    def owed(self, source: int) -> set[asyncio.Future[Any]]:
        """Return what has been published from an input partition and is not acknowledged."""
        return set(self._owed[source])
