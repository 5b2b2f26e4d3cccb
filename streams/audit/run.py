"""One audit, from a message to what can be said of it."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from streams.audit.comparison import compare
from streams.audit.recomputing import NotKnown, recompute
from streams.brokers.provision import require_topics

if TYPE_CHECKING:
    from streams.audit.comparison import Difference
    from streams.audit.received import Message, Received
    from streams.settings import Settings


class Verdict(StrEnum):
    """What can be said of a message."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_KNOWN = "not_known"


class Audit(NamedTuple):
    """The outcome of an audit."""

    verdict: Verdict
    sentence: str
    """For a person: what the verdict stands on."""
    differences: list[Difference]
    recomputed: Message | None
    records: int
    """Records of the log that were read again."""


def audit(settings: Settings, said: Received) -> Audit:
    """Work a message out again from the log, and compare.

    Args:
        settings: of the workers that published it.
        said: the message, as it was received.

    Raises:
        BrokerError: The broker cannot be reached, or lacks a topic.
    """
    topics = settings.topics
    require_topics(
        settings, [topics.payments, topics.rows_changelog, topics.models, topics.policies]
    )
    message = said.message
    log = (message.source_topic, message.source_partition)
    if log[0] != topics.payments.name or log[1] >= settings.partitions:
        return _not_known(
            f"The message stands on {log[0]}-{log[1]}, and the log of this installation is "
            f"{topics.payments.name} with {settings.partitions} partitions."
        )
    try:
        found = asyncio.run(recompute(settings, message.source_partition, message.source_offset))
    except NotKnown as error:
        return _not_known(str(error))
    outcome = compare(said, found.messages)
    place = f"{log[0]}-{log[1]} up to offset {message.source_offset}"
    if outcome.same:
        sentence = f"The same, byte for byte: {found.records:,} records of {place} lead to it."
    elif outcome.recomputed is None:
        sentence = f"{place} leads to no such message: {found.records:,} records were read again."
    elif outcome.differences:
        sentence = f"It differs: {found.records:,} records of {place} lead to something else."
    else:
        sentence = "Every field is the same, but the bytes are not: white space, or a field twice."
    verdict = Verdict.SAME if outcome.same else Verdict.DIFFERENT
    if found.doubt is not None:
        sentence += f" But {found.doubt}: the oldest that is on record stood in for them."
        if not outcome.same:
            # Another model would explain it as well.
            verdict = Verdict.NOT_KNOWN
    return Audit(verdict, sentence, outcome.differences, outcome.recomputed, found.records)


def _not_known(sentence: str) -> Audit:
    return Audit(Verdict.NOT_KNOWN, sentence, [], None, 0)
