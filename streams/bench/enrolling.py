"""Policies of many lenders, and merchants that are enrolled for some of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiokafka
import msgspec
import numpy as np

from features.calendar import DAY_MS
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.policy import BUILT_IN, Policy, Product, dump_policy
from streams.brokers.clients import client_options
from streams.contract.messages import Relayed
from streams.decode.routing import home_of
from streams.synthetic.load import merchant_of
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings
    from streams.wire.encode import Message

BATCH = 2_000
MOST = 5
"""Policies that a merchant is enrolled for: one to this many, three on average."""


@dataclass(frozen=True)
class Enrolments:
    """Who is enrolled for what.

    Attributes:
        lenders: the lenders, without the platform; each has a policy for loans.
        merchants: how many merchants.
        at: event time of the enrolments, epoch ms.
        seed: makes them repeatable.
    """

    lenders: tuple[str, ...]
    merchants: int
    at: int
    seed: int = 2

    def policies(self) -> list[Policy]:
        """Return a policy of each lender, a little different from each other."""
        return [
            msgspec.structs.replace(
                BUILT_IN, lender=lender, version=1, advance_rate=0.15 + 0.2 * n / len(self.lenders),
                cool_down_ms=DAY_MS // (1 + n % 3),
            )
            for n, lender in enumerate(self.lenders)
        ]  # fmt: skip

    def events(self) -> Iterator[MerchantEvent]:
        """Yield the consents of all merchants."""
        random = np.random.default_rng(self.seed)
        counts = random.integers(1, min(MOST, len(self.lenders)) + 1, self.merchants).tolist()
        for rank, count in enumerate(counts):
            first = int(random.integers(len(self.lenders)))
            for n in range(count):
                yield MerchantEvent(
                    event_id=f"consent-{rank}-{n}",
                    kind=MerchantKind.ENROLLED,
                    merchant_id=merchant_of(rank),
                    occurred_at=self.at,
                    lender_id=self.lenders[(first + n * n) % len(self.lenders)],
                    product=Product.LOAN,
                )


def enrol(settings: Settings, enrolments: Enrolments) -> int:
    """Publish the policies, and put the consents into the log where the relay would.

    Returns:
        how many consents there are.
    """
    return asyncio.run(_enrol(settings, enrolments))


async def _enrol(settings: Settings, enrolments: Enrolments) -> int:
    producer = aiokafka.AIOKafkaProducer(**client_options(settings), acks="all")
    await producer.start()
    futures = []

    async def send(topic: str, partition: int, messages: list[Message]) -> None:
        futures.extend(
            [
                await producer.send_batch(batch, topic, partition=partition)
                for batch in encode_messages(messages, compression="snappy")
            ]
        )

    topics = settings.topics
    waiting: list[list[Message]] = [[] for _ in range(settings.partitions)]
    try:
        policies: list[Message] = [
            (f"{each.lender}.{each.product}.{each.version}".encode(), dump_policy(each))
            for each in enrolments.policies()
        ]
        await send(topics.policies.name, 0, policies)
        consents = 0
        for n, event in enumerate(enrolments.events()):
            consents += 1
            key = event.merchant_id.encode()
            home = home_of(key, settings.partitions)
            relayed = Relayed(
                event.merchant_id, topics.merchant_events.name, home, n,
                msgspec.Raw(msgspec.json.encode(event)),
            )  # fmt: skip
            waiting[home].append((key, msgspec.json.encode(relayed)))
            if len(waiting[home]) == BATCH:
                await send(topics.payments.name, home, waiting[home])
                waiting[home] = []
        for home, messages in enumerate(waiting):
            await send(topics.payments.name, home, messages)
        await asyncio.gather(*futures)
        return consents
    finally:
        await producer.stop()
