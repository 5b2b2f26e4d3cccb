"""Puts events of other topics into the log of their merchant: its partition of `payments`.

There they have a place among the payments. So what was known of a merchant when a loan was drawn
follows from one log, and is the same whenever that log is read.

An event may be put there twice, after a crash or by two workers in the moment of a hand-over: it
has an id of its own, which counts once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

import msgspec
from aiokafka.partitioner import murmur2
from faust.types import TP

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
from streams.decode.strict import Refused
from streams.wire.encode import encode_messages
from streams.wire.records import headers

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from streams.contract.topics import Topics
    from streams.transport.fold import Fold
    from streams.worker.app import App

logger = logging.getLogger(__name__)

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]


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


def home_of(key: bytes, partitions: int) -> int:
    """Return the partition of `payments` that a merchant belongs to."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class EventRelay:
    """Relays folds of one topic.

    Args:
        app: the worker's app.
        topic: full name; it has as many partitions as `payments`.
        decode: tells an event from what is none.
    """

    def __init__(self, app: App, topic: str, decode: Decode) -> None:
        self._app = app
        self.topic = topic
        self._decode = decode
        self._relayed: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    async def process(self, fold: Fold, _generation: int) -> None:
        """Relay a fold; that the broker has all of it is waited for before the next commit.

        Of an earlier generation too: what is relayed twice counts once.
        """
        if not await self._app.inputs.next_in_line(fold):
            return
        homes, letters = self._sorted(fold)
        for home, messages in homes.items():
            await self._send(fold, self._app.payments_topic, home, messages)
        await self._send(
            fold, self._app.dead_letters_topic, fold.partition, [each.message for each in letters]
        )
        for letter in letters:
            self._app.metrics.dead_lettered(letter.reason)
        self._app.inputs.passed(fold)
        self._relayed[fold.partition] = fold.last_offset + 1

    def _sorted(self, fold: Fold) -> tuple[dict[int, list[Message]], list[DeadLetter]]:
        """Return the messages for each partition of `payments`, and what was refused."""
        records, partitions = fold.records, self._app.settings.partitions
        homes: defaultdict[int, list[Message]] = defaultdict(list)
        letters = batch_letters(fold)
        for i in range(len(fold)):
            value = field(fold, records.value_at[i], records.value_length[i])
            try:
                event = self._decode(value, MINOR_DIGITS_TABLE)
            except Refused as refused:
                letters.append(letter_of(fold, i, refused.outcome.name.lower(), refused.sentence))
                continue
            key = event.merchant_id.encode()
            envelope = Relayed(
                merchant_id=event.merchant_id,
                topic=fold.topic,
                partition=fold.partition,
                offset=int(records.offset[i]),
                event=msgspec.Raw(value or b""),
            )
            own = headers(fold.text, int(records.headers_at[i]), int(records.headers_length[i]))
            homes[home_of(key, partitions)].append(
                (key, msgspec.json.encode(envelope), own, int(records.timestamp[i]))
            )
        return homes, letters

    async def _send(self, fold: Fold, topic: str, home: int, messages: list[Message]) -> None:
        compression = self._app.settings.compression
        for batch in encode_messages(messages, compression=compression):
            await self._app.outbox.publish((self.topic, fold.partition), topic, home, batch)

    async def run(self) -> None:
        """Commit what has been relayed, for ever."""
        while True:
            await asyncio.sleep(self._app.settings.checkpoint_interval_s)
            await self.commit()

    async def commit(self) -> None:
        """Commit what has been relayed since the last time."""
        due = {
            partition: offset
            for partition, offset in self._relayed.items()
            if self._committed.get(partition) != offset
        }
        for partition, offset in due.items():
            if owed := self._app.outbox.owed((self.topic, partition)):
                await asyncio.gather(*owed)
            tp = TP(self.topic, partition)
            if tp in self._app.consumer.assignment():
                await self._app.fold_consumer.commit_checkpoint({tp: offset})
            # Of a partition that is gone the next owner relays again what was not committed.
            self._committed[partition] = offset
