"""A coroutine that is begun before a task is made of it does what it would have done in a task."""

import asyncio
from typing import Any

import pytest
from mode import Service

from streams.transport.begun import Begun
from streams.transport.driver import Consumer


async def taken(queue: asyncio.Queue[int]) -> int:
    """What is in a queue, doubled."""
    return 2 * await queue.get()


def tasks() -> int:
    return len(asyncio.all_tasks())


async def test_it_is_done_at_once_when_it_need_not_wait() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(4)
    before = tasks()
    begun = Begun(taken(queue))
    assert (begun.done, begun.result, tasks()) == (True, 8, before)
    assert await begun == 8


async def test_it_goes_on_where_it_waits_in_whatever_task_awaits_it() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    begun = Begun(taken(queue))
    assert not begun.done
    waiting = asyncio.ensure_future(begun)
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.put_nowait(5)
    assert await asyncio.wait_for(waiting, 5) == 10


async def test_it_waits_as_often_as_it_has_to() -> None:
    async def many() -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return 1

    assert await Begun(many()) == 1


async def test_its_errors_come_out_where_they_belong() -> None:
    async def fails(*, later: bool) -> None:
        if later:
            await asyncio.sleep(0)
        raise LookupError(later)

    with pytest.raises(LookupError, match="False"):
        Begun(fails(later=False))
    begun = Begun(fails(later=True))
    with pytest.raises(LookupError, match="True"):
        await begun


async def test_it_is_told_when_whoever_awaits_it_is_cancelled() -> None:
    told = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    waiting = asyncio.ensure_future(Begun(waits()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert told == ["cancelled"]


class Waiting(Consumer):
    """A consumer that is never started, of which only the waiting is used."""

    def __init__(self) -> None:
        Service.__init__(self)


async def flow_ends(after_s: float) -> None:
    await asyncio.sleep(after_s)


async def test_a_message_that_finds_room_is_handed_on_without_a_task() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    before = tasks()
    # The second one is never awaited: warnings are errors here.
    results = await Waiting().wait_first(queue.put(7), flow_ends(3600.0))
    assert (queue.get_nowait(), tasks()) == (7, before)
    assert (results.results, results.stopped) == ([None], False)


async def test_a_message_that_cannot_be_handed_on_says_so() -> None:
    async def fails() -> None:
        raise LookupError("no such partition")

    with pytest.raises(LookupError, match="no such partition"):
        await Waiting().wait_first(fails(), flow_ends(3600.0))


async def test_a_message_that_finds_no_room_waits_for_it() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    queue.put_nowait(1)
    waiting = asyncio.ensure_future(Waiting().wait_first(queue.put(2), flow_ends(3600.0)))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert queue.get_nowait() == 1
    results: Any = await asyncio.wait_for(waiting, 5)
    assert (queue.get_nowait(), results.stopped) == (2, False)


async def test_a_message_that_finds_no_room_waits_no_longer_than_the_flow_lasts() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    queue.put_nowait(1)
    await asyncio.wait_for(Waiting().wait_first(queue.put(2), flow_ends(0.01)), 5)
    await asyncio.sleep(0)
    assert queue.get_nowait() == 1
    await asyncio.sleep(0)
    assert queue.empty()


async def test_what_is_no_coroutine_is_waited_for_as_before() -> None:
    event = asyncio.Event()
    waiting = asyncio.ensure_future(Waiting().wait_first(event))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    event.set()
    await asyncio.wait_for(waiting, 5)


async def test_no_time_to_sleep_still_lets_others_run() -> None:
    order = []
    other = asyncio.ensure_future(asyncio.sleep(0))
    other.add_done_callback(lambda _: order.append("other"))
    await Waiting().sleep(0)
    await Waiting().sleep(0)
    await Waiting().sleep(0.001)
    order.append("slept")
    assert order == ["other", "slept"]
