"""What has been published and is not acknowledged yet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.ending import end_process
from streams.transport.begun import Begun
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.transport.driver import Producer
    from streams.wire.encode import Message


Source = int | tuple[str, int]

LANE = 64
"""Times that something may be published to one output partition before it is waited for."""


class _Posting:
    """What was published at once: it is done when the broker has all parts of it."""

    def __init__(
        self, parts: int, owed: asyncio.Future[None] | None, acknowledged: Callable[[], None] | None
    ) -> None:
        self._left = parts
        self._owed = owed
        self._acknowledged = acknowledged

    def part_done(self) -> None:
        """Note that the broker has one more part."""
        self._left -= 1
        if self._left:
            return
        if self._owed is not None and not self._owed.done():
            self._owed.set_result(None)
        if self._acknowledged is not None:
            self._acknowledged()


class _Posted(NamedTuple):
    messages: Sequence[Message]
    posting: _Posting
    written: Begun | None
    """For what found its lane idle: it is being written already."""


class _Lane:
    """What waits for one output partition, and whether anything does."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[_Posted] = asyncio.Queue(LANE)
        self.idle = True


class Outbox:
    """Publishes messages and knows, for each input partition, which the broker still owes.

    A checkpoint waits for them: a row that is durable has had its outputs published.

    Each output partition has a lane of its own, so that one that is slow does not hold up the
    payments of all others. What is published while a lane waits for the broker leaves together,
    in one batch: a batch costs some 200 us of Python, however little it carries.

    Args:
        producer: returns the producer; it exists only once Faust has started.
        compression: of the batches.
        acknowledged: told of each topic how many more messages the broker has.
    """

    def __init__(
        self,
        producer: Callable[[], Producer],
        compression: str,
        acknowledged: Callable[[str, int], None] = lambda topic, n: None,
    ) -> None:
        self._producer = producer
        self._compression = compression
        self._acknowledged = acknowledged
        self._owed: defaultdict[Source, set[asyncio.Future[None]]] = defaultdict(set)
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._senders: list[asyncio.Task[None]] = []

    async def publish(
        self,
        source: Source,
        topic: str,
        partition: int,
        messages: Sequence[Message],
    ) -> None:
        """Write messages to one partition; see `publish_all`."""
        await self.publish_all(source, {(topic, partition): messages})

    async def publish_all(
        self,
        source: Source | None,
        messages: Mapping[tuple[str, int], Sequence[Message]],
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Write messages, or queue them while the broker has not acknowledged those in front.

        Waits only while `LANE` others are queued.

        Args:
            source: what they came from: a partition of `payments` by its number, of another
                topic by that and its name; None for what has been promised.
            messages: by the Kafka topic and partition to write to, in their order; none changes
                nothing.
            acknowledged: called once the broker has all of them.
        """
        posts = {place: each for place, each in messages.items() if each}
        if not posts:
            return
        owed = None if source is None else self.promise(source)
        posting = _Posting(len(posts), owed, acknowledged)
        for place, each in posts.items():
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = _Lane()
                self._senders.append(asyncio.create_task(self._send(*place, lane)))
            written = None
            if lane.idle:
                # In this turn of the loop: whoever waits for it need not wait for the other folds.
                try:
                    written = Begun(self._write(*place, each))
                except Exception as error:
                    _end(*place, error)
            lane.idle = False
            await lane.waiting.put(_Posted(each, posting, written))

    async def _send(self, topic: str, partition: int, lane: _Lane) -> None:
        """See what is written through to its acknowledgement, and write what waits, for ever."""
        waiting = lane.waiting
        while True:
            lane.idle = waiting.empty()
            posted = [await waiting.get()]
            try:
                if posted[0].written is not None:
                    written = await posted[0].written
                else:
                    while not waiting.empty():
                        posted.append(waiting.get_nowait())
                    messages = [message for each in posted for message in each.messages]
                    written = await self._write(topic, partition, messages)
                for future in written:
                    await future
            except asyncio.CancelledError:
                raise
            except Exception as error:
                _end(topic, partition, error)
            self._acknowledged(topic, sum(len(each.messages) for each in posted))
            for each in posted:
                each.posting.part_done()

    async def _write(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> list[asyncio.Future[Any]]:
        """Hand messages to the producer; each of what it returns is a batch to be acknowledged."""
        batches = encode_messages(messages, compression=self._compression)
        return [await self._producer().send_batch(batch, topic, partition) for batch in batches]

    def promise(self, source: Source) -> asyncio.Future[None]:
        """Owe something that is still to be published, until the caller says that it is done."""
        promised: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        owed = self._owed[source]
        owed.add(promised)
        promised.add_done_callback(owed.discard)
        return promised

    def owed(self, source: Source) -> set[asyncio.Future[None]]:
        """Return what has been published from an input partition and is not acknowledged."""
        return set(self._owed[source])


def _end(topic: str, partition: int, error: Exception) -> None:
    end_process(f"records could not be written to {topic}-{partition}", error)
