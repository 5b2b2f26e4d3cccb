from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from streams.settings import Settings
from streams.worker import relay as module
from streams.worker.relay import EventRelay, relayed_topics

TOPICS = Settings(partitions=4).topics
OF_EACH = len(relayed_topics(TOPICS))


class StubConsumer:
    """Knows the end of what it is assigned, and of nothing else; a position takes its time."""

    def __init__(self) -> None:
        self.assigned: set[TopicPartition] = set()
        self.paused: set[TopicPartition] = set()
        self.paused_at_fetch: list[set[TopicPartition]] = []
        self.fetched: list[dict[TopicPartition, list[Any]]] = []
        self.drained = asyncio.Event()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self.assigned)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = set(partitions)

    async def position(self, tp: TopicPartition) -> int:
        self.asked.set()
        await self.answer.wait()
        return 5

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        self.paused_at_fetch.append(set(self.paused))
        await asyncio.sleep(0)
        if not self.fetched:
            self.drained.set()
            await asyncio.Event().wait()
        return self.fetched.pop(0)

    def highwater(self, tp: TopicPartition) -> int:
        assert tp in self.assigned, "Partition is not assigned"
        return 7


def relay_of(numbers: list[int], consumer: StubConsumer) -> EventRelay:
    app: Any = SimpleNamespace(
        holdings=SimpleNamespace(active=lambda: [SimpleNamespace(number=n) for n in numbers]),
        metrics=SimpleNamespace(input_lost=lambda *_: None),
    )
    relay = EventRelay(app, TOPICS)
    relay._consumer = consumer
    return relay


async def test_its_lag_may_be_asked_while_other_partitions_become_ours() -> None:
    numbers, consumer = [0, 1], StubConsumer()
    relay = relay_of(numbers, consumer)
    consumer.answer.set()
    await relay._follow(consumer)
    assert [each for each, _ in relay.lag().values()] == [2] * 2 * OF_EACH
    numbers.pop()
    consumer.answer.clear()
    consumer.asked.clear()
    following = asyncio.create_task(relay._follow(consumer))
    await consumer.asked.wait()
    assert relay.lag() == {}
    consumer.answer.set()
    await following
    assert {tp.partition for tp in relay.lag()} == {0}
    assert len(relay.lag()) == OF_EACH


async def test_nothing_is_fetched_from_one_fetch_to_the_end_of_the_pause_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer, paused_at_relay = StubConsumer(), []
    relay = relay_of([0, 1], consumer)
    consumer.answer.set()
    tp = TopicPartition(TOPICS.applications.name, 0)
    consumer.fetched = [{tp: ["a fold"]}, {}, {tp: ["another"]}]

    async def relayed(fold: Any) -> None:
        paused_at_relay.append(set(consumer.paused))

    monkeypatch.setattr(relay, "_relay", relayed)
    monkeypatch.setattr(module, "note_caught_up", lambda *_: None)
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    reading = asyncio.create_task(relay._read(consumer))
    await asyncio.wait_for(consumer.drained.wait(), 5)
    assert paused_at_relay == [consumer.assigned, consumer.assigned]
    assert len(consumer.assigned) == 2 * OF_EACH
    assert consumer.paused_at_fetch == [set()] * 4
    reading.cancel()
