"""The difference between the topic registry and the broker, and how to make it.

Nothing is ever shrunk. Fewer partitions would move merchants away from their state, and expiry by
age would delete it: both are refused. Where the broker keeps records longer than the registry
asks, that stays. A topic that the registry does not know is none of our business.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    UnknownTopicOrPartitionError,
    for_code,
)

from streams.brokers.clients import kafka_python_options
from streams.brokers.reachable import require_broker
from streams.contract.topics import Cleanup, Topic
from streams.errors import BrokerError
from streams.settings import Settings

METADATA_TIMEOUT_S = 10


AT_ONCE = 200
"""Topics created in one request: a broker refuses several thousand."""

LONGEST_ERROR = 300
"""Characters of a client's error that are shown: it repeats the whole request."""


class Action(StrEnum):
    """What is to be done about a topic."""

    NOTHING = "nothing"
    CREATE = "create"
    ADD_PARTITIONS = "add partitions"
    CONFIGURE = "configure"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Existing:
    """A topic as the broker has it.

    Attributes:
        partitions: Number of partitions.
        configuration: Its configuration in Kafka's names: what differs from the defaults, and
            what the registry asks for.
    """

    partitions: int
    configuration: Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        topic: Full name.
        action: What is to be done.
        setting: What changes: `partitions`, or a name of Kafka's topic configuration.
        now: As the broker has it, empty where there is nothing yet.
        wanted: As the registry has it.
    """

    topic: str
    action: Action
    setting: str = ""
    now: str = ""
    wanted: str = ""


def plan(wanted: Iterable[Topic], existing: Mapping[str, Existing]) -> list[Step]:
    """What leads from the broker's topics to the registry's, in the registry's order.

    A topic as it should be has a step that does nothing, so that a plan names every topic.
    """
    steps: list[Step] = []
    for topic in wanted:
        there = existing.get(topic.name)
        if there is None:
            steps.append(Step(topic.name, Action.CREATE, "partitions", "", str(topic.partitions)))
            steps += [
                Step(topic.name, Action.CREATE, name, "", value)
                for name, value in topic.configuration.items()
            ]
        else:
            steps += _differences(topic, there) or [Step(topic.name, Action.NOTHING)]
    return steps


def _differences(topic: Topic, there: Existing) -> list[Step]:
    steps = []
    if topic.partitions != there.partitions:
        grows = topic.partitions > there.partitions
        action = Action.ADD_PARTITIONS if grows else Action.REFUSE
        steps.append(
            Step(topic.name, action, "partitions", str(there.partitions), str(topic.partitions))
        )
    for name, value in topic.configuration.items():
        now = there.configuration.get(name, "")
        if now != value:
            steps.append(Step(topic.name, _action(name, now, value), name, now, value))
    return steps


def _action(name: str, now: str, wanted: str) -> Action:
    if name == "cleanup.policy":
        loses = Cleanup.COMPACT in now and wanted == Cleanup.DELETE
        return Action.REFUSE if loses else Action.CONFIGURE
    # Every other setting of the registry is a time in ms; -1 is for ever.
    keeps_more = now != "" and (int(now) < 0 or int(now) > int(wanted) >= 0)
    return Action.KEEP if keeps_more else Action.CONFIGURE


def refused(steps: Iterable[Step]) -> list[Step]:
    """Steps that nobody will make."""
    return [step for step in steps if step.action is Action.REFUSE]


def plan_topics(settings: Settings) -> list[Step]:
    """The plan for the broker of the settings.

    Raises:
        BrokerError: It cannot be reached or refuses us.
    """
    with administration(settings) as admin:
        return plan(settings.topics, _existing(admin, list(settings.topics)))


def apply_topics(settings: Settings) -> list[Step]:
    """Make the plan true, and return it as it was before.

    Topics are created with the broker's default replication factor.

    Raises:
        BrokerError: The broker cannot be reached or refuses, or the plan holds a refused step
            (then nothing at all is changed).
    """
    topics = list(settings.topics)
    with administration(settings) as admin:
        steps = plan(topics, _existing(admin, topics))
        if steps_refused := refused(steps):
            raise BrokerError(_refusal(steps_refused[0]))
        missing = {step.topic for step in steps if step.action is Action.CREATE}
        _create(admin, [topic for topic in topics if topic.name in missing])
        _add_partitions(admin, [each for each in steps if each.action is Action.ADD_PARTITIONS])
        _configure(admin, [each for each in steps if each.action is Action.CONFIGURE])
    return steps


def _refusal(step: Step) -> str:
    if step.setting == "partitions":
        return (
            f"Topic {step.topic} has {step.now} partitions and cannot go back to {step.wanted}: "
            f"set partitions = {step.now}, or use another topic_prefix."
        )
    return (
        f"Topic {step.topic} is compacted and would lose records under {step.setting} = "
        f"{step.wanted}: delete the topic yourself if nothing on it is needed."
    )


def require_topics(settings: Settings, only: Iterable[Topic] | None = None) -> None:
    """Check that the broker has every topic of the registry with the right partitions.

    Args:
        settings: Say which broker and which registry.
        only: The topics that matter, if not all of them do.

    Raises:
        BrokerError: It cannot be reached or refuses us, or a topic is missing or has another
            number of partitions than the settings say.
    """
    topics = list(settings.topics if only is None else only)
    with administration(settings) as admin:
        existing = _existing(admin, topics, with_configuration=False)
    missing = [topic.name for topic in topics if topic.name not in existing]
    if missing:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} lacks the topics {', '.join(missing)}: "
            "run `duoshou topics apply`."
        )
    for topic in topics:
        if (found := existing[topic.name].partitions) != topic.partitions:
            raise BrokerError(
                f"Topic {topic.name} has {found} partitions and the settings say "
                f"{topic.partitions}: correct the setting partitions, or run `duoshou topics plan`."
            )


@contextmanager
def administration(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client of kafka-python for the broker of the settings.

    Raises:
        BrokerError: The broker cannot be reached or refuses what the block asks of it.
    """
    require_broker(settings)
    try:
        admin = KafkaAdminClient(**kafka_python_options(settings))
        try:
            yield admin
        finally:
            admin.close()
    except AuthorizationError as error:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} does not let us do that ({error}): "
            "`duoshou topics access` says who may do what."
        ) from error
    except KafkaError as error:
        raise BrokerError(
            f"The broker {settings.bootstrap_servers} did not do what it was asked: "
            f"{str(error)[:LONGEST_ERROR]}."
        ) from error


def _existing(
    admin: KafkaAdminClient, topics: list[Topic], *, with_configuration: bool = True
) -> dict[str, Existing]:
    partitions: dict[str, int] = {}
    for described in admin.describe_topics([topic.name for topic in topics]):
        error = for_code(described["error_code"])
        if error is UnknownTopicOrPartitionError:
            continue
        if described["error_code"]:
            raise error(described["name"])
        partitions[described["name"]] = len(described["partitions"])
    configurations: dict[str, dict[str, str]] = {name: {} for name in partitions}
    if with_configuration and partitions:
        found = admin.describe_configs(
            [ConfigResource("topic", name) for name in partitions], config_filter="all"
        )
        for name, entries in found.get("topic", {}).items():
            configurations[name] = {key: entry["value"] for key, entry in entries.items()}
    return {name: Existing(count, configurations[name]) for name, count in partitions.items()}


def _create(admin: KafkaAdminClient, topics: list[Topic]) -> None:
    for first in range(0, len(topics), AT_ONCE):
        admin.create_topics(
            {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": -1,
                    "configs": topic.configuration,
                }
                for topic in topics[first : first + AT_ONCE]
            },
            wait_for_metadata=True,
        )


def _add_partitions(admin: KafkaAdminClient, steps: list[Step]) -> None:
    if steps:
        wanted = {step.topic: int(step.wanted) for step in steps}
        admin.create_partitions(wanted)
        # The broker accepts before its own metadata shows them.
        deadline = time.monotonic() + METADATA_TIMEOUT_S
        while wanted != {
            each["name"]: len(each["partitions"]) for each in admin.describe_topics(list(wanted))
        }:
            if time.monotonic() > deadline:
                raise BrokerError("The broker does not show the new partitions: try again.")
            time.sleep(0.05)
        admin.wait_for_topics(list(wanted))


def _configure(admin: KafkaAdminClient, steps: list[Step]) -> None:
    wanted: dict[str, dict[str, str]] = {}
    for step in steps:
        wanted.setdefault(step.topic, {})[step.setting] = step.wanted
    if not wanted:
        return
    done = admin.alter_configs(
        [ConfigResource("topic", name, configuration) for name, configuration in wanted.items()]
    )
    for name, result in done["topic"].items():
        if result != "OK":
            raise BrokerError(f"The broker refuses the configuration of topic {name}: {result}.")


def as_data(steps: Iterable[Step]) -> list[dict[str, str]]:
    """The plan as plain data, for JSON."""
    return [dataclasses.asdict(step) for step in steps]
