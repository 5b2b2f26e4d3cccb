"""Learns examples in their order, and publishes a model with all that it takes to go on from it.

A model names the offset up to which it has learnt. Whoever takes over begins there: no example is
left out and none counts twice. What is published by others (an operator, or a trainer that took
over for a while) is where learning goes on from, too: the newest model on the topic decides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import msgspec

from scorers.guards import check_move
from scorers.loans import Example
from scorers.models import Learning, Model, Models, Origin, dump_model, record_key
from scorers.training import Training
from streams.dead_letters import batch_letters, field, letter_of
from streams.transport.inputs import NOTHING

if TYPE_CHECKING:
    from streams.trainer.app import TrainerApp
    from streams.transport.fold import Fold

logger = logging.getLogger(__name__)

REPLAYED_EXAMPLES = 20_000
"""Examples before the model's own that are read again, for what no model can carry: the tree."""

_decode = msgspec.json.Decoder(Example).decode


class Trainer:
    """The training, where it stands in `examples`, and what of it has been published.

    Args:
        app: the trainer's app.
    """

    def __init__(self, app: TrainerApp) -> None:
        self._app = app
        self._models = Models()
        self._lock = asyncio.Lock()
        self._training: Training | None = None
        self._superseded = False
        self._live = self._models.newest
        self._offset = 0
        self._sources: dict[int, int] = {}
        self._publish_from = 0
        self._learnt_since = 0
        self._published_at = time.monotonic()
        self._commit_to = NOTHING

    def model_published(self, model: Model) -> None:
        """Take in a model from the topic.

        Raises:
            ValueError: it does not count.
        """
        before = self._models.newest
        self._models.add(model)
        newest = self._models.newest
        if newest is not before and newest != self._live:
            logger.info("model %d was published by someone else", newest.version)
            self._superseded = True

    async def leave(self) -> None:
        """Forget the training: the partition is no longer ours."""
        async with self._lock:
            self._training = None

    async def take_up(self) -> None:
        """Go on from the newest model, unless that is what we are doing."""
        async with self._lock:
            if self._training is not None and not self._superseded:
                return
            await self._app.models_reader.catch_up()
            self._superseded = False
            self._live = self._models.newest
            self._training = self._restored(self._live)
            self._learnt_since = 0
            self._published_at = time.monotonic()
            logger.info("going on from model %d at example %d", self._live.version, self._offset)
            begin = max(0, self._offset - REPLAYED_EXAMPLES)
            await self._app.read_from({self._app.examples_tp: begin})
            self._app.metrics.taken_up(self._live.version, self._training.report())

    def _restored(self, model: Model) -> Training:
        """Return the training that goes on from a model, and set where in `examples` it does."""
        offset, sources = self._models.position
        self._offset, self._sources, self._publish_from = offset, dict(sources), 0
        if model.learning is None:
            # Someone wrote these weights: they are the new prior, from here on.
            return Training(model.scorecard)
        state = model.learning.training
        try:
            return Training.restored(state, state.prior)
        except ValueError as error:
            logger.warning("learning anew from the first example: %s", error)
            # Until it has come as far again, what is live has learnt from more.
            self._offset, self._sources, self._publish_from = 0, {}, offset
            return Training()

    async def process(self, fold: Fold, _generation: int) -> None:
        """Learn the examples of a fold, in their order."""
        async with self._lock:
            training = self._training
            if training is None or self._superseded:
                return
            if not await self._app.inputs.next_in_line(fold):
                return
            letters = batch_letters(fold)
            for i in range(len(fold)):
                offset = int(fold.records.offset[i])
                value = field(fold, fold.records.value_at[i], fold.records.value_length[i])
                try:
                    example = _decode(value or b"")
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    if offset >= self._offset:
                        sentence = f"not an example: {error}"
                        letters.append(letter_of(fold, i, "wrong_type", sentence))
                    continue
                if offset < self._offset:
                    training.replayed(example.features, example.defaulted)
                else:
                    await self._learn(training, example, offset)
            await self._app.publish(
                self._app.settings.topics.dead_letters.name, [each.message for each in letters]
            )
            self._offset = max(self._offset, fold.last_offset + 1)
            self._app.inputs.passed(fold)
            self._app.metrics.fold_learnt(len(letters))

    async def _learn(self, training: Training, example: Example, offset: int) -> None:
        if example.source_offset <= self._sources.get(example.source_partition, NOTHING):
            self._app.metrics.repeated()
            return
        training.take(example.features, example.defaulted)
        self._sources[example.source_partition] = example.source_offset
        self._offset = offset + 1
        self._learnt_since += 1
        self._app.metrics.learnt()
        if self._learnt_since >= self._app.settings.snapshot_examples:
            await self._publish(training)

    async def publish_if_due(self) -> None:
        """Publish what has been learnt, when it has not been for a while."""
        async with self._lock:
            waited = time.monotonic() - self._published_at
            if (
                self._training is not None
                and self._learnt_since
                and waited >= self._app.settings.snapshot_interval_s
            ):
                await self._publish(self._training)
        await self._commit()

    async def _publish(self, training: Training) -> None:
        """Publish the champion, unless it has moved too far; the last good one stays then."""
        if self._offset < self._publish_from:
            return
        self._learnt_since = 0
        self._published_at = time.monotonic()
        if self._superseded:
            return
        origin, note = Origin.LEARNT, ""
        promoted = training.auto_promotion()
        if promoted is not None:
            training.promote(promoted)
            origin, note = Origin.PROMOTED, f"the {promoted} was better by the margin"
        self._app.metrics.reported(training.report())
        try:
            scorecard = training.scorecard(self._live.version + 1)
            check_move(scorecard, self._live.scorecard)
        except ValueError as error:
            logger.error("a snapshot was refused, model %d stays: %s", self._live.version, error)
            self._app.metrics.snapshot_refused()
            return
        learning = Learning(self._offset, dict(self._sources), training.state())
        self._live = Model(scorecard, origin, note, learning)
        raw = dump_model(self._live)
        await self._app.publish(
            self._app.settings.topics.models.name, [(record_key(self._live.version, raw), raw)]
        )
        self._commit_to = self._offset
        self._app.metrics.snapshot_published(self._live.version)

    async def _commit(self) -> None:
        """Commit what the last model has learnt: for whoever looks at the group's lag."""
        if self._commit_to != NOTHING:
            offset, self._commit_to = self._commit_to, NOTHING
            await self._app.fold_consumer.commit_checkpoint({self._app.examples_tp: offset})
