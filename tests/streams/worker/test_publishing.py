"""Limit updates are published once each and in their order, however they are gathered."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.evaluation import BY_EVENT, BY_TIME, Updates, allocate_updates
from scorers.policy import BUILT_IN
from streams.contract.messages import LimitUpdate
from streams.settings import Settings
from streams.wire.encode import Message
from streams.worker import publishing
from streams.worker.publishing import UpdatePublisher

LENDERS = ("platform", "bank")
TOPICS = Settings(lenders=LENDERS).topics
POLICIES = [msgspec.structs.replace(BUILT_IN, lender=lender) for lender in LENDERS]
SENT_AT = 1_760_000_000_000
READ = msgspec.json.Decoder(LimitUpdate).decode


class Posted:
    """An outbox that keeps what is published; the broker has it when the test says so."""

    def __init__(self) -> None:
        self.posts: list[dict[str, list[int]]] = []
        self.waiting: list[Callable[[], None]] = []
        self.promised: dict[int, list[asyncio.Future[None]]] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.came = asyncio.Event()
        self.told: list[tuple[int, int, int]] = []
        topics = {lender: TOPICS.limit_updates(lender) for lender in LENDERS}
        self.publisher = UpdatePublisher(self, topics, "payments", self)  # type: ignore[arg-type]
        self._version = 0

    def promise(self, source: int) -> asyncio.Future[None]:
        promised = asyncio.get_running_loop().create_future()
        self.promised.setdefault(source, []).append(promised)
        return promised

    async def publish_all(
        self,
        source: None,
        messages: Mapping[tuple[str, int], Sequence[Message]],
        acknowledged: Callable[[], None],
    ) -> None:
        await self.open.wait()
        post: dict[str, list[int]] = {}
        for (topic, _), of_lender in messages.items():
            post.setdefault(topic, []).extend(READ(each[1] or b"").version for each in of_lender)
        self.posts.append(post)
        self.came.set()
        self.waiting.append(acknowledged)

    def limits_updated(self, raises: int, cuts: int, waited: Any) -> None:
        self.told.append((raises, cuts, len(waited)))

    def acknowledge(self) -> None:
        for each in self.waiting:
            each()
        self.waiting = []

    def owed(self, number: int) -> int:
        return sum(not promised.done() for promised in self.promised.get(number, []))

    async def publish(self, policies: Sequence[int], number: int = 0) -> list[int]:
        """Publish updates by the policies at these places; returns their versions."""
        updates = allocate_updates(len(policies))
        updates.policy[:] = policies
        first = self._version + 1
        self._version += len(policies)
        updates.version[:] = np.arange(first, first + len(policies))
        updates.limit[:] = 10_000
        await self.publisher.publish(self.holding(number), self.fold(), updates)
        return list(range(first, first + len(policies)))

    async def publish_updates(self, updates: Updates) -> None:
        await self.publisher.publish(self.holding(0), self.fold(), updates)

    @staticmethod
    def holding(number: int) -> Any:
        partition = SimpleNamespace(
            version=SimpleNamespace(policies=POLICIES, scorecard=SimpleNamespace(version=1)),
            merchants_of=lambda rows: [b"m%d" % row for row in rows.tolist()],
            currencies_of=lambda rows: [0] * len(rows),
        )
        return SimpleNamespace(number=number, partition=partition)

    @staticmethod
    def fold() -> Any:
        return SimpleNamespace(records=SimpleNamespace(timestamp=np.full(1, SENT_AT)))

    def of(self, lender: str) -> list[int]:
        name = TOPICS.limit_updates(lender).name
        return [version for post in self.posts for version in post.get(name, [])]


async def test_without_gathering_updates_leave_at_once() -> None:
    posted = Posted()
    await posted.publish([0, 1, 1])
    await posted.publish([0])
    assert [[*post.values()] for post in posted.posts] == [[[1], [2, 3]], [[4]]]


async def test_what_is_gathered_of_all_partitions_leaves_together_and_is_owed_until_then() -> None:
    posted = Posted()
    posted.publisher.gather(60.0)
    await posted.publish([0, 1], number=0)
    await posted.publish([1], number=3)
    await posted.publish([1], number=3)
    assert (posted.posts, posted.owed(0), posted.owed(3)) == ([], 1, 1)
    posted.publisher.gather(0.0)
    await posted.publish([0], number=0)
    assert [[*post.values()] for post in posted.posts] == [[[1, 5], [2, 3, 4]]]
    assert (posted.owed(0), posted.owed(3)) == (1, 1)
    posted.acknowledge()
    assert (posted.owed(0), posted.owed(3)) == (0, 0)


async def test_what_is_due_leaves_though_no_fold_comes_behind_it() -> None:
    posted = Posted()
    posted.publisher.gather(0.15)
    await posted.publish([0])
    running = asyncio.create_task(posted.publisher.run())
    await asyncio.wait_for(posted.came.wait(), 10)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert posted.of("platform") == [1]


async def test_nothing_is_gathered_any_more_when_a_worker_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "LOOK_EVERY_S", 0.001)
    posted = Posted()
    posted.publisher.gather(60.0)
    await posted.publish([0])
    running = asyncio.create_task(posted.publisher.run())
    posted.publisher.gather(30.0)
    await asyncio.sleep(0.02)
    assert posted.posts == []
    posted.publisher.gather(0.0)
    await asyncio.wait_for(posted.came.wait(), 10)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert posted.of("platform") == [1]


async def test_nothing_is_gathered_while_somebody_hurries() -> None:
    posted = Posted()
    posted.publisher.gather(60.0)
    await posted.publish([0])
    async with posted.publisher.hurried():
        assert posted.of("platform") == [1]
        await posted.publish([0])
        assert posted.of("platform") == [1, 2]
    await posted.publish([0])
    assert posted.of("platform") == [1, 2]


async def test_an_acknowledgement_that_comes_behind_a_checkpoint_given_up_changes_nothing() -> None:
    posted = Posted()
    posted.publisher.gather(60.0)
    await posted.publish([0], number=0)
    await posted.publish([0], number=3)
    for promised in posted.promised[0]:
        promised.cancel()
    async with posted.publisher.hurried():
        posted.acknowledge()
    assert (posted.of("platform"), posted.owed(3)) == ([1, 2], 0)


async def test_who_publishes_waits_for_an_outbox_that_is_full() -> None:
    posted = Posted()
    posted.open.clear()
    publishing = asyncio.create_task(posted.publish([0]))
    await asyncio.sleep(0.01)
    assert not publishing.done()
    posted.open.set()
    await asyncio.wait_for(publishing, 1)


async def test_acknowledged_updates_are_counted_with_what_their_own_events_have_waited() -> None:
    posted = Posted()
    updates = allocate_updates(3)
    updates.version[:] = 1
    updates.previous[:] = [0, 5_000, 5_000]
    updates.limit[:] = [5_000, 0, 9_000]
    updates.cause[:] = [BY_EVENT, BY_TIME, BY_EVENT]
    await posted.publish_updates(updates)
    assert posted.told == []
    posted.acknowledge()
    assert posted.told == [(2, 1, 2)]


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.lists(st.integers(0, 1), min_size=1, max_size=4)),
    st.tuples(st.just("gather"), st.sampled_from([0.0, 60.0])),
    st.tuples(st.just("hurry"), st.none()),
    st.tuples(st.just("acknowledge"), st.none()),
)


@given(st.lists(STEPS, max_size=20))
def test_each_update_is_published_once_and_in_order_however_they_are_gathered(
    steps: list[tuple[str, Any]],
) -> None:
    async def play() -> tuple[Posted, list[list[int]]]:
        posted = Posted()
        expected: list[list[int]] = [[], []]
        for step, what in steps:
            if step == "publish":
                for policy, version in zip(what, await posted.publish(what), strict=True):
                    expected[policy].append(version)
            elif step == "gather":
                posted.publisher.gather(what)
            elif step == "hurry":
                async with posted.publisher.hurried():
                    pass
            else:
                posted.acknowledge()
        async with posted.publisher.hurried():
            posted.acknowledge()
        return posted, expected

    posted, expected = asyncio.run(play())
    assert [posted.of(lender) for lender in LENDERS] == expected
    assert posted.owed(0) == 0
