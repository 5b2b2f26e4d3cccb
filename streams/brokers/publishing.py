"""Writes a record that an operator publishes, and waits until the broker has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import KafkaProducer
from kafka.errors import KafkaError

from streams.brokers.clients import producer_settings
from streams.errors import BrokerError

if TYPE_CHECKING:
    from streams.contract.topics import Topic
    from streams.settings import Settings

PUBLISHED_WITHIN_S = 30.0


def publish(settings: Settings, topic: Topic, key: bytes, value: bytes) -> None:
    """Write a record to the first partition of a topic.

    Raises:
        BrokerError: The broker did not take it.
    """
    try:
        producer = KafkaProducer(**producer_settings(settings))
        try:
            producer.send(topic.name, value, key, partition=0).get(PUBLISHED_WITHIN_S)
        finally:
            producer.close()
    except KafkaError as error:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} did not take a record for {topic.name}:"
            f" {error}."
        ) from error
