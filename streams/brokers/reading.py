"""Reads a topic from its beginning to where it ends now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.brokers.clients import consumer_settings
from streams.brokers.provision import require_topics
from streams.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.contract.topics import Topic
    from streams.settings import Settings


def whole_topic(settings: Settings, topic: Topic) -> Iterator[Any]:
    """Yield every record that is on a topic now, of each partition in its order.

    Raises:
        BrokerError: The broker cannot be reached, or lacks the topic.
    """
    require_topics(settings, [topic])
    assigned = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    try:
        consumer = KafkaConsumer(**consumer_settings(settings), auto_offset_reset="earliest")
        try:
            consumer.assign(assigned)
            consumer.seek_to_beginning(*assigned)
            ends = consumer.end_offsets(assigned)
            while any(consumer.position(each) < ends[each] for each in assigned):
                for records in consumer.poll(timeout_ms=500).values():
                    yield from records
        finally:
            consumer.close()
    except KafkaError as error:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} did not give out {topic.name}: {error}."
        ) from error
