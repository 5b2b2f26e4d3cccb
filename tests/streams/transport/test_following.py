import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from streams.transport.following import TopicFollower

TP = TopicPartition("policies", 0)


class Consumer:
    """Reads one partition, whose log grows as the test says."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.at = 0

    def assignment(self) -> set[TopicPartition]:
        return {TP}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self.log) for tp in partitions}

    async def position(self, _: TopicPartition) -> int:
        return self.at

    async def getmany(self, *_: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        first, self.at = self.at, len(self.log)
        records = enumerate(self.log[first:], first)
        return {TP: [SimpleNamespace(value=value, offset=offset) for offset, value in records]}

    async def stop(self) -> None:
        """Nothing to hang up."""


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def follower_of(consumer: Consumer, taken: list[tuple[bytes, int]]) -> TopicFollower:
    follower = TopicFollower(
        {TP.topic: lambda value, offset: taken.append((value, offset))}, {}, lambda _: None
    )
    follower._consumer = consumer
    return follower


async def test_what_is_published_before_it_runs_is_caught_up_with(consumer: Consumer) -> None:
    taken: list[tuple[bytes, int]] = []
    follower = follower_of(consumer, taken)
    consumer.log = [b"a"]
    await follower.catch_up()
    consumer.log += [b"b", b"c"]
    await follower.catch_up()
    await follower.catch_up()
    assert taken == [(b"a", 0), (b"b", 1), (b"c", 2)]


async def test_while_it_runs_catching_up_takes_nothing_twice(consumer: Consumer) -> None:
    taken: list[tuple[bytes, int]] = []
    follower = follower_of(consumer, taken)
    running = asyncio.create_task(follower.run())
    for n in range(3):
        consumer.log.append(b"%d" % n)
        await follower.catch_up()
        assert taken == [(b"%d" % i, i) for i in range(n + 1)]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
