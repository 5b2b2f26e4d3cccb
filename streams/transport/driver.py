"""The Faust transport driver that carries folds instead of single records.

It stands on Faust 0.15's own extension points (`Transport`, `Consumer`, `Producer`,
`_new_consumer_thread`, `_create_worker_consumer`, `_to_message`); the names it leans on are
checked by `tests/streams/transport/test_private_names.py`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import aiokafka
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as faust_aiokafka
from faust.types import TP, ConsumerMessage
from mode.services import WaitResults

from streams.transport.begun import Begun
from streams.transport.fetching import FoldDecoder, install, take_folds
from streams.transport.fold import Fold

if TYPE_CHECKING:
    from mode.threads import ServiceThread

    from streams.wire.encode import EncodedBatch

install()


class Host(Protocol):
    """What the app that uses this transport has beside Faust's own.

    Attributes:
        fetch_max_wait_ms: how long the broker may hold a fetch open that has nothing to return.
        isolation_level: `read_committed` or `read_uncommitted`.
        idempotent_producer: whether to write idempotently.
        decoders: for a topic, what makes `Fold.decoded` of a fold.
        max_batch_bytes: the most bytes that one record batch may open to.
    """

    fetch_max_wait_ms: int
    isolation_level: str
    idempotent_producer: bool
    decoders: Mapping[str, Callable[[Fold], Any]]
    max_batch_bytes: int

    async def before_revocation(self, revoked: set[TP]) -> None:
        """Do what must be done while the partitions are still ours."""

    def reading_from(self, tp: TP, offset: int) -> None:
        """Note the offset at which the next fold of a partition will begin."""

    async def read_again(self, tps: Iterable[TP]) -> None:
        """Seek partitions to where the next fold of each is to begin."""

    async def room_for_folds(self) -> None:
        """Wait until it is time to fetch."""

    def fetched(self, folds: Mapping[Any, Sequence[Fold]]) -> None:
        """Note what has been fetched, by partition."""

    def wrote(self, topic: str, size: int) -> None:
        """Note that so many bytes were handed over to be written to a topic."""


class LoopWorker:
    """Stands in for the thread of a service: runs it as a task of the service's own loop."""

    def __init__(self, service: ServiceThread) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to serve."""
        self._task = self._service.thread_loop.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._service._serve()
        except Exception:
            # The service has said what it was, and has told the app.
            self._service.set_shutdown()

    def stop(self) -> None:
        """Do nothing: the service has shut down."""


class ConsumerThread(faust_aiokafka.AIOKafkaConsumerThread):
    """Faust's consumer thread, whose aiokafka consumer returns folds, without a thread.

    It runs on the main loop. Small folds cost less than carrying them from thread to thread, and
    two threads at work would wait for the interpreter all the time; large ones are opened in
    a thread that hardly ever holds it.
    """

    Worker = LoopWorker  # type: ignore[assignment]  # what Faust does with it, both can

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        host = cast(Host, self.app)
        # Set after construction: Faust offers no setting for any of the three.
        # One fetch is in flight a broker; while it waits on idle partitions the busy ones
        # stall, so the wait must be short (Faust fixes it at 1500 ms).
        consumer._fetch_max_wait_ms = host.fetch_max_wait_ms
        consumer._isolation_level = host.isolation_level
        consumer._key_deserializer = FoldDecoder(host.decoders, host.max_batch_bytes, aside=True)
        return consumer

    async def _gather_remaining_tasks(self) -> None:
        """Leave the tasks of the loop alone: it goes on."""

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109
        """Fetch, without Faust's queue of calls: that makes tasks on its way."""
        consumer = self._ensure_consumer()
        if not self.consumer.flow_active:
            return {}
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        with consumer._fetcher._subscriptions.fetch_context():
            return await take_folds(consumer, active_partitions, timeout)


class Consumer(faust_aiokafka.Consumer):
    """Faust consumer of folds; offsets are committed by checkpoints only."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Fold) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.last_offset,
            record.fetched_at,
            0,
            [],
            None,
            record,  # type: ignore[arg-type]  # Faust types the value as bytes
            None,
            0,
            len(record),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Keep fetching: a small queue gives back-pressure by itself.

        Faust would pause the partition, and with all of them paused sleep a whole second.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing: nothing was paused."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no gaps: a fold accounts for every offset up to its last one."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit nothing: Faust calls this on a timer, but only a checkpoint may commit."""
        return False

    async def commit_checkpoint(self, offsets: Mapping[TP, int]) -> bool:
        """Commit the offsets of a finished checkpoint.

        Args:
            offsets: for each partition the offset to read next.

        Returns:
            False when the group has moved on and the commit was refused.
        """
        return bool(await self._thread.commit(offsets))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek the input to the committed offsets, and tell the app where reading goes on.

        By itself aiokafka leaves a partition without a committed offset where it stands, behind
        folds that Faust has fetched and dropped while the partition was being recovered.
        """
        committed = await super().seek_to_committed()
        inputs = {
            TP(*tp): offset or 0
            for tp, offset in committed.items()
            if tp.topic in cast(Host, self.app).decoders
        }
        await self.read_from(inputs)
        return committed

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        """Seek partitions of the input, and tell the app where reading goes on.

        Args:
            offsets: for each partition the offset to read next; where the log begins later,
                reading begins with the log.
        """
        begins = await self.earliest_offsets(*offsets)
        await self.seek_wait({tp: max(offset, begins[tp] or 0) for tp, offset in offsets.items()})

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek partitions, of changelogs too, and tell the app where reading goes on."""
        # Said before it is done: a fold that the app refuses until then is fetched again.
        for tp, position in partitions.items():
            cast(Host, self.app).reading_from(tp, position)
        await super().seek_wait(partitions)

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109
        """Wait until one of them is done, or the service ends; the first begins at once.

        Faust hands on every message like this, against the end of the flow. Nearly always there
        is room; the four tasks by which it waits would cost more than applying a small fold.
        """
        first, *others = coros
        if not inspect.iscoroutine(first):
            return await super().wait_first(*coros, timeout=timeout)
        try:
            begun = Begun(first)
        except BaseException:
            _close(others)
            raise
        if not begun.done:
            return await super().wait_first(begun, *others, timeout=timeout)
        _close(others)
        return WaitResults([first], [begun.result], stopped=False)

    async def sleep(self, n: Any) -> None:
        """Sleep; for no time, as between two fetches, without the tasks of a longer sleep."""
        await (super().sleep(n) if n else asyncio.sleep(0))

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109  (Faust's own parameter)
    ) -> Any:
        """Fetch; what comes while the flow is suspended, Faust drops: read it again.

        A fetch may outlast a rebalance, and what it brings may be from behind the seeks to where
        the changelogs are to be read from.
        """
        host = cast(Host, self.app)
        await host.room_for_folds()
        fetched = await super()._getmany(active_partitions, timeout)
        host.fetched(fetched)
        if fetched and not self.flow_active:
            await host.read_again(fetched)
        return fetched

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Skip Faust's own stall detector: it judges by acks, which folds do not use."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish a checkpoint while the partitions are still ours, then let Faust go on."""
        self.stop_flow()
        await cast(Host, self.app).before_revocation(revoked)
        await super().on_partitions_revoked(revoked)


def _close(waits: Iterable[Any]) -> None:
    """Close the coroutines among what nobody is going to wait for."""
    for each in waits:
        if inspect.iscoroutine(each):
            each.close()


class Producer(faust_aiokafka.Producer):
    """Faust producer that also sends ready-made record batches."""

    _bulk: aiokafka.AIOKafkaProducer | None = None

    def _settings_extra(self) -> Mapping[str, Any]:
        idempotent = cast(Host, self.app).idempotent_producer
        return {"acks": "all", "enable_idempotence": idempotent}

    async def on_start(self) -> None:
        """Start two producers: limit updates never queue behind a checkpoint's rows."""
        await super().on_start()
        self._bulk = self._new_producer()
        await self._bulk.start()

    async def on_stop(self) -> None:
        """Stop both producers."""
        if self._bulk is not None:
            await self._bulk.stop()
        await super().on_stop()

    async def flush(self) -> None:
        """Wait until everything handed over so far has been sent."""
        await super().flush()
        if self._bulk is not None:
            await self._bulk.flush()

    async def send_batch(
        self, batch: EncodedBatch, topic: str, partition: int, *, bulk: bool = False
    ) -> asyncio.Future[Any]:
        """Queue a record batch; the future is done when the broker has it on all replicas.

        Args:
            batch: an encoded batch; it must not be sent twice.
            topic: Kafka topic.
            partition: Kafka partition.
            bulk: use the second connection, for large writes that are in no hurry.

        Raises:
            KafkaError: the partition is unknown or the producer has failed.
        RuntimeError: it has not been started.
        """
        producer = self._bulk if bulk else self._producer
        if producer is None:
            raise RuntimeError("the producer has not been started")
        future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
        cast(Host, self.app).wrote(topic, batch.size())
        return future


class Transport(faust_aiokafka.Transport):
    """Kafka transport of folds, chosen by the URL scheme `batches://`.

    The app that it serves is a `Host`.
    """

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer
    driver_version = f"duoshou over aiokafka={aiokafka.__version__}"
