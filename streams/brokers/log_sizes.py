"""How much of the broker's disks each topic of the registry takes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.errors import for_code

from streams.brokers.provision import administration, require_topics
from streams.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from streams.settings import Settings


def log_sizes(settings: Settings) -> dict[str, int]:
    """Ask every broker for the bytes of each topic's logs, all replicas together.

    Raises:
        BrokerError: The broker cannot be reached, lacks a topic, or does not tell us.
    """
    require_topics(settings)
    names = [topic.name for topic in settings.topics]
    with administration(settings) as admin:
        return sizes_in(admin.describe_log_dirs(names), names)


def sizes_in(answers: Iterable[Mapping[str, Any]], topics: Iterable[str]) -> dict[str, int]:
    """Sum what brokers answer, by topic; a topic of which none has a log has 0 bytes.

    Args:
        answers: one of each broker, as kafka-python gives it.
        topics: the topics that matter.

    Raises:
        BrokerError: A broker says nothing at all: whom it does not trust it tells nothing.
        KafkaError: A broker's disk cannot be read.
    """
    sizes = dict.fromkeys(topics, 0)
    for answer in answers:
        if not answer["log_dirs"]:
            raise BrokerError(
                "The broker does not say how large its logs are: that needs DESCRIBE on the "
                "cluster, which `duoshou topics access` gives to the operator and to workers."
            )
        for disk in answer["log_dirs"]:
            if disk["error_code"]:
                raise for_code(disk["error_code"])(disk["log_dir"])
            for topic in disk["topics"]:
                if topic["name"] in sizes:
                    sizes[topic["name"]] += sum(
                        each["partition_size"] for each in topic["partitions"]
                    )
    return sizes
