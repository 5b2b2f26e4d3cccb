"""The Faust app: its tables, its agents, and what stands around them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from faust.types import TP

from streams.brokers.clients import client_options
from streams.ending import end_process
from streams.state.holding import Holding, Holdings, place_of
from streams.transport.app import FoldApp, FoldSchema, faust_options
from streams.transport.following import TopicFollower
from streams.transport.inputs import NOTHING
from streams.worker.checkpoint import Checkpointer
from streams.worker.decoding import fold_decoder
from streams.worker.delay import log_delay_ms
from streams.worker.effects import partition_maker
from streams.worker.memory import freeze_survivors, give_back_memory
from streams.worker.outbox import Outbox
from streams.worker.payments import PaymentProcessor
from streams.worker.publishing import UpdatePublisher, gathering_s
from streams.worker.relay import EventRelay
from streams.worker.stalled import reread_stalled
from streams.worker.stored import report_stored
from streams.worker.ticks import publish_ticks
from streams.worker.versions import Versions

if TYPE_CHECKING:
    from streams.contract.topics import Topic, Topics
    from streams.observability.metrics import Metrics, Refusable, Written
    from streams.settings import Settings

logger = logging.getLogger(__name__)


class App(FoldApp):
    """A worker's Faust app, with what the batch transport and the stores ask of it."""

    metrics: Metrics
    holdings: Holdings
    versions: Versions
    outbox: Outbox
    updates: UpdatePublisher
    checkpointer: Checkpointer
    version_reader: TopicFollower
    reassigning: bool = False
    """From the loss of the old partitions until the new ones are known."""

    relay: EventRelay
    """Puts the events of other topics into the log of their merchant."""

    payments_topic: str
    examples_topic: str
    limit_updates_topics: dict[str, Topic]
    lenders_updated: dict[str, str]
    """The lender whose limit updates a topic holds."""
    decisions_topics: dict[str, str]
    fund_answers_topics: dict[str, str]
    claim_answers_topics: dict[str, str]
    """By lender, as the three before."""
    dead_letters_topic: str
    rows_topic: str
    ledger_topic: str
    payment_ids_topic: str
    written_kinds: dict[str, Written]
    """Of each topic that it writes to."""

    def input_tp(self, partition: int) -> TP:
        """Return a partition of `payments` as Faust names it."""
        return TP(self.payments_topic, partition)

    def wrote(self, topic: str, size: int) -> None:
        """Count what is written, by what kind of topic it goes to."""
        kind = self.written_kinds.get(topic)
        if kind is not None:
            self.metrics.written(kind, size)

    def acknowledged(self, topic: str, n: int) -> None:
        """Count the limit updates of each lender that the broker has."""
        lender = self.lenders_updated.get(topic)
        if lender is not None:
            self.metrics.lender_updated(lender, n)

    def revocation_timeout_s(self) -> float:
        """Return how long a last checkpoint may take before the group goes on without us."""
        return self.settings.session_timeout_s / 2

    async def before_revocation(self, revoked: set[TP]) -> None:
        """Take the last checkpoints of partitions that are about to be lost."""
        self.reassigning = True
        numbers = {tp.partition for tp in revoked if tp.topic == self.payments_topic}
        await self.checkpointer.before_revocation(numbers, self.revocation_timeout_s())
        for tp in revoked:
            self.inputs.forget(tp)

    async def on_start(self) -> None:
        """Read all models and policies before any partition is taken up."""
        await self.version_reader.read_to_end()
        await super().on_start()

    async def on_stop(self) -> None:
        """Take last checkpoints before the consumer stops."""
        numbers = {holding.number for holding in self.holdings.active()}
        await self.checkpointer.before_revocation(numbers, self.revocation_timeout_s())
        await super().on_stop()


def make_app(settings: Settings, topics: Topics, metrics: Metrics) -> App:
    """Return the app of a worker, ready to be started by Faust.

    Args:
        settings: validated settings.
        topics: names and partitions of all topics.
        metrics: where to report to.
    """
    app = App(
        topics.application_id,
        origin="streams.worker",
        table_standby_replicas=settings.standby_replicas,
        **faust_options(settings),
    )
    app.configure(settings)
    app.metrics = metrics
    app.payments_topic = topics.payments.name
    app.limit_updates_topics = {lender: topics.limit_updates(lender) for lender in topics.lenders}
    app.lenders_updated = {topic.name: lender for lender, topic in app.limit_updates_topics.items()}
    app.decisions_topics = {lender: topics.decisions(lender).name for lender in topics.lenders}
    app.fund_answers_topics = {
        lender: topics.fund_answers(lender).name for lender in topics.lenders
    }
    app.claim_answers_topics = {
        lender: topics.claim_answers(lender).name for lender in topics.lenders
    }
    app.dead_letters_topic = topics.dead_letters.name
    app.examples_topic = topics.examples.name
    app.rows_topic = topics.rows_changelog.name
    app.ledger_topic = topics.ledger_changelog.name
    app.payment_ids_topic = topics.payment_ids.name
    app.written_kinds = written_kinds(topics)
    app.relay = EventRelay(app, topics)
    app.decoders = {app.payments_topic: fold_decoder(settings.partitions)}
    app.holdings = Holdings(partition_maker(settings))
    app.versions = Versions(settings.lenders)
    refusable: dict[str, Refusable] = {
        topics.models.name: "models",
        topics.policies.name: "policies",
    }
    app.version_reader = TopicFollower(
        app.versions.takers(topics),
        client_options(settings),
        refused=lambda topic: metrics.version_refused(refusable[topic]),
    )
    app.outbox = Outbox(lambda: app.batch_producer, settings.compression, app.acknowledged)
    app.updates = UpdatePublisher(app.outbox, app.limit_updates_topics, app.payments_topic, metrics)
    app.checkpointer = Checkpointer(app, app.lag_records)
    _declare(app)
    return app


def written_kinds(topics: Topics) -> dict[str, Written]:
    """Return the kind of each topic that a worker writes to, by its full name."""
    kinds: dict[str, Written] = {
        topics.payments.name: "payments",
        topics.dead_letters.name: "dead_letters",
        topics.examples.name: "examples",
        topics.rows_changelog.name: "rows",
        topics.ledger_changelog.name: "ledger",
        topics.payment_ids.name: "payment_ids",
    }
    for lender in topics.lenders:
        kinds[topics.limit_updates(lender).name] = "limit_updates"
        kinds[topics.decisions(lender).name] = "decisions"
        kinds[topics.fund_answers(lender).name] = "fund_answers"
        kinds[topics.claim_answers(lender).name] = "claim_answers"
    return kinds


def _declare(app: App) -> None:
    """Declare tables, agent and background tasks on the app."""
    schema = FoldSchema()
    tables = {
        "rows": app.rows_topic,
        "ledger": app.ledger_topic,
        "payment-ids": app.payment_ids_topic,
    }
    for table, topic in tables.items():
        app.changelog_table(
            table, f"{table}://local", app.topic(topic, schema=schema, internal=True, acks=False)
        )
    app.fold_agent("score", app.payments_topic, PaymentProcessor(app).process)
    _observe_recovery(app)

    app.task(on_leader=False)(_background(app))


def _background(app: App) -> Any:
    async def background() -> None:
        tasks = [
            app.version_reader.run(),
            app.checkpointer.run(),
            app.relay.run(),
            app.updates.run(),
            report_partitions(app),
            reread_stalled(app),
            report_stored(app),
            freeze_survivors(),
        ]
        if app.settings.ticks:
            tasks.append(publish_ticks(app))
        await asyncio.gather(*tasks)

    return background


def _observe_recovery(app: App) -> None:
    """Mark partitions active once Faust has recovered them."""
    started = time.monotonic()

    @app.on_partitions_assigned.connect
    async def assigned(*arguments: Any, **options: Any) -> None:
        nonlocal started
        app.reassigning = False
        started = time.monotonic()
        app.metrics.recovery_started()

    @app.on_rebalance_complete.connect
    async def recovered(*arguments: Any, **options: Any) -> None:
        try:
            # A former owner may have taken up, and named, what was published since we read it.
            await app.version_reader.catch_up()
            if app.reassigning:
                # Faust says so even when the next rebalance has overtaken the recovery: what it has
                # assigned by now need not be what was recovered.
                return
            for tp in app.assignor.assigned_actives():
                if tp.topic == app.payments_topic:
                    activate(app, app.holdings.hold(tp.partition))
            await note_log_ends(app)
        except Exception as error:
            end_process("a recovered partition could not be taken up", error)
        app.metrics.recovery_done(time.monotonic() - started)
        # Behind the streams' start: at this moment Faust still holds the last folds.
        asyncio.get_running_loop().call_later(1.0, give_back_memory)


def activate(app: App, holding: Holding) -> None:
    """Make a recovered partition ours, under the models its last checkpoint names."""
    record = holding.checkpoint
    if record is None:
        version = app.versions.newest(holding.partition.watermark)
    else:
        version = app.versions.named_by(record)
        holding.partition.restore_clock(record.clock)
    holding.partition.activate(version)
    holding.accounts.begin(place_of(app.settings, holding.number))
    app.metrics.version_activated(holding.number, version)
    holding.applied = NOTHING
    holding.newest_timestamp = holding.caught_up_at = 0
    holding.durable = NOTHING
    holding.log_end = None
    holding.active = True


async def note_log_ends(app: App) -> None:
    """Note of each active partition where its log ends now: former owners read no further."""
    holdings = app.holdings.active()
    tps = {app.input_tp(holding.number): holding for holding in holdings}
    if tps:
        for tp, end in (await app.consumer.highwaters(*tps)).items():
            tps[tp].log_end = end


async def report_partitions(app: App) -> None:
    """Report lag and size of each active partition, and let a lag gather outputs, for ever."""
    while True:
        await asyncio.sleep(1.0)
        most = 0
        for holding in app.holdings.active():
            partition = holding.partition
            app.metrics.partition_size(holding.number, len(partition), partition.payment_ids)
            app.metrics.loans_owing(holding.number, holding.accounts.loans.owing)
            records = app.lag_records(app.input_tp(holding.number))
            most = max(most, records)
            delay = log_delay_ms(app, holding.number, round(time.time() * 1000)) or 0
            app.metrics.lag(app.payments_topic, holding.number, records, delay / 1000.0)
        app.updates.gather(gathering_s(most))
        for tp, (records, waited) in app.relay.lag().items():
            app.metrics.lag(tp.topic, tp.partition, records, waited)
