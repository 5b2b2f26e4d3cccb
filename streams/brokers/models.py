"""Models as an operator sees them: read from the topic, and published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorers.models import Models, dump_model, load_model, record_key
from streams.brokers.publishing import publish
from streams.brokers.reading import whole_topic

if TYPE_CHECKING:
    from scorers.models import Model
    from streams.settings import Settings


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
    publish(settings, settings.topics.models, record_key(model.version, raw), raw)
