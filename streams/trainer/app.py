"""The trainer's Faust app: one agent on the one partition of `examples`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faust.types import TP

from scorers.models import load_model
from streams.brokers.clients import client_options
from streams.ending import end_process
from streams.trainer.trainer import Trainer
from streams.transport.app import FoldApp, faust_options
from streams.transport.following import TopicFollower
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from streams.observability.training import TrainingMetrics
    from streams.settings import Settings

LOOK_EVERY_S = 0.2


class TrainerApp(FoldApp):
    """The Faust app of a trainer."""

    metrics: TrainingMetrics
    trainer: Trainer
    models_reader: TopicFollower

    @property
    def examples_tp(self) -> TP:
        """The one partition of `examples`, as Faust names it."""
        return TP(self.settings.topics.examples.name, 0)

    async def before_revocation(self, revoked: set[TP]) -> None:
        """Stop learning: whoever comes next goes on from the newest model."""
        if self.examples_tp in revoked:
            self.inputs.forget(self.examples_tp)
            await self.trainer.leave()

    async def on_start(self) -> None:
        """Read all models before anything is learnt."""
        await self.models_reader.read_to_end()
        await super().on_start()

    async def publish(self, topic: str, messages: list[Any]) -> None:
        """Write records to the one partition of a topic and wait until the broker has them."""
        for batch in encode_messages(messages, compression=self.settings.compression):
            await (await self.batch_producer.send_batch(batch, topic, 0))


def make_trainer_app(settings: Settings, metrics: TrainingMetrics) -> TrainerApp:
    """Return the app of a trainer, ready to be started by Faust."""
    topics = settings.topics
    app = TrainerApp(topics.trainer_id, origin="streams.trainer", **faust_options(settings))
    app.configure(settings)
    app.metrics = metrics
    app.decoders = {topics.examples.name: lambda _: None}
    app.trainer = Trainer(app)
    app.models_reader = TopicFollower(
        {topics.models.name: lambda raw, _: app.trainer.model_published(load_model(raw))},
        client_options(settings),
        refused=lambda _: metrics.model_refused(),
    )
    app.fold_agent("learn", topics.examples.name, app.trainer.process)
    app.task(on_leader=False)(_background(app))
    return app


def _background(app: TrainerApp) -> Any:
    async def background() -> None:
        await asyncio.gather(app.models_reader.run(), _keep_going(app))

    return background


async def _keep_going(app: TrainerApp) -> None:
    """Take the training up when the partition is ours, publish in time, report, for ever."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            ours = app.examples_tp in app.consumer.assignment()
            app.metrics.owns_examples(ours)
            if ours:
                await app.trainer.take_up()
                await app.trainer.publish_if_due()
            app.metrics.lag(app.examples_tp.topic, 0, app.lag_records(app.examples_tp))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end_process("the trainer failed", error)
