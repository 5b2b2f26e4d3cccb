"""Models as an operator sees them: read from the topic, and published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import KafkaProducer
from kafka.errors import KafkaError

from scorers.models import Models, dump_model, load_model, record_key
from streams.brokers.clients import producer_settings
from streams.brokers.reading import whole_topic
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
    models, refused = Models(keep_learning=True), []
    for record in whole_topic(settings, settings.topics.models):
        if record.value is None:
            continue
        try:
            models.add(load_model(record.value))
        except ValueError as error:
            refused.append(f"offset {record.offset}: {error}")
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
