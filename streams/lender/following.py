"""Reads topics from their beginning, or from where an earlier run stopped, and goes on.

No consumer group: every reader reads everything, and where it stands is its own affair.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.brokers.clients import consumer_settings
from streams.brokers.provision import require_topics
from streams.errors import BrokerError, OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streams.contract.topics import Topic
    from streams.lender.state import Positions
    from streams.settings import Settings

    Taker = Callable[[bytes | None], object]
    Source = tuple[Topic, Taker]

POLL_MS = 100
"""kafka-python now and then sleeps through the whole timeout although records have come."""


class Following:
    """Hands every record of some topics to the taker of its topic; use it by `following`.

    Args:
        consumer: Assigned to all partitions, each at its position.
        sources: Topics and what takes their records.
    """

    def __init__(self, consumer: KafkaConsumer, sources: Sequence[Source]) -> None:
        self._consumer = consumer
        self._takers = {topic.name: taker for topic, taker in sources}
        self._partitions = sorted(consumer.assignment())
        self._ends: dict[TopicPartition, int] = consumer.end_offsets(self._partitions)

    def take_some(self) -> None:
        """Wait a moment for records, and hand on those that have come.

        A record counts as read once its taker returns.
        """
        for tp, records in self._consumer.poll(timeout_ms=POLL_MS).items():
            for record in records:
                self._takers[tp.topic](record.value)

    def at_end(self) -> bool:
        """Whether everything that was there at the start has been taken."""
        return all(self._consumer.position(tp) >= end for tp, end in self._ends.items())

    def positions(self) -> Positions:
        """How far each partition has been read."""
        found: Positions = {}
        for tp in self._partitions:
            found.setdefault(tp.topic, {})[tp.partition] = self._consumer.position(tp)
        return found


@contextmanager
def following(
    settings: Settings, sources: Sequence[Source], positions: Positions
) -> Iterator[Following]:
    """Open a reader of every partition of some topics.

    Args:
        settings: Say which broker.
        sources: Topics and what takes their records.
        positions: Where to go on; a partition that is not named begins at its beginning.

    Raises:
        BrokerError: The broker cannot be reached, lacks a topic or does not give it out.
        OperatorError: A position lies behind the end: it is of another topic of that name.
    """
    require_topics(settings, [topic for topic, _ in sources])
    partitions = [
        TopicPartition(topic.name, number)
        for topic, _ in sources
        for number in range(topic.partitions)
    ]
    try:
        consumer = KafkaConsumer(**consumer_settings(settings), auto_offset_reset="earliest")
        try:
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            for tp in partitions:
                _seek(consumer, tp, positions.get(tp.topic, {}).get(tp.partition), ends[tp])
            yield Following(consumer, sources)
        finally:
            consumer.close()
    except KafkaError as error:
        names = ", ".join(topic.name for topic, _ in sources)
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} did not give out {names}: {error}."
        ) from error


def _seek(consumer: KafkaConsumer, tp: TopicPartition, position: int | None, end: int) -> None:
    if position is None:
        consumer.seek_to_beginning(tp)
    elif position > end:
        raise OperatorError(
            f"Partition {tp.partition} of {tp.topic} ends at {end} and was read up to {position} "
            "before: the topic was made anew, so delete the state file to begin anew too."
        )
    else:
        consumer.seek(tp, position)
