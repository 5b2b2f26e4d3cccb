"""Who may do what on the broker: access lists from the topic registry, and nothing beside it.

A topic is opened to its writers and readers by its full name. READ and WRITE let their holder
describe the topic too. A group or a transactional id is opened to the one party that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.contract.topics import Topic, Topics

CLUSTER = "kafka-cluster"
"""The name under which Kafka's access lists know the cluster itself."""


class Operation(StrEnum):
    """What may be done, in Kafka's words."""

    READ = "READ"
    WRITE = "WRITE"
    CREATE = "CREATE"
    ALTER = "ALTER"
    DESCRIBE = "DESCRIBE"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"
    ALTER_CONFIGS = "ALTER_CONFIGS"
    IDEMPOTENT_WRITE = "IDEMPOTENT_WRITE"


class Resource(StrEnum):
    """On what it may be done, in Kafka's words."""

    TOPIC = "TOPIC"
    GROUP = "GROUP"
    CLUSTER = "CLUSTER"
    TRANSACTIONAL_ID = "TRANSACTIONAL_ID"


class Pattern(StrEnum):
    """Whether a name is a whole name or the beginning of names, in Kafka's words."""

    LITERAL = "LITERAL"
    PREFIXED = "PREFIXED"


@dataclass(frozen=True)
class Entry:
    """One line of an access list: it allows, from any host.

    Attributes:
        principal: Who, as the broker knows it, for example `User:worker`.
        operation: What it may do.
        resource: Kind of the thing it may do it on.
        name: Name of that thing.
        pattern: Whether `name` is the whole name.
    """

    principal: str
    operation: Operation
    resource: Resource
    name: str
    pattern: Pattern = Pattern.LITERAL


def access_list(topics: Topics, principals: Mapping[str, str]) -> list[Entry]:
    """Every entry that the registry asks for, each once, topics first.

    Args:
        topics: The registry.
        principals: By party as the registry names it (`worker`, `payment system`); that of a
            lender has `{lender}` for the lender's id.

    Raises:
        ValueError: A party has no principal, or a lender's is also that of somebody else.

    Example:
        >>> from streams.contract.topics import Topics
        >>> names = ("worker", "trainer", "operator", "payment system")
        >>> principals = {name: f"User:{name}" for name in names} | {"lender": "User:l-{lender}"}
        >>> for entry in access_list(Topics(), principals):
        ...     if entry.principal == "User:l-platform":
        ...         print(entry.operation, entry.resource, entry.name, entry.pattern)
        WRITE TOPIC applications LITERAL
        WRITE TOPIC loan-events LITERAL
        WRITE TOPIC fund-events LITERAL
        WRITE TOPIC claim-events LITERAL
        READ TOPIC limit-updates.platform LITERAL
        READ TOPIC decisions.platform LITERAL
        READ TOPIC fund-answers.platform LITERAL
        READ TOPIC claim-answers.platform LITERAL
        READ GROUP lender-platform. PREFIXED
        IDEMPOTENT_WRITE CLUSTER kafka-cluster LITERAL
    """
    who = _Who(topics, principals)
    found = [entry for topic in topics for entry in _of_topic(topic, who)]
    found += _of_groups(topics, who)
    writers = [entry.principal for entry in found if entry.operation is Operation.WRITE]
    found += [
        Entry(writer, Operation.IDEMPOTENT_WRITE, Resource.CLUSTER, CLUSTER) for writer in writers
    ]
    # `duoshou cost` and the workers' metrics ask how large the logs are.
    found += [
        Entry(principal, Operation.DESCRIBE, Resource.CLUSTER, CLUSTER)
        for party in ("operator", "worker")
        for principal in who.principals(party)
    ]
    return list(dict.fromkeys(found))


class _Who:
    """Finds the principals of a party."""

    def __init__(self, topics: Topics, principals: Mapping[str, str]) -> None:
        self._principals = principals
        template = self._known("lender")
        self.lenders = {each: template.replace("{lender}", each) for each in topics.lenders}
        others = [name for party, name in principals.items() if party != "lender"]
        taken = [*others, *self.lenders.values()]
        for lender, name in self.lenders.items():
            if taken.count(name) > 1:
                raise ValueError(f"lender {lender} and somebody else are both {name}")

    def principals(self, party: str) -> list[str]:
        """Those of a writer or reader of the registry, what stands in brackets left aside."""
        name = party.partition(" (")[0]
        if name == "lender":
            return list(self.lenders.values())
        lender = name.removeprefix("lender ")
        return [self.lenders[lender]] if lender in self.lenders else [self._known(name)]

    def _known(self, party: str) -> str:
        if party not in self._principals:
            raise ValueError(f"there is no principal for {party}")
        return self._principals[party]


def _of_topic(topic: Topic, who: _Who) -> Iterator[Entry]:
    for operation, parties in (
        (Operation.WRITE, topic.writers),
        (Operation.READ, topic.readers),
    ):
        for party in parties:
            for principal in who.principals(party):
                yield Entry(principal, operation, Resource.TOPIC, topic.name)
    # `duoshou topics plan|apply`.
    for operation in (
        Operation.CREATE,
        Operation.ALTER,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    ):
        for principal in who.principals("operator"):
            yield Entry(principal, operation, Resource.TOPIC, topic.name)


def _of_groups(topics: Topics, who: _Who) -> Iterator[Entry]:
    """Consumer groups, and the transactions of resending."""
    for party, group in (
        ("worker", topics.application_id),
        ("worker", topics.relay_id),
        ("trainer", topics.trainer_id),
    ):
        for principal in who.principals(party):
            yield Entry(principal, Operation.READ, Resource.GROUP, group)
    for lender, principal in who.lenders.items():
        # The dot at its end keeps `lender-a.` from opening the groups of `lender-ab`.
        group = f"{topics.prefix}lender-{lender}."
        yield Entry(principal, Operation.READ, Resource.GROUP, group, Pattern.PREFIXED)
    for principal in who.principals("operator"):
        yield Entry(principal, Operation.WRITE, Resource.TRANSACTIONAL_ID, topics.resend_id)
