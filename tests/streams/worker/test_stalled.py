from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.transport.inputs import Inputs
from streams.worker.stalled import reread_stalled

PERIOD_S = 0.02
STOOD = TP("payments", 3)


class StubApp:
    """One partition at offset 7; `lag` records wait behind it."""

    def __init__(self, lag: int, error: Exception | None = None) -> None:
        self.payments_topic = STOOD.topic
        self.holding = SimpleNamespace(active=True, lock=asyncio.Lock())
        self.holdings = SimpleNamespace(get=lambda _: self.holding)
        self.inputs = Inputs(self.read_from)
        self.inputs.begin(STOOD, 7)
        self.fold_consumer = self
        self.lag, self.error = lag, error
        self.queued: TP | None = None
        self.read: list[dict[TP, int]] = []

    def waits(self, tp: TP) -> bool:
        return tp == self.queued

    def lag_records(self, tp: TP) -> int:
        return self.lag

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        self.read.append(dict(offsets))
        if self.error is not None:
            raise self.error


async def watched(app: StubApp, meanwhile: Any = None) -> list[dict[TP, int]]:
    """What was read again in ten periods."""
    watching = asyncio.create_task(reread_stalled(app, PERIOD_S))  # type: ignore[arg-type]
    for _ in range(50):
        await asyncio.sleep(PERIOD_S / 5)
        if meanwhile is not None:
            meanwhile()
    assert not watching.done()
    watching.cancel()
    return app.read


async def test_a_partition_that_stands_with_records_waiting_is_read_again() -> None:
    read = await watched(StubApp(lag=2))
    assert read
    assert all(offsets == {STOOD: 7} for offsets in read)


async def test_a_partition_with_nothing_waiting_is_left_alone() -> None:
    assert await watched(StubApp(lag=0)) == []


async def test_a_partition_whose_fold_waits_behind_others_is_left_alone() -> None:
    app = StubApp(lag=2)
    app.queued = STOOD
    assert await watched(app) == []
    app.queued = TP(STOOD.topic, STOOD.partition + 1)
    assert await watched(app)


async def test_a_partition_that_moves_is_left_alone() -> None:
    app = StubApp(lag=2)

    def move() -> None:
        app.inputs.begin(STOOD, app.inputs.next_of(STOOD) + 1)

    assert await watched(app, move) == []


async def test_a_changelog_is_read_again_while_it_is_recovered_and_left_alone_behind_that() -> None:
    rows = TP("rows", STOOD.partition)
    app = StubApp(lag=2)
    app.inputs.forget(STOOD)
    app.inputs.begin(rows, 7)
    assert await watched(app) == []
    app.holding.active = False
    read = await watched(app)
    assert read
    assert all(offsets == {rows: 7} for offsets in read)


async def test_a_partition_at_work_on_a_fold_is_left_alone() -> None:
    app = StubApp(lag=2)
    async with app.holding.lock:
        assert await watched(app) == []


@pytest.mark.parametrize("error", [IllegalStateError("lost"), TimeoutError()])
async def test_a_broker_that_does_not_answer_ends_nothing(error: Exception) -> None:
    assert len(await watched(StubApp(lag=2, error=error))) > 1
