"""How folds come to their agent, and that the next fetch waits for those of the last one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.settings import Settings
from streams.transport import app as transport
from streams.transport.app import FOLDS_AT_ONCE, LARGE_FOLD, FoldApp, faust_options


@pytest.fixture
def app() -> FoldApp:
    """An app whose agent has a queue; nothing has been fetched."""
    settings = Settings()
    made = FoldApp("room", origin="streams.transport", **faust_options(settings))
    made.configure(settings)
    return made


class Stream:
    """What Faust hands an agent: events behind a queue; `given` says how many it has handed out."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.channel = self
        self.given = 0

    def noack(self) -> "Stream":
        return self

    async def events(self) -> Any:
        while (event := await self.queue.get()) is not None:
            self.given += 1
            yield event


def fold_of(records: int) -> Any:
    return SimpleNamespace(first_offset=100, last_offset=100 + records - 1)


def event(tp: TP | None = None, generation: int = 1) -> Any:
    message = SimpleNamespace(generation_id=generation, tp=tp)
    return SimpleNamespace(value=fold_of(1), message=message)


async def at_work_on_the_first_of_two(app: FoldApp) -> asyncio.Future[None]:
    """An agent that never gets done with its first fold; the other one waits behind it."""
    stream, begun = Stream(), asyncio.Event()

    async def process(fold: Any, generation: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    stream.queue.put_nowait(event())
    stream.queue.put_nowait(event())
    agent = asyncio.ensure_future(app.handle_folds(stream, "payments", process))
    await begun.wait()
    return agent


async def test_it_waits_until_the_last_fold_is_being_dealt_with(app: FoldApp) -> None:
    stream, going_on, dealt_with = Stream(), asyncio.Event(), []

    async def process(fold: Any, generation: int) -> None:
        dealt_with.append(fold)
        await going_on.wait()
        going_on.clear()

    for _ in range(3):
        stream.queue.put_nowait(event())
    agent = asyncio.ensure_future(app.handle_folds(stream, "payments", process))
    await asyncio.sleep(0)
    fetch = asyncio.ensure_future(app.room_for_folds())
    for begun in (1, 2):
        await asyncio.sleep(0.001)
        assert (len(dealt_with), fetch.done()) == (begun, False)
        going_on.set()
    await asyncio.wait_for(fetch, 5)
    assert len(dealt_with) == 3
    going_on.set()
    stream.queue.put_nowait(None)
    await asyncio.wait_for(agent, 5)


async def test_a_fold_waits_until_its_agent_takes_it(app: FoldApp) -> None:
    stream, taken = Stream(), []
    one, other = TP("payments", 1), TP("payments", 2)

    async def process(fold: Any, generation: int) -> None:
        taken.append((app.waits(one), app.waits(other)))

    stream.queue.put_nowait(event(one))
    stream.queue.put_nowait(event(other))
    agent = asyncio.ensure_future(app.handle_folds(stream, "payments", process))
    await asyncio.sleep(0.001)
    assert taken == [(False, True), (False, False)]
    stream.queue.put_nowait(None)
    await asyncio.wait_for(agent, 5)


@pytest.mark.parametrize(
    ("records", "flows", "by_faust"),
    [(1, True, 2), (LARGE_FOLD, True, FOLDS_AT_ONCE + 1), (1, False, FOLDS_AT_ONCE + 1)],
    ids=["small", "behind", "suspended"],
)
async def test_small_folds_that_came_together_are_handed_on_together(
    app: FoldApp, records: int, by_faust: int, *, flows: bool
) -> None:
    stream, dealt_with = Stream(), []
    app.consumer_generation_id = 1
    if flows:
        app.flow_control.resume()
    app.fetched({0: [fold_of(records)]})

    async def process(fold: Any, generation: int) -> None:
        dealt_with.append(fold)

    came = [event() for _ in range(FOLDS_AT_ONCE + 1)]
    for each in came:
        stream.queue.put_nowait(each)
    agent = asyncio.ensure_future(app.handle_folds(stream, "payments", process))
    await asyncio.sleep(0.001)
    assert dealt_with == [each.value for each in came]
    assert stream.given == by_faust
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent


async def test_a_fold_of_an_earlier_assignment_is_not_handed_on(app: FoldApp) -> None:
    stream, dealt_with = Stream(), []
    app.consumer_generation_id = 2
    app.flow_control.resume()

    async def process(fold: Any, generation: int) -> None:
        dealt_with.append(generation)

    for generation in (2, 1, 2):
        stream.queue.put_nowait(event(generation=generation))
    agent = asyncio.ensure_future(app.handle_folds(stream, "payments", process))
    await asyncio.sleep(0.001)
    assert dealt_with == [2, 2]
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent


async def test_an_agent_that_has_ended_keeps_nobody_waiting(
    app: FoldApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_WAIT_S", 3600.0)
    stream = Stream()

    async def process(fold: Any, generation: int) -> None:
        """Nothing."""

    stream.queue.put_nowait(None)
    stream.queue.put_nowait(event())
    await app.handle_folds(stream, "payments", process)
    await asyncio.wait_for(app.room_for_folds(), 5)


async def test_it_does_not_wait_for_ever_for_folds_that_faust_has_dropped(
    app: FoldApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await at_work_on_the_first_of_two(app)
    monkeypatch.setattr(transport, "MOST_WAIT_S", 0.01)
    await asyncio.wait_for(app.room_for_folds(), 5)
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent


@pytest.mark.parametrize(("records", "waits"), [(LARGE_FOLD - 1, True), (LARGE_FOLD, False)])
async def test_who_is_behind_fetches_beside(
    app: FoldApp, monkeypatch: pytest.MonkeyPatch, records: int, *, waits: bool
) -> None:
    monkeypatch.setattr(transport, "MOST_WAIT_S", 3600.0)
    agent = await at_work_on_the_first_of_two(app)
    app.fetched({0: [fold_of(1)], 1: [fold_of(records)]})
    # What brings nothing says nothing.
    app.fetched({})
    fetch = asyncio.ensure_future(app.room_for_folds())
    await asyncio.sleep(0.01)
    assert fetch.done() is not waits
    for task in (fetch, agent):
        task.cancel()
    await asyncio.gather(fetch, agent, return_exceptions=True)
