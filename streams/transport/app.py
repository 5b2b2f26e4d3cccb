"""What every Faust app over the batch transport has in common."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import faust
from aiokafka.errors import KafkaError

from streams.brokers.clients import Hidden, ssl_context
from streams.ending import end_process
from streams.transport.driver import Consumer, Producer
from streams.transport.inputs import NOTHING, Inputs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from faust.types import TP

    from streams.settings import Security, Settings
    from streams.transport.fold import Fold

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 90.0
"""How long a write may take, the broker's restart included, before the process ends."""

LARGE_FOLD = 2_000
"""Offsets in a fold from which on its partition counts as behind."""

MOST_WAIT_S = 0.1
"""Most seconds for which the next fetch waits for the folds of the last one."""

FOLDS_AT_ONCE = 4
"""Small folds that are handed on in one turn of the loop: Faust's turn before each would let the
next fetch go first, half a millisecond in which they wait."""

FETCH_BYTES = 1024 * 1024
"""Most bytes of one partition in one fetch: some 10,000 compressed payments."""


class QuietMonitor(faust.Monitor):
    """Faust's own statistics without those of each message, which nobody reads."""

    def on_message_in(self, tp: TP, offset: int, message: Any) -> None:
        """Count nothing."""

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> None:
        """Count nothing."""

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Keep nothing."""


class FoldSchema(faust.Schema[Any, Any]):
    """Hands folds on as they are: the transport has decoded them."""

    def loads_key(self, app: Any, message: Any, **options: Any) -> Any:
        """Return the key; a fold has none."""
        return message.key

    def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
        """Return the fold."""
        return message.value


class FoldApp(faust.App):
    """A Faust app with what the batch transport asks of it; `configure` comes first."""

    settings: Settings
    inputs: Inputs
    fetch_max_wait_ms: int
    isolation_level: str
    idempotent_producer: bool
    max_batch_bytes: int
    decoders: dict[str, Any]

    def configure(self, settings: Settings) -> None:
        """Take over what the settings say of the transport."""
        self.settings = settings
        self.inputs = Inputs(self.read_from)
        self._queues: list[Any] = []
        self._taken = asyncio.Event()
        self._behind = False
        self.fetch_max_wait_ms = settings.fetch_max_wait_ms
        self.isolation_level = "read_committed" if settings.idempotence else "read_uncommitted"
        self.idempotent_producer = settings.idempotence
        self.max_batch_bytes = settings.max_batch_bytes_uncompressed

    def fold_agent(
        self, name: str, topic: str, process: Callable[[Fold, int], Awaitable[None]]
    ) -> None:
        """Declare an agent that hands on the folds of a topic, one after the other.

        A failure ends the process: an exception that left the agent would acknowledge the fold.

        Args:
            name: of the agent.
            topic: full name.
            process: takes a fold and the generation of the group under which it was fetched.
        """

        async def handle(stream: Any) -> None:
            await self.handle_folds(stream, topic, process)

        self.agent(self.topic(topic, schema=FoldSchema()), name=name, concurrency=1)(handle)

    async def handle_folds(
        self, stream: Any, topic: str, process: Callable[[Fold, int], Awaitable[None]]
    ) -> None:
        """Hand on the folds of a stream until it ends; see `fold_agent`."""
        queue = stream.channel.queue
        self._queues.append(queue)

        async def hand_on(event: Any) -> None:
            if queue.empty():
                self._taken.set()
            try:
                await process(event.value, event.message.generation_id)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                end_process(f"{topic}-{event.value.partition} could not be processed", error)

        try:
            async for event in stream.noack().events():
                await hand_on(event)
                for _ in range(FOLDS_AT_ONCE - 1):
                    if self._behind or queue.empty() or not self.flow_control.is_active():
                        break
                    event = queue.get_nowait()
                    # As Faust does: what comes from an earlier assignment is nobody's any more.
                    if event.message.generation_id == self.consumer_generation_id:
                        await hand_on(event)
        finally:
            self._queues.remove(queue)
            self._taken.set()

    @property
    def batch_producer(self) -> Producer:
        """The producer, as the batch transport makes it."""
        return cast(Producer, self.producer)

    @property
    def fold_consumer(self) -> Consumer:
        """The consumer, as the batch transport makes it."""
        return cast(Consumer, self.consumer)

    async def room_for_folds(self) -> None:
        """Wait until the last fold that was fetched is being dealt with.

        What is fetched sooner is older when its turn comes: it would hold less, and what comes
        after it would wait for one round more. Who is behind has nothing to win by that, and lets
        the fetching and decoding go on beside.
        """
        if self._behind or all(queue.empty() for queue in self._queues):
            return
        self._taken.clear()
        # Faust may have emptied the queues itself.
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_WAIT_S):
                await self._taken.wait()

    def waits(self, tp: TP) -> bool:
        """Tell whether a fold of a partition is queued for its agent, behind others perhaps."""
        return any(event.message.tp == tp for queue in self._queues for event in queue._queue)

    def fetched(self, folds: Mapping[Any, Sequence[Fold]]) -> None:
        """Note what has been fetched: large folds come to who is behind."""
        if folds:
            self._behind = any(
                fold.last_offset - fold.first_offset >= LARGE_FOLD - 1
                for each in folds.values()
                for fold in each
            )

    def reading_from(self, tp: TP, offset: int) -> None:
        """Note the offset at which the next fold of a partition will begin."""
        self.inputs.begin(tp, offset)

    async def read_again(self, tps: Iterable[TP]) -> None:
        """Seek partitions to where the next fold of each is to begin."""
        await self.inputs.read_again(tps)

    def changelog_table(self, name: str, store: str, topic: Any) -> None:
        """Declare a table whose changelog is read in folds, none left out.

        Args:
            name: of the table.
            store: URL of its store.
            topic: its changelog.
        """

        async def received(event: Any) -> None:
            try:
                await self._received(table, event)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Faust would log one warning and go on without the fold.
                end_process(f"the changelog of table {name} could not be read", error)

        table = self.Table(
            name,
            store=store,
            partitions=self.settings.partitions,
            changelog_topic=topic,
            # Two events: with a buffer of one, Faust keeps reading our own changelog behind
            # recovery.
            recovery_buffer_size=2,
            on_changelog_event=received,
        )

    async def _received(self, table: Any, event: Any) -> None:
        """Take a fold of a changelog back that Faust has just put into its buffer, if it is not
        the next one, and let recovery wait for that one.
        """
        fold, tp, recovery = event.value, event.message.tp, cast(Any, self.tables).recovery
        at, held = self.inputs.next_of(tp), table.persisted_offset(tp)
        if NOTHING != at <= held:
            # Faust seeks to the last record that it has read, and does not hand that on again.
            self.inputs.begin(tp, held + 1)
        if self.inputs.is_next(fold):
            self.inputs.passed(fold)
            return
        # At once: while the seek is waited for, Faust may apply what its buffers hold.
        recovery.buffers[table].remove(event)
        at = self.inputs.next_of(tp)
        offsets = recovery.active_offsets if tp in recovery.active_tps else recovery.standby_offsets
        offsets[tp] = held if at == NOTHING else at - 1
        try:
            await self.inputs.next_in_line(fold)
        except (KafkaError, TimeoutError) as error:
            # The next fold shows the gap again.
            logger.warning("%s-%d: not now: %s", *tp, error)

    def wrote(self, topic: str, size: int) -> None:
        """Take no note of what is written, unless the app says otherwise."""

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        """Seek partitions; the consumer exists only once Faust has started."""
        await self.fold_consumer.read_from(offsets)

    def lag_records(self, tp: TP) -> int:
        """Return how many records of an input partition wait behind the last one dealt with."""
        at = self.inputs.next_of(tp)
        # One that has not been sought need not be assigned: the consumer must not be asked.
        highwater = None if at == NOTHING else self.consumer.highwater(tp)
        return 0 if highwater is None else max(0, int(highwater) - at)


def faust_directory(settings: Settings) -> Path:
    """Return where Faust keeps files of its own; it makes the folder, but none above it."""
    return settings.data_directory / "faust"


def faust_options(settings: Settings) -> dict[str, Any]:
    """Return Faust's own settings, those that every app of ours has alike."""
    return {
        "broker": [f"batches://{server}" for server in settings.bootstrap_servers.split(",")],
        "broker_credentials": _credentials(settings.security),
        "autodiscover": False,
        "Monitor": QuietMonitor,
        "datadir": faust_directory(settings),
        "web_enabled": False,
        "topic_partitions": settings.partitions,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "stream_buffer_maxsize": max(4, settings.partitions),
        "stream_wait_empty": False,
        "stream_recovery_delay": 0.0,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": max(0.5, settings.session_timeout_s / 10),
        "broker_request_timeout": max(REQUEST_TIMEOUT_S, settings.session_timeout_s),
        "broker_max_poll_interval": 600.0,
        "producer_request_timeout": REQUEST_TIMEOUT_S,
        "producer_linger": 0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": FETCH_BYTES,
        "processing_guarantee": "at_least_once",
        "worker_redirect_stdouts": False,
    }


def _credentials(security: Security) -> Any:
    """Return Faust's broker credentials, or None without TLS and SASL."""
    context = ssl_context(security)
    if security.sasl_password is not None:
        return faust.SASLCredentials(
            username=security.sasl_username,
            password=Hidden(security.sasl_password.get_secret_value()),
            mechanism=security.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
