"""The AsyncAPI 3.1 document: the public topics, for those outside who write and read them."""

from typing import Any

import msgspec

from streams.contract.schemas import components, examples
from streams.contract.topics import Topic, Topics

_TEXT = {"type": "string", "description": "UTF-8 text."}


def document(topics: Topics, version: str) -> dict[str, Any]:
    """The document for a registry.

    An operation is named from the worker's side, as AsyncAPI asks of a document that describes an
    application: `receive` is what others write.

    Args:
        topics: The registry.
        version: Of the project.
    """
    public = [topic for topic in topics if topic.public]
    messages: dict[str, Any] = {}
    for topic in public:
        messages |= _messages(topic)
    types = [each for topic in public for each in (*topic.messages, *_headers(topic))]
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Duoshou",
            "version": version,
            "description": "Credit limits for merchants, kept up to date by every payment their "
            "code collects. Payments come in, limit updates go out; every record is keyed by "
            "merchant.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_channel(topic, topics): _channel_object(topic) for topic in public},
        "operations": {
            _operation(topic, topics): {
                "action": _action(topic),
                "channel": {"$ref": f"#/channels/{_channel(topic, topics)}"},
                "summary": topic.doc,
                "messages": [
                    {"$ref": f"#/channels/{_channel(topic, topics)}/messages/{name}"}
                    for name in _messages(topic)
                ],
            }
            for topic in public
        },
        "components": {
            "messages": messages,
            "schemas": components(types, "#/components/schemas/{name}"),
        },
    }


def _action(topic: Topic) -> str:
    return "send" if topic.writers[0] == "worker" else "receive"


def _channel(topic: Topic, topics: Topics) -> str:
    """A name that may stand in a reference: no dots."""
    return topic.name.removeprefix(topics.prefix).replace(".", "-")


def _operation(topic: Topic, topics: Topics) -> str:
    return f"{_action(topic)}-{_channel(topic, topics)}"


def _headers(topic: Topic) -> tuple[type[msgspec.Struct], ...]:
    return () if topic.headers is None else (topic.headers,)


def _channel_object(topic: Topic) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": [topic.cleanup.value]}
    if topic.retention_ms is not None:
        configuration["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "description": f"{topic.doc} Written by: {', '.join(topic.writers)}. "
        f"Read by: {', '.join(topic.readers)}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _messages(topic: Topic) -> dict[str, dict[str, Any]]:
    """The message objects of a topic, by name. A topic of bytes has one, named by its headers."""
    key = {"kafka": {"key": {**_TEXT, "description": topic.key}, "bindingVersion": "0.5.0"}}
    found: dict[str, dict[str, Any]] = {}
    for message in topic.messages:
        found[message.__name__] = {
            "title": message.__name__,
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
            "bindings": key,
            "examples": [{"payload": example} for example in examples(message)],
        }
    if topic.headers is not None:
        found["DeadLetter"] = {
            "title": "DeadLetter",
            "contentType": "application/octet-stream",
            "headers": {"$ref": f"#/components/schemas/{topic.headers.__name__}"},
            "payload": {"type": "string", "description": "The record's own bytes, unchanged."},
            "bindings": key,
            "examples": [
                {"headers": example, "payload": "{not JSON"} for example in examples(topic.headers)
            ],
        }
    return found
