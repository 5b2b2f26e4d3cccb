"""Models as an operator sees them: read from the topic, and published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from scorers.models import Models, dump_model, load_model, record_key
from streams.brokers.clients import consumer_settings, producer_settings
from streams.brokers.provision import require_topics
from streams.errors import BrokerError

if TYPE_CHECKING:
    from scorers.models import Model
    from streams.settings import Settings

PUBLISHED_WITHIN_S = 30.0


def read_models(settings: Settings) -> tuple[Models, list[str]]:
    """Return the models that count, and why others on the topic do not.

    Raises:
        BrokerError: The broker cannot be reached, or lacks the topic.
    """
    topic = settings.topics.models
    require_topics(settings, [topic])
    models, refused = Models(keep_learning=True), []
    for offset, value in _records(settings, topic.name):
        try:
            models.add(load_model(value))
        except ValueError as error:
            refused.append(f"offset {offset}: {error}")
    return models, refused


def publish_model(settings: Settings, model: Model) -> None:
    """Write a model to the topic.

    Raises:
        BrokerError: The broker did not take it.
    """
    raw = dump_model(model)
    topic, key = settings.topics.models.name, record_key(model.version, raw)
    try:
        producer = KafkaProducer(**producer_settings(settings))
        try:
            producer.send(topic, raw, key, partition=0).get(PUBLISHED_WITHIN_S)
        finally:
            producer.close()
    except KafkaError as error:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} did not take the model: {error}."
        ) from error


def _records(settings: Settings, topic: str) -> list[tuple[int, bytes]]:
    partition = TopicPartition(topic, 0)
    records: list[tuple[int, bytes]] = []
    try:
        consumer = KafkaConsumer(**consumer_settings(settings), auto_offset_reset="earliest")
        try:
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            end = consumer.end_offsets([partition])[partition]
            while consumer.position(partition) < end:
                for fetched in consumer.poll(timeout_ms=500).values():
                    records += [(each.offset, each.value) for each in fetched if each.value]
        finally:
            consumer.close()
    except KafkaError as error:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} did not give out {topic}: {error}."
        ) from error
    return records
