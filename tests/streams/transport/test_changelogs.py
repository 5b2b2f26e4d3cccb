"""Faust hands folds of a changelog on with gaps around a rebalance; none may be left out."""

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.transport.consumer import ThreadDelegateConsumer
from faust.types import TP

from streams.settings import Settings
from streams.transport.app import FoldApp, FoldSchema, faust_options
from streams.transport.driver import Consumer
from streams.transport.inputs import NOTHING

ROWS = TP("rows", 2)
MOMENT_S = 0.05


class App(FoldApp):
    """An app that never starts; it notes what is sought instead of seeking."""

    sought: list[dict[TP, int]]
    applied: list[tuple[int, int]]
    held: dict[TP, int]

    @property
    def recovery(self) -> Any:
        """Faust's recovery of tables."""
        return cast(Any, self.tables).recovery

    @property
    def table(self) -> Any:
        """The one table."""
        [table] = self.tables.values()
        return table

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        self.sought.append(dict(offsets))
        for tp, offset in offsets.items():
            self.reading_from(tp, offset)


@pytest.fixture
def app() -> App:
    """One table; its changelog is recovered from offset 0 up to 9."""
    settings = Settings()
    made = App("changelogs", origin="streams.transport", **faust_options(settings))
    made.configure(settings)
    made.sought, made.applied, made.held = [], [], {}
    topic = made.topic(ROWS.topic, schema=FoldSchema(), internal=True, acks=False)
    made.changelog_table("table", "memory://", topic)
    table = made.table
    table.persisted_offset = lambda tp: made.held.get(tp, NOTHING)
    table.apply_changelog_batch = lambda batch: made.applied.extend(
        (event.value.first_offset, event.value.last_offset) for event in batch
    )
    made.recovery.add_active(table, ROWS)
    made.recovery.active_offsets[ROWS] = -1
    made.recovery.active_highwaters[ROWS] = 9
    made.recovery._set_recovery_started()
    made.reading_from(ROWS, 0)
    return made


def fold(first: int, last: int, tp: TP = ROWS) -> Any:
    """An event as Faust makes it of a fold."""
    value = SimpleNamespace(
        topic=tp.topic, partition=tp.partition, first_offset=first, last_offset=last
    )
    return SimpleNamespace(value=value, message=SimpleNamespace(tp=tp, offset=last))


async def handed_on(app: App, *events: Any) -> list[tuple[int, int]]:
    """Which folds are applied when Faust is handed these."""
    for event in events:
        cast(Any, app.tables).changelog_queue.put_nowait(event)
    slurping = asyncio.ensure_future(app.recovery._slurp_changelogs(app.recovery))
    await asyncio.sleep(MOMENT_S)
    slurping.cancel()
    return app.applied


async def test_folds_in_their_order_are_applied_and_recovery_ends(app: App) -> None:
    assert await handed_on(app, fold(0, 4), fold(5, 9)) == [(0, 4), (5, 9)]
    assert not app.recovery.need_recovery()
    assert app.sought == []


async def test_behind_a_gap_recovery_goes_back_to_where_it_begins(app: App) -> None:
    assert await handed_on(app, fold(0, 4), fold(7, 9)) == []
    assert app.recovery.need_recovery()
    assert app.sought == [{ROWS: 5}]
    assert await handed_on(app, fold(5, 9)) == [(0, 4), (5, 9)]
    assert not app.recovery.need_recovery()


async def test_a_fold_that_comes_twice_is_no_gap(app: App) -> None:
    folds = [fold(0, 4), fold(0, 4), fold(3, 6), fold(7, 9)]
    assert await handed_on(app, *folds) == [(0, 4), (3, 6), (7, 9)]
    assert app.sought == []


async def test_before_it_is_sought_nothing_counts_as_read(app: App) -> None:
    app.inputs.forget(ROWS)
    app.held[ROWS] = 3
    assert await handed_on(app, fold(5, 9)) == []
    assert app.recovery.active_offsets[ROWS] == 3
    assert app.sought == []
    assert app.inputs.next_of(ROWS) == NOTHING


async def test_what_faust_flushes_while_the_seek_is_waited_for_is_not_behind_a_gap(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_from(offsets: Mapping[TP, int]) -> None:
        app.recovery.flush_buffers()

    monkeypatch.setattr(app.inputs, "_read_from", read_from)
    assert await handed_on(app, fold(0, 4), fold(7, 9)) == [(0, 4)]
    assert app.recovery.need_recovery()


async def test_where_faust_seeks_the_last_record_read_the_next_one_is_no_gap(app: App) -> None:
    app.held[ROWS] = 4
    app.recovery.active_offsets[ROWS] = 4
    app.reading_from(ROWS, 4)
    assert await handed_on(app, fold(4, 4), fold(5, 7), fold(8, 9)) == [(5, 7), (8, 9)]
    assert app.sought == []


async def test_of_a_standby_too_a_gap_is_read_again(app: App) -> None:
    other = TP(ROWS.topic, 0)
    app.recovery.add_standby(app.table, other)
    app.reading_from(other, 2)
    await handed_on(app, fold(6, 8, other))
    assert app.sought == [{other: 2}]
    assert app.recovery.standby_offsets[other] == 1


class Fetching(Consumer):
    """A consumer that is never started and fetches two folds."""

    def __init__(self, app: App, *, flow_active: bool) -> None:
        self.app = app
        self.flow_active = flow_active


async def test_what_is_fetched_while_the_flow_is_suspended_is_read_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getmany(*arguments: Any) -> dict[TP, Iterable[Any]]:
        return {ROWS: [fold(0, 4).value], TP("payments", 0): [fold(0, 4).value]}

    monkeypatch.setattr(ThreadDelegateConsumer, "_getmany", getmany)
    await Fetching(app, flow_active=True)._getmany(None, 1.0)
    assert app.sought == []
    await Fetching(app, flow_active=False)._getmany(None, 1.0)
    # Nobody has said yet from where payments are to be read.
    assert app.sought == [{ROWS: 0}]
