"""One partition in a worker's memory: its rows, payment ids and ledger, and how far they reach."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from scorers.accounts import Accounts
from scorers.applications.book import Place
from scorers.catalogue import Moment
from scorers.partition import Partition
from scorers.raises import Stop
from streams.dead_letters import field
from streams.transport.inputs import NOTHING
from streams.wire.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.settings import Settings
    from streams.transport.fold import Fold

# Longer than any merchant id may be, so that it is none.
CHECKPOINT_KEY = b"duoshou-checkpoint".ljust(80, b".")
LONGEST_MERCHANT_ID = 64

SWITCHES_KEPT = 4096
"""Switches of models, policies and stops that stay on record in each partition's changelog."""


def switch_key(number: int) -> bytes:
    """Return the key under which a switch stays on record; like the checkpoint's it is no id.

    >>> switch_key(1) == switch_key(1 + SWITCHES_KEPT), len(switch_key(1)) > LONGEST_MERCHANT_ID
    (True, True)
    """
    return f"duoshou-switch-{number % SWITCHES_KEPT}".encode().ljust(80, b".")


def place_of(settings: Settings, number: int) -> Place:
    """Return a partition's place in the log, as its accounts begin with it."""
    return Place(settings.topics.payments.name, number, settings.partitions)


class CheckpointRecord(msgspec.Struct, frozen=True):
    """The last record of a checkpoint, kept in the rows' changelog.

    Attributes:
        offset: offset of the last input record that the checkpoint holds; -1 for none.
        clock: the partition's event-time clock (`Partition.clock_state`).
        model_version: scorecard in force behind `offset`.
        policies: names the policies in force behind `offset` (`catalogue.Moment`).
        switches: how often the partition has taken up other models, policies or stops, the first
            ones included; 0 if all of that was before it was counted.
        stops: what keeps limits from rising behind `offset`; none in a record of older releases.
        schema_version: version of this record's layout.
    """

    offset: int
    clock: dict[str, int]
    model_version: int
    policies: Moment
    switches: int = 0
    stops: tuple[Stop, ...] = ()
    schema_version: int = 1


class Holding:
    """Rows, payment ids and ledger of one partition, with the positions that they stand at.

    Attributes:
        number: the Kafka partition.
        partition: rows, payment ids and event-time clock.
        accounts: loans, applications and holdings, decided one event at a time.
        active: this worker owns the partition and has recovered it.
        applied: offset of the last input record applied since the partition became active.
        durable: offset of the last input record covered by a finished checkpoint.
        newest_timestamp: Kafka timestamp of the last input record applied since the partition
            became active, epoch ms; 0 before the first.
        caught_up_at: when it was last seen at the end of its log since then, by the worker's
            clock, epoch ms; 0 if it never was.
        checkpoint: the newest checkpoint record seen, or None.
        log_end: where the log ended when the partition became active; None until that is known.
        unread: a former owner has written to a changelog since it was read: what it wrote stands
            before the positions here, and was never taken in.
        lock: held while a fold is applied and while a checkpoint is cut.
    """

    def __init__(self, number: int, partition: Partition) -> None:
        self.number = number
        self.partition = partition
        self.active = False
        self.accounts = Accounts(partition.zone)
        self.applied = NOTHING
        self.durable = NOTHING
        self.newest_timestamp = self.caught_up_at = 0
        self.checkpoint: CheckpointRecord | None = None
        self.log_end: int | None = None
        self.checkpoint_at = self.marked_at = self.buried_at = time.monotonic()
        self.unread = False
        self.positions: dict[str, int] = {}
        self.lock = asyncio.Lock()

    def replayed(self) -> bool:
        """Tell whether all has been read again that a former owner can have published from.

        Until then the models must stay those that it had.
        """
        if self.checkpoint is None:
            # The first record is written before anything is published.
            return True
        return self.log_end is not None and self.stands_at() >= self.log_end - 1

    def stands_at(self) -> int:
        """Return the offset of the last input record that is in memory, -1 before the first.

        Behind a restart that is what the last checkpoint held, until something new is applied.
        """
        held = NOTHING if self.checkpoint is None else self.checkpoint.offset
        return max(self.applied, held)

    def restore_rows(self, fold: Fold) -> None:
        """Take in rows and checkpoint records read from the changelog.

        Raises:
            ValueError: a row is of a newer schema than this worker knows, or no row at all.
        """
        records = fold.records
        marks = np.flatnonzero(records.key_length > LONGEST_MERCHANT_ID)
        for i in marks:
            self._restore_checkpoint(fold, int(i))
        if len(marks):
            keep = records.key_length <= LONGEST_MERCHANT_ID
            records = Records._make(column[keep] for column in records)
        self.partition.restore_rows(
            fold.text,
            records.key_at,
            records.key_length.astype(np.int32, copy=False),
            records.value_at,
            records.value_length.astype(np.int32, copy=False),
        )
        self.reached(fold.topic, fold.last_offset)

    def _restore_checkpoint(self, fold: Fold, i: int) -> None:
        at = int(fold.records.value_at[i])
        raw = fold.text[at : at + int(fold.records.value_length[i])].tobytes()
        record = msgspec.json.decode(raw, type=CheckpointRecord)
        if self.checkpoint is None or record.offset >= self.checkpoint.offset:
            self.checkpoint = record
            # Also on a standby: it lets go of the payment ids that the clock has passed.
            self.partition.restore_clock(record.clock)

    def restore_ids(self, fold: Fold) -> None:
        """Take in pages of payment ids read from their topic."""
        records = fold.records
        for at, length in zip(records.value_at, records.value_length, strict=True):
            if length >= 0:
                self.partition.load_page(fold.text[int(at) : int(at + length)].tobytes())
        self.reached(fold.topic, fold.last_offset)

    def restore_ledger(self, fold: Fold) -> None:
        """Take in entries and marks of the ledger read from its changelog.

        Raises:
            ValueError: a record is of no book, or of a newer layout.
        """
        records = fold.records
        for i in range(len(fold)):
            key = field(fold, records.key_at[i], records.key_length[i])
            value = field(fold, records.value_at[i], records.value_length[i])
            self.accounts.ledger.restore(key or b"", value)
        self.reached(fold.topic, fold.last_offset)

    def passed_over(self, fold: Fold) -> None:
        """Leave out a fold of a changelog that came while the partition was ours.

        Our own records are in memory already. What a former owner has written late must not be
        mixed with it: memory stands at another place of the log.
        """
        if fold.last_offset > self.positions.get(fold.topic, NOTHING):
            self.unread = True
            self.reached(fold.topic, fold.last_offset)

    def reached(self, topic: str, offset: int) -> None:
        """Note that memory holds everything of a changelog topic up to an offset."""
        self.positions[topic] = max(self.positions.get(topic, NOTHING), offset)


class Holdings:
    """The partitions that this worker holds, active and standby.

    Args:
        new_partition: makes an empty partition.
    """

    def __init__(self, new_partition: Callable[[], Partition]) -> None:
        self._new_partition = new_partition
        self._held: dict[int, Holding] = {}

    def __iter__(self) -> Iterator[Holding]:
        return iter(list(self._held.values()))

    def get(self, number: int) -> Holding | None:
        """Return the holding of a partition, or None."""
        return self._held.get(number)

    def hold(self, number: int) -> Holding:
        """Return the holding of a partition; an empty one is made when there is none."""
        if number not in self._held:
            self._held[number] = Holding(number, self._new_partition())
        return self._held[number]

    def drop(self, number: int) -> None:
        """Forget a partition."""
        self._held.pop(number, None)

    def active(self) -> list[Holding]:
        """Return the holdings that this worker owns and has recovered."""
        return [holding for holding in self._held.values() if holding.active]
