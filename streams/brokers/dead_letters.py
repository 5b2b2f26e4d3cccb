"""Dead letters as an operator sees them: read from the topic, resent to where they came from."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as AioKafkaError
from aiokafka.partitioner import DefaultPartitioner

from streams.brokers.clients import client_options
from streams.brokers.reading import whole_topic
from streams.contract.messages import DeadLetterHeaders
from streams.errors import BrokerError
from streams.settings import Settings

PREFIX = "duoshou-"
RESEND_TIMEOUT_MS = 15_000
RESENT = "duoshou-resent"
"""Header of the mark that is left on the topic for a letter that was resent: its address."""


WHOLE_BATCHES = frozenset({"corrupt_batch", "decompression_bomb"})
"""Reasons of letters that hold a whole record batch, not a record: those cannot be resent."""


@dataclass(frozen=True)
class DeadLetter:
    """One record that was refused.

    Attributes:
        address: `partition:offset` on the dead-letter topic: its name for the operator.
        key: The record's own, None where it had none.
        value: The record's own.
        headers: The record's own, in order.
        why: What the worker said.
        resent: Whether it went back to its topic before.
    """

    address: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    why: DeadLetterHeaders
    resent: bool

    @property
    def is_a_record(self) -> bool:
        """Whether it holds one record, which can be sent again."""
        return self.why.reason not in WHOLE_BATCHES


def read_dead_letters(settings: Settings) -> list[DeadLetter]:
    """All that are on the topic now, oldest first by partition.

    Records without the headers of a dead letter are passed over: they are not ours.

    Raises:
        BrokerError: The broker cannot be reached, or lacks the topic.
    """
    letters: list[tuple[str, Any, DeadLetterHeaders]] = []
    resent: set[str] = set()
    for record in whole_topic(settings, settings.topics.dead_letters):
        marks = [value for name, value in record.headers if name == RESENT]
        resent.update(mark.decode() for mark in marks if mark)
        if (why := _why(record.headers)) is not None:
            letters.append((f"{record.partition}:{record.offset}", record, why))
    return [
        DeadLetter(
            address,
            record.key,
            record.value,
            [(name, value) for name, value in record.headers if not name.startswith(PREFIX)],
            why,
            address in resent,
        )
        for address, record, why in letters
    ]


def resend(settings: Settings, letters: Sequence[DeadLetter]) -> int:
    """Send letters back to their topics, with their own bytes, key and headers, and mark them.

    A letter and its mark are one transaction, so that none goes twice; on a broker that knows no
    transactions (the embedded one) a crash between the two may repeat a letter. Their timestamp
    is that of resending: a record from the future is judged again by today's clock.

    Not to be called where an event loop runs.

    Returns:
        How many were sent.

    Raises:
        BrokerError: The broker refused; names how many went before.
    """
    return asyncio.run(_resend_all(settings, letters)) if letters else 0


async def _resend_all(settings: Settings, letters: Sequence[DeadLetter]) -> int:
    options = client_options(settings) | {"acks": "all", "request_timeout_ms": RESEND_TIMEOUT_MS}
    if settings.idempotence:
        options["transactional_id"] = settings.topics.resend_id
    # aiokafka, because kafka-python sends no header without a value.
    producer = AIOKafkaProducer(**options)
    sent = 0
    try:
        await producer.start()
        for letter in letters:
            async with producer.transaction() if settings.idempotence else nullcontext():
                await _resend(producer, settings.topics.dead_letters.name, letter)
            sent += 1
    except AioKafkaError as error:
        raise BrokerError(
            f"The broker refused after {sent} letters were resent ({error}): run the command again "
            "for the rest."
        ) from error
    finally:
        await producer.stop()
    return sent


async def _resend(producer: AIOKafkaProducer, dead_letters: str, letter: DeadLetter) -> None:
    topic, partition = letter.why.topic, int(letter.why.partition)
    partitions = sorted(await producer.partitions_for(topic))
    if letter.key is not None:
        partition = DefaultPartitioner()(letter.key, partitions, partitions)
    await _send_one(producer, topic, partition, letter.key, letter.value, letter.headers)
    mark: list[tuple[str, bytes | None]] = [(RESENT, letter.address.encode())]
    place = int(letter.address.partition(":")[0])
    await _send_one(producer, dead_letters, place, letter.key, None, mark)


async def _send_one(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
) -> None:
    """Send a record that may have neither key nor value, which `AIOKafkaProducer.send` refuses."""
    batch = producer.create_batch()
    now_ms = time.time_ns() // 1_000_000
    batch.append(key=key, value=value, timestamp=now_ms, headers=headers)
    await (await producer.send_batch(batch, topic, partition=partition))


def _why(headers: list[tuple[str, bytes | None]]) -> DeadLetterHeaders | None:
    ours = {name: (value or b"").decode(errors="replace") for name, value in headers}
    try:
        return DeadLetterHeaders(
            reason=ours["duoshou-reason"],
            message=ours["duoshou-message"],
            topic=ours["duoshou-topic"],
            partition=ours["duoshou-partition"],
            offset=ours["duoshou-offset"],
            timestamp=ours["duoshou-timestamp"],
        )
    except KeyError:
        return None
