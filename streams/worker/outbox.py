"""What has been published and is not acknowledged yet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from streams.ending import end_process
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.transport.driver import Producer
    from streams.wire.encode import Message


Source = int | tuple[str, int]

LANE = 64
"""Times that something may be published to one output partition before it is waited for."""


class _Posted(NamedTuple):
    messages: Sequence[Message]
    done: asyncio.Future[None]
    acknowledged: Callable[[], None] | None


class Outbox:
    """Publishes messages and knows, for each input partition, which the broker still owes.

    A checkpoint waits for them: a row that is durable has had its outputs published.

    Each output partition has a lane of its own, so that one that is slow does not hold up the
    payments of all others. What is published while a lane waits for the broker leaves together,
    in one batch: a batch costs some 200 us of Python, however little it carries.

    Args:
        producer: returns the producer; it exists only once Faust has started.
        compression: of the batches.

    Attributes:
        linger_s: seconds for which a lane gathers before it writes; of use to who is far behind.
    """

    def __init__(self, producer: Callable[[], Producer], compression: str) -> None:
        self._producer = producer
        self._compression = compression
        self.linger_s = 0.0
        self._owed: defaultdict[Source, set[asyncio.Future[None]]] = defaultdict(set)
        self._lanes: dict[tuple[str, int], asyncio.Queue[_Posted]] = {}
        self._senders: list[asyncio.Task[None]] = []

    async def publish(
        self,
        source: Source,
        topic: str,
        partition: int,
        messages: Sequence[Message],
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Queue messages; waits only while `LANE` others wait in front of them.

        Args:
            source: what they came from: a partition of `payments` by its number, of another
                topic by that and its name.
            topic: Kafka topic to write to.
            partition: Kafka partition to write to.
            messages: in their order; none changes nothing.
            acknowledged: called once the broker has them.
        """
        if not messages:
            return
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = asyncio.Queue(LANE)
            self._senders.append(asyncio.create_task(self._send(topic, partition, lane)))
        owed = self._owed[source]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        owed.add(done)
        done.add_done_callback(owed.discard)
        await lane.put(_Posted(messages, done, acknowledged))

    async def _send(self, topic: str, partition: int, lane: asyncio.Queue[_Posted]) -> None:
        """Write what comes into a lane, in its order, for ever."""
        while True:
            posted = [await lane.get()]
            if self.linger_s:
                await asyncio.sleep(self.linger_s)
            while not lane.empty():
                posted.append(lane.get_nowait())
            messages = [message for each in posted for message in each.messages]
            try:
                await self._write(topic, partition, messages)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                end_process(f"records could not be written to {topic}-{partition}", error)
            for each in posted:
                if not each.done.done():
                    each.done.set_result(None)
                if each.acknowledged is not None:
                    each.acknowledged()

    async def _write(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        batches = encode_messages(messages, compression=self._compression)
        written = [await self._producer().send_batch(batch, topic, partition) for batch in batches]
        for future in written:
            await future

    def owed(self, source: Source) -> set[asyncio.Future[None]]:
        """Return what has been published from an input partition and is not acknowledged."""
        return set(self._owed[source])
