"""Checkpoints: outputs acknowledged, then ids, ledger and rows durable, then offsets committed.

The order is what makes a crash harmless wherever it falls:

1. cut between two folds: copy changed rows and entries, take the pages of new payment ids;
2. wait until every output published so far is acknowledged;
3. write pages, wait; write the ledger's entries, wait; write its mark, wait; write the rows,
   wait; write the checkpoint record, wait;
4. commit the input offset.

A durable row has had its outputs published and its payment ids written, so a replayed record at
or below the row's offset can be skipped without a trace. The ledger is durable as a whole, by its
mark, before the first row: so no row is durable from behind an event that the ledger must still
decide.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from scorers.raises import stops
from streams.ending import end_process
from streams.state.holding import CHECKPOINT_KEY, CheckpointRecord, Holding, switch_key
from streams.transport.inputs import NOTHING
from streams.wire.encode import encode_messages, encode_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import TP

    from scorers.ledger import LedgerCut
    from scorers.partition import Version
    from scorers.policy import PolicyName
    from scorers.remembered import ChangedRows
    from scorers.shadows import Counted
    from streams.wire.encode import EncodedBatch
    from streams.worker.app import App

logger = logging.getLogger(__name__)

REMARK_AFTER_S = 600.0
"""Seconds after which the ledger's mark is written again though nothing has changed: it shows
whether somebody else has written there, long before the broker compacts."""

BURY_EVERY_S = 3600.0
"""Seconds between two writings of tombstones. What was deleted keeps its record for at least that
long, so that no late record of a former owner comes behind its tombstone."""

FAR_BEHIND = 200_000
"""Records of lag from which on checkpoints come less often, and outputs in larger batches, to
catch up sooner."""


@dataclass(slots=True)
class _Cut:
    """Everything that a checkpoint writes, as it stood between two folds."""

    offset: int
    changed: list[ChangedRows]
    pages: list[bytes]
    ledger: LedgerCut
    clock: dict[str, int]
    shadows: dict[PolicyName, Counted]
    held_back: dict[PolicyName, int]
    outputs: set[asyncio.Future[None]]


class Checkpointer:
    """Takes the checkpoints of all active partitions, one at a time.

    Args:
        app: the worker's app.
        lag_records: tells how many records of a partition wait behind the applied ones.
    """

    def __init__(self, app: App, lag_records: Callable[[TP], int]) -> None:
        self._app = app
        self._lag_records = lag_records
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Take checkpoints as they fall due, for ever."""
        settings = self._app.settings
        while True:
            await asyncio.sleep(min(0.05, settings.checkpoint_interval_s / 4))
            for holding in self._app.holdings.active():
                if self._due(holding):
                    await self.take(holding)

    def _due(self, holding: Holding) -> bool:
        settings = self._app.settings
        behind = self._lag_records(self._app.input_tp(holding.number)) > FAR_BEHIND
        interval = (
            settings.checkpoint_interval_behind_s if behind else settings.checkpoint_interval_s
        )
        if time.monotonic() - holding.checkpoint_at < interval:
            return False
        return holding.applied > holding.durable or self._switches(holding)

    def _switches(self, holding: Holding) -> bool:
        return holding.replayed() and self._app.versions.newer_than(holding)

    def _following(self, holding: Holding, *, newer: bool) -> Version:
        """Return what is to be in force behind a checkpoint that is cut now."""
        partition = holding.partition
        version = self._app.versions.newest(partition.watermark) if newer else partition.version
        if not holding.replayed():
            return version
        return replace(version, stops=stops(partition, holding.accounts, version.policies))

    async def take(self, holding: Holding) -> None:
        """Take one checkpoint; any failure ends the process."""
        try:
            async with self._one_at_a_time:
                await self._take(holding)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end_process(f"the checkpoint of partition {holding.number} failed", error)

    async def _take(self, holding: Holding) -> None:
        began = time.monotonic()
        holding.checkpoint_at = began
        async with holding.lock:
            if not holding.active:
                return
            cut = self._cut(holding)
            newer = self._switches(holding)
            version = self._following(holding, newer=newer)
            switching = newer or version.stops != holding.partition.version.stops
            if switching:
                # What is new takes effect behind this checkpoint: nothing may be applied, and so
                # published, by it before the record that says so is durable.
                async with self._app.updates.hurried():
                    await self._write(holding, cut, version, switching=True)
                holding.partition.activate(version)
                self._app.metrics.version_activated(holding.number, version)
            self._follow_shadows(holding)
        if not switching:
            await self._write(holding, cut, version)
        await self._commit(holding, cut)
        # Now that rows hold them: what is evaluated again was not durable, and was not counted.
        self._app.metrics.shadows_counted(cut.shadows)
        self._app.metrics.raises_held_back(cut.held_back)
        rows = sum(len(changed.key_length) for changed in cut.changed)
        self._app.metrics.checkpoint_done(time.monotonic() - began, rows)

    def _follow_shadows(self, holding: Holding) -> None:
        """Take up the newest shadows; no record names them, since no row depends on them."""
        shadows = self._app.versions.shadows(holding.partition.watermark)
        if holding.partition.follow_shadows(shadows):
            self._app.metrics.shadows_followed(shadows)

    def _cut(self, holding: Holding) -> _Cut:
        return _Cut(
            offset=holding.stands_at(),
            changed=holding.partition.take_changed_rows(),
            pages=holding.partition.take_pages(),
            ledger=_cut_ledger(holding),
            clock=holding.partition.clock_state(),
            shadows=holding.partition.take_shadow_counts(),
            held_back=holding.partition.take_held_back(),
            outputs=self._app.outbox.owed(holding.number),
        )

    async def _write(
        self, holding: Holding, cut: _Cut, version: Version, *, switching: bool = False
    ) -> None:
        loop = asyncio.get_running_loop()
        compression = self._app.settings.compression
        encodings = [
            loop.run_in_executor(None, encode_rows, *changed, compression)
            for changed in cut.changed
        ]
        if cut.outputs:
            await asyncio.gather(*cut.outputs)
        logger.debug("checkpoint of partition %d begins at %d", holding.number, cut.offset)
        pages = encode_messages([(None, page) for page in cut.pages], compression=compression)
        await self._send(holding, self._app.payment_ids_topic, pages)
        await self._write_ledger(holding, cut.ledger)
        rows = [batch for encoding in encodings for batch in await encoding]
        await self._send(holding, self._app.rows_topic, rows)
        before = 0 if holding.checkpoint is None else holding.checkpoint.switches
        record = CheckpointRecord(
            cut.offset, cut.clock, version.scorecard.version, version.policies.moment,
            before + switching, tuple(sorted(version.stops)),
        )  # fmt: skip
        raw = msgspec.json.encode(record)
        marks = [(CHECKPOINT_KEY, raw)]
        if switching:
            # In one batch, so that one is there exactly if the other is.
            marks.insert(0, (switch_key(record.switches), raw))
        mark = encode_messages(marks, compression=compression)
        await self._send(holding, self._app.rows_topic, mark)
        holding.checkpoint = record
        logger.debug("checkpoint of partition %d is durable at %d", holding.number, cut.offset)

    async def _write_ledger(self, holding: Holding, cut: LedgerCut) -> None:
        """Write the entries and then, alone, the mark that makes them count."""
        compression, topic = self._app.settings.compression, self._app.ledger_topic
        for records in (cut.entries, [] if cut.mark is None else [cut.mark]):
            batches = encode_messages(records, compression=compression)
            if await self._send(holding, topic, batches):
                tp: TP = self._app.input_tp(holding.number)
                ends = await self._app.consumer.highwaters(tp)
                holding.accounts.ledger.repeat(ends[tp] - 1)

    async def _send(self, holding: Holding, topic: str, batches: list[EncodedBatch]) -> bool:
        """Write batches to a changelog; tells whether somebody else had written there before.

        Only its owner writes to a partition of a changelog, so offsets go on without a gap.
        """
        interrupted = False
        producer = self._app.batch_producer
        futures = [
            (batch, await producer.send_batch(batch, topic, holding.number, bulk=True))
            for batch in batches
        ]
        for batch, future in futures:
            written = await future
            interrupted |= written.offset > holding.positions.get(topic, NOTHING) + 1
            holding.reached(topic, written.offset + batch.record_count() - 1)
        # Of payment ids old pages go by age, down to none: a gap there says nothing.
        if interrupted and topic != self._app.payment_ids_topic:
            logger.warning("%s-%d: somebody else has written there", topic, holding.number)
            holding.unread = True
        return interrupted

    async def _commit(self, holding: Holding, cut: _Cut) -> None:
        if cut.offset == NOTHING:
            return
        tp: TP = self._app.input_tp(holding.number)
        began = time.monotonic()
        if await self._app.fold_consumer.commit_checkpoint({tp: cut.offset + 1}):
            holding.durable = max(holding.durable, cut.offset)
            self._app.metrics.committed(holding.number, cut.offset + 1, time.monotonic() - began)
        else:
            logger.warning(
                "the commit of partition %d came too late: it was reassigned", holding.number
            )

    async def before_revocation(self, numbers: set[int], timeout_s: float) -> None:
        """Take a last checkpoint of partitions that are about to be lost.

        Afterwards they are no longer active. One whose last checkpoint does not finish in time
        is forgotten: what memory holds of it is ahead of its changelog. So is one that has not
        read all of it.

        Args:
            numbers: the partitions.
            timeout_s: time for all of them, in seconds.
        """
        deadline = time.monotonic() + timeout_s
        for holding in self._app.holdings.active():
            if holding.number not in numbers:
                continue
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    if holding.applied > holding.durable:
                        async with self._app.updates.hurried():
                            await self.take(holding)
            except TimeoutError:
                logger.warning("no time for a last checkpoint of partition %d", holding.number)
                self._app.holdings.drop(holding.number)
            holding.active = False
            if holding.unread:
                self._app.holdings.drop(holding.number)


def _cut_ledger(holding: Holding) -> LedgerCut:
    now = time.monotonic()
    mark = now - holding.marked_at > REMARK_AFTER_S
    bury = now - holding.buried_at > BURY_EVERY_S
    cut = holding.accounts.ledger.cut(holding.applied, mark=mark, bury=bury)
    if cut.mark is not None:
        holding.marked_at = now
    if bury:
        holding.buried_at = now
    return cut
