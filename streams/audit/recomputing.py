"""Reads the log of a partition again and says what one of its records leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from aiokafka import TopicPartition

from streams.audit.switches import read_switches
from streams.errors import OperatorError
from streams.observability.metrics import Metrics
from streams.state.holding import Holding, place_of
from streams.transport.fold import Fold
from streams.transport.reading import fold_consumer, folds_to_end
from streams.wire.records import Records
from streams.worker.decoding import fold_decoder
from streams.worker.effects import FoldApplier, partition_maker
from streams.worker.limit_updates import LimitUpdates, Moved
from streams.worker.versions import read_versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.audit.received import Message
    from streams.settings import Settings
    from streams.state.holding import CheckpointRecord
    from streams.worker.decoding import Decoded
    from streams.worker.versions import Versions


class NotKnown(OperatorError):  # noqa: N818 - no failure: nothing can be said
    """Raised when what the log has led to can no longer be worked out."""


class Recomputed(NamedTuple):
    """What one record of the log leads to."""

    messages: list[Message]
    """Limit updates, decisions, fund and claim answers, in the order of the worker's."""
    records: int
    """How many records were read again."""
    doubt: str | None
    """Why models and policies are not known exactly; None if they are."""


async def recompute(settings: Settings, number: int, offset: int) -> Recomputed:
    """Apply a partition of the log from its beginning to an offset, and return what that leads to.

    Args:
        settings: of the workers: zone, skew and horizon are theirs.
        number: the partition of `payments`.
        offset: of the record.

    Raises:
        NotKnown: the log does not reach back to its beginning or not up to the offset, or a model
            or policy is gone.
    """
    switches = await read_switches(settings, number)
    if not switches.records:
        raise NotKnown(f"Nothing can be said of partition {number}: {switches.doubt}.")
    log = _Log(settings, number, await read_versions(settings), switches.records)
    topic = settings.topics.payments.name
    expected = 0
    async with fold_consumer(settings, {topic: log.decode}) as consumer:
        tp = TopicPartition(topic, number)
        _require_whole(tp, 0, (await consumer.beginning_offsets([tp]))[tp])
        async for fold in folds_to_end(consumer, topic, number):
            # The broker may have deleted what was to be read next.
            _require_whole(tp, expected, fold.first_offset)
            expected = fold.last_offset + 1
            if fold.last_offset < offset:
                log.apply(fold)
                continue
            log.apply(part(fold, fold.first_offset, offset - 1, log.decode))
            messages = log.apply(part(fold, offset, offset, log.decode), told=True)
            return Recomputed(messages, log.records, switches.doubt)
    raise NotKnown(
        f"{topic}-{number} has no record at offset {offset}, it ends at {expected}: the message is "
        "of another installation, or the topic was made anew."
    )


def _require_whole(tp: TopicPartition, expected: int, begin: int) -> None:
    if begin > expected:
        raise NotKnown(
            f"The broker keeps {tp.topic}-{tp.partition} from offset {begin} on only. What was "
            f"known there follows from the records {expected} to {begin - 1}, which are gone, so "
            "whether the message was right can no longer be worked out."
        )


class _Log:
    """One partition, as it comes about record by record."""

    def __init__(
        self,
        settings: Settings,
        number: int,
        versions: Versions,
        switches: list[CheckpointRecord],
    ) -> None:
        self._holding = Holding(number, partition_maker(settings)())
        self._holding.accounts.begin(place_of(settings, number))
        self.decode = fold_decoder(settings.partitions)
        self._applier = FoldApplier(settings, Metrics())
        self._updates = LimitUpdates(settings.topics.payments.name)
        self._versions = versions
        self._ahead = switches[::-1]
        self._switch()
        self.records = 0

    def apply(self, fold: Fold, *, told: bool = False) -> list[Message]:
        """Apply a fold; what it leads to is returned only if it is to be told."""
        messages: list[Message] = []
        while self._ahead and self._ahead[-1].offset < fold.last_offset:
            at = self._ahead[-1].offset
            messages += self._apply(part(fold, fold.first_offset, at, self.decode), told=told)
            self._switch()
            fold = part(fold, at + 1, fold.last_offset, self.decode)
        return messages + self._apply(fold, told=told)

    def _apply(self, fold: Fold, *, told: bool) -> list[Message]:
        if not len(fold):
            return []
        self.records += len(fold)
        updates, outputs = self._applier.apply(self._holding, fold)
        # Nothing is made durable here: what was noted for that need not pile up.
        self._holding.partition.take_pages()
        if not told:
            return []
        messages: list[Message] = [
            update
            for each in updates
            for _, update in self._updates.messages(Moved.of(self._holding, each))
        ]
        return [
            *messages,
            *(each.decision for each in outputs.decisions),
            *outputs.fund_answers,
            *outputs.claim_answers,
        ]

    def _switch(self) -> None:
        """Put in force what the next switch names."""
        try:
            self._holding.partition.activate(self._versions.named_by(self._ahead.pop()))
        except LookupError as error:
            raise NotKnown(
                f"Models or policies of that time are no longer on their topics: {error}."
            ) from None


def part(fold: Fold, first: int, last: int, decode: Callable[[Fold], Decoded]) -> Fold:
    """Return the records of a fold of `payments` from one offset to another, decoded."""
    offsets = fold.records.offset
    begin, end = np.searchsorted(offsets, first), np.searchsorted(offsets, last, side="right")
    if begin == 0 and end == len(offsets):
        return fold
    cut = Fold(
        topic=fold.topic,
        partition=fold.partition,
        first_offset=first,
        last_offset=last,
        text=fold.text,
        records=Records._make(column[begin:end] for column in fold.records),
    )
    cut.decoded = decode(cut)
    return cut
