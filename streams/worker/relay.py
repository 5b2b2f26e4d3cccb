"""Puts events of other topics into the log of their merchant: its partition of `payments`.

There they have a place among the payments. So what was known of a merchant when a loan was drawn
follows from one log, and is the same whenever that log is read.

An envelope says when it was put there, and how long what stood in front of it had waited: what
decides by a delay has it from the log.

An event may be put there twice, after a crash or by two workers in the moment of a hand-over: it
has an id of its own, which counts once.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Protocol

import msgspec
from aiokafka import TopicPartition

from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.contract.messages import Relayed
from streams.dead_letters import DeadLetter, batch_letters, field, letter_of
from streams.decode.relayed import (
    decode_application,
    decode_claim_event,
    decode_fund_event,
    decode_loan_event,
    decode_merchant_event,
)
from streams.decode.routing import home_of
from streams.decode.strict import Refused
from streams.ending import end_process
from streams.transport.reading import fold_consumer
from streams.wire.records import headers
from streams.worker.delay import log_delay_ms, note_caught_up

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from aiokafka import AIOKafkaConsumer
    from numpy.typing import NDArray

    from streams.contract.topics import Topics
    from streams.transport.fold import Fold
    from streams.wire.encode import Message
    from streams.worker.app import App

FOLLOW_EVERY_S = 0.1
"""Seconds after which the relay looks again whose partitions it relays."""

PAUSE_S = 0.02
"""Seconds without a fetch behind one that has brought something: each lists all partitions, some
2 ms of Python, and what it brings is written in a batch a partition. With a steady stream,
decisions come sooner when less often some more are put into the log."""


class AboutAMerchant(Protocol):
    """An event that has its place in a merchant's log."""

    @property
    def merchant_id(self) -> str:
        """Whom it is about."""


if TYPE_CHECKING:
    Decode = Callable[[bytes | None, NDArray[np.int8]], AboutAMerchant]
    """From a record's value and the table of minor digits to its event, or raises `Refused`."""


def relayed_topics(topics: Topics) -> dict[str, Decode]:
    """Return the topics whose events are put into the log, and what decodes each."""
    return {
        topics.merchant_events.name: decode_merchant_event,
        topics.applications.name: decode_application,
        topics.loan_events.name: decode_loan_event,
        topics.fund_events.name: decode_fund_event,
        topics.claim_events.name: decode_claim_event,
    }


class EventRelay:
    """Relays the events of the other topics, for the partitions whose payments are ours.

    It reads with a consumer of its own, outside of Faust's group: one fetch lists every partition
    that a consumer reads, in Python, and all these idle partitions would slow down the payments.

    Args:
        app: the worker's app.
        topics: names of all topics; each that is relayed has as many partitions as `payments`.
    """

    def __init__(self, app: App, topics: Topics) -> None:
        self._app = app
        self._decoders = relayed_topics(topics)
        self._group = topics.relay_id
        self._next: dict[TopicPartition, int] = {}
        self._newest: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._assigning = asyncio.Lock()

    async def run(self) -> None:
        """Relay for ever; a failure ends the process."""
        try:
            async with fold_consumer(self._app.settings, {}, group=self._group) as consumer:
                self._consumer = consumer
                await asyncio.gather(self._read(consumer), self._commit_at_times(consumer))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end_process(f"{', '.join(self._decoders)} cannot be relayed", error)

    def lag(self) -> dict[TopicPartition, tuple[int, float]]:
        """Return how many records wait to be relayed, and for how long at least, in seconds."""
        found = {}
        for tp, at in self._next.items():
            end = None if self._consumer is None else self._consumer.highwater(tp)
            records = 0 if end is None else max(0, end - at)
            waited = time.time() - self._newest.get(tp, 0) / 1000.0
            found[tp] = (records, max(0.0, waited) if records and tp in self._newest else 0.0)
        return found

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            note_caught_up(self._app, _now())
            await self._follow(consumer)
            if not consumer.assignment():
                await asyncio.sleep(FOLLOW_EVERY_S)
                continue
            fetched = await consumer.getmany(timeout_ms=int(FOLLOW_EVERY_S * 1000))
            if not fetched:
                continue
            # Before aiokafka sends the next fetch, whose answer would be taken at the pause's end:
            # what comes during the pause would wait for the one behind it.
            read = consumer.assignment()
            consumer.pause(*read)
            for folds in fetched.values():
                for fold in folds:
                    await self._relay(fold)
            await asyncio.sleep(PAUSE_S)
            consumer.resume(*read)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        """Read the partitions whose payments are ours now."""
        numbers = [holding.number for holding in self._app.holdings.active()]
        wanted = {TopicPartition(topic, number) for topic in self._decoders for number in numbers}
        before: frozenset[TopicPartition] = consumer.assignment()
        if wanted == before:
            return
        # Whoever assigns anew begins at what is committed.
        async with self._assigning:
            await self._commit(consumer)
            # The consumer must not be asked about what it is no longer assigned.
            self._next = {}
            consumer.assign(list(wanted))
            self._next = {tp: await consumer.position(tp) for tp in wanted}
            self._committed = dict(self._next)
        for lost in before - wanted:
            self._app.metrics.input_lost(*lost)

    async def _relay(self, fold: Fold) -> None:
        """Relay a fold; that the broker has all of it is waited for before the next commit.

        Two workers may do so in the moment of a hand-over: what is relayed twice counts once.
        """
        homes, letters = self._sorted(fold)
        source = (fold.topic, fold.partition)
        messages = {(self._app.payments_topic, home): each for home, each in homes.items()}
        messages[self._app.dead_letters_topic, fold.partition] = [
            letter.message for letter in letters
        ]
        await self._app.outbox.publish_all(source, messages)
        for letter in letters:
            self._app.metrics.dead_lettered(letter.reason)
        tp = TopicPartition(fold.topic, fold.partition)
        self._next[tp] = fold.last_offset + 1
        if len(fold):
            self._newest[tp] = int(fold.records.timestamp[-1])
        self._app.metrics.progressed()

    def _sorted(self, fold: Fold) -> tuple[dict[int, list[Message]], list[DeadLetter]]:
        """Return the messages for each partition of `payments`, and what was refused."""
        records, partitions = fold.records, self._app.settings.partitions
        decode = self._decoders[fold.topic]
        homes: defaultdict[int, list[Message]] = defaultdict(list)
        letters, now = batch_letters(fold), _now()
        delay_of = cache(lambda home: log_delay_ms(self._app, home, now))
        for i in range(len(fold)):
            value = field(fold, records.value_at[i], records.value_length[i])
            try:
                event = decode(value, MINOR_DIGITS_TABLE)
            except Refused as refused:
                letters.append(letter_of(fold, i, refused.outcome.name.lower(), refused.sentence))
                continue
            key = event.merchant_id.encode()
            home = home_of(key, partitions)
            envelope = Relayed(
                merchant_id=event.merchant_id,
                topic=fold.topic,
                partition=fold.partition,
                offset=int(records.offset[i]),
                event=msgspec.Raw(value or b""),
                relayed_at=now,
                log_delay_ms=delay_of(home),
            )
            own = headers(fold.text, int(records.headers_at[i]), int(records.headers_length[i]))
            homes[home].append((key, msgspec.json.encode(envelope), own, int(records.timestamp[i])))
        return homes, letters

    async def _commit_at_times(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await asyncio.sleep(self._app.settings.checkpoint_interval_s)
            async with self._assigning:
                await self._commit(consumer)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit what has been relayed since the last time, once the broker has it."""
        due = {tp: at for tp, at in self._next.items() if self._committed[tp] != at}
        owed = [future for tp in due for future in self._app.outbox.owed(tuple(tp))]
        if owed:
            await asyncio.gather(*owed)
        if due:
            await consumer.commit(due)
            self._committed |= due


def _now() -> int:
    """Wall clock, epoch ms."""
    return time.time_ns() // 1_000_000
