from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from faust.types import TP

from features.calendar import load_zone
from scorers.applications.book import Place
from scorers.catalogue import BEGINNING, Moment, Policies
from scorers.loans import Draw, LoanEvent, LoanKind
from scorers.partition import Partition, Version
from scorers.policy import BUILT_IN, EVERYBODYS
from scorers.raises import Cause, Stop
from scorers.shadows import Counted
from streams.settings import Settings
from streams.state.holding import CheckpointRecord, Holding, switch_key
from streams.transport.fetching import FoldDecoder, folds
from streams.worker import checkpoint as module
from streams.worker.checkpoint import Checkpointer
from streams.worker.versions import Versions
from tests.scorers.logs import Record, columns
from tests.scorers.runs import EAGER, run
from tests.scorers.test_entitlements import trade
from tests.scorers.test_raises import with_bands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scorers.policy import Policy, PolicyName
    from streams.transport.fold import Fold
    from streams.wire.encode import EncodedBatch

NUMBER = 0
DRAWN = LoanEvent("e1", LoanKind.DRAWN, "l1", "bank", "m1", "loan", "CNY", 5_000, 1_000)


class StubApp:
    """A worker on a broker that keeps batches: `log` has them in the order of their writing."""

    rows_topic, ledger_topic, payment_ids_topic = "rows", "ledger", "ids"

    def __init__(self) -> None:
        self.holding = Holding(NUMBER, Partition(load_zone("Asia/Shanghai")))
        self.holding.active = True
        self.holding.checkpoint = CheckpointRecord(-1, {}, 0, BEGINNING)
        self.settings = Settings(compression="none")
        self.batch_producer = self.outbox = self.updates = self
        self.fold_consumer = self.consumer = self
        self.versions = SimpleNamespace(newer_than=lambda _: False, shadows=lambda _: ())
        self.metrics = SimpleNamespace(
            checkpoint_done=lambda *_: None,
            committed=lambda *_: None,
            shadows_counted=lambda _: None,
            raises_held_back=lambda _: None,
        )
        self.holdings = SimpleNamespace(active=lambda: [self.holding], drop=self.drop)
        self.dropped: list[int] = []
        self.hurries = 0
        self.ends: dict[str, int] = {}
        self.log: list[tuple[str, EncodedBatch, asyncio.Future[Any]]] = []
        self.unacknowledged = 0
        self.checkpointer = Checkpointer(self, lambda _: 0)  # type: ignore[arg-type]

    def drop(self, number: int) -> None:
        self.dropped.append(number)

    def owed(self, source: int) -> set[asyncio.Future[None]]:
        return set()

    @asynccontextmanager
    async def hurried(self) -> AsyncIterator[None]:
        self.hurries += 1
        yield

    def input_tp(self, partition: int) -> TP:
        return TP("payments", partition)

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, self.holding.applied + 1)

    async def commit_checkpoint(self, offsets: Any) -> bool:
        return True

    async def send_batch(
        self, batch: EncodedBatch, topic: str, partition: int, *, bulk: bool = False
    ) -> asyncio.Future[Any]:
        assert not self.unacknowledged, "written before the one before was acknowledged"
        self.unacknowledged += 1
        done = asyncio.get_running_loop().create_future()
        first = self.ends.get(topic, 0)
        self.ends[topic] = first + batch.record_count()

        def acknowledge() -> None:
            self.unacknowledged -= 1
            done.set_result(SimpleNamespace(offset=first))

        asyncio.get_running_loop().call_later(0.01, acknowledge)
        self.log.append((topic, batch, done))
        return done

    def tell(self, event: LoanEvent, offset: int) -> None:
        assert self.holding.accounts.ledger.takes(offset)
        self.holding.accounts.loans.apply(event, lambda: Draw({}, 0.02, 1))
        self.holding.applied = offset

    async def take(self) -> list[str]:
        """Take a checkpoint; the topics that it wrote to, in their order."""
        before = len(self.log)
        await self.checkpointer.take(self.holding)
        return [topic for topic, _, _ in self.log[before:]]

    def ledger_folds(self) -> list[Fold]:
        found: list[Fold] = []
        for n, (topic, batch, _) in enumerate(self.log):
            if topic == self.ledger_topic:
                data = bytearray(batch._build())
                data[:8] = n.to_bytes(8, "big")
                found += folds(TP(topic, 0), bytes(data), (), n, FoldDecoder({}, 1 << 20))
        return found


@pytest.fixture(autouse=True)
def _no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(sentence: str, error: BaseException | None) -> None:
        raise AssertionError(sentence) from error

    monkeypatch.setattr(module, "end_process", fail)


async def test_the_mark_is_written_alone_behind_the_entries_and_before_the_rows() -> None:
    app = StubApp()
    app.tell(DRAWN, 3)
    assert await app.take() == ["ledger", "ledger", "rows"]
    entries, mark = app.ledger_folds()
    assert len(entries) == 1
    assert b'[""]' in mark.text.tobytes()
    app.holding.applied = 9
    assert await app.take() == ["rows"], "no event of the ledger, no mark"


async def test_a_ledger_is_restored_from_what_a_checkpoint_wrote() -> None:
    app = StubApp()
    app.tell(DRAWN, 3)
    await app.take()
    after = Holding(NUMBER, Partition(load_zone("Asia/Shanghai")))
    for fold in app.ledger_folds():
        after.restore_ledger(fold)
    after.accounts.loans.rebuild()
    assert list(after.accounts.loans.of("m1")) == list(app.holding.accounts.loans.of("m1"))
    assert (after.accounts.loans.owing, after.accounts.ledger.offset) == (1, 3)


async def test_behind_somebody_elses_records_the_whole_ledger_is_written_again() -> None:
    app = StubApp()
    app.tell(DRAWN, 3)
    await app.take()
    app.ends["ledger"] += 2
    app.tell(msgspec.structs.replace(DRAWN, loan_id="l2"), 5)
    await app.take()
    assert app.holding.accounts.ledger.repeats
    app.holding.applied = 8
    assert await app.take() == ["ledger", "ledger", "rows"]
    entries = app.ledger_folds()[-2]
    assert len(entries) == 2
    app.holding.applied = 9
    assert await app.take() == ["rows"]


async def test_a_partition_in_whose_changelog_somebody_else_wrote_is_forgotten_when_lost() -> None:
    app = StubApp()
    app.tell(DRAWN, 3)
    await app.take()
    await app.checkpointer.before_revocation({NUMBER}, 5.0)
    assert app.dropped == []
    app.holding.active = True
    app.ends["rows"] += 1
    app.holding.applied = 7
    await app.take()
    await app.checkpointer.before_revocation({NUMBER}, 5.0)
    assert app.dropped == [NUMBER]


async def test_nothing_is_gathered_while_a_partition_is_handed_over() -> None:
    app = StubApp()
    app.holding.applied = 7
    await app.take()
    assert app.hurries == 0
    app.holding.applied = 8
    await app.checkpointer.before_revocation({NUMBER}, 5.0)
    assert app.hurries == 1
    assert app.holding.durable == 8


async def test_an_idle_ledger_is_marked_again_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app = StubApp()
    app.tell(DRAWN, 3)
    await app.take()
    monkeypatch.setattr(module, "REMARK_AFTER_S", -1.0)
    app.holding.applied = 7
    assert await app.take() == ["ledger", "rows"]


async def test_what_comes_from_a_changelog_while_the_partition_is_ours_is_passed_over() -> None:
    app = StubApp()
    app.tell(DRAWN, 3)
    await app.take()
    own, _ = app.ledger_folds()
    for last_offset, unread in ((1, False), (50, True)):
        own.last_offset = last_offset
        app.holding.passed_over(own)
        assert app.holding.unread == unread
        assert app.holding.positions["ledger"] == last_offset


async def test_no_newer_model_is_taken_up_before_the_log_of_the_former_owner_is_read_again() -> (
    None
):
    app = StubApp()
    holding = app.holding
    holding.checkpoint = CheckpointRecord(5, {}, 0, BEGINNING)
    assert not holding.replayed(), "nobody knows yet how far the former owner had come"
    holding.log_end = 9
    for applied, replayed in ((-1, False), (7, False), (8, True)):
        holding.applied = applied
        assert holding.replayed() == replayed
    holding.applied, holding.log_end = -1, 6
    assert holding.replayed(), "all of it is in the checkpoint"


async def test_a_switch_stays_on_record_in_one_batch_with_its_checkpoint() -> None:
    app = StubApp()
    version = Version(policies=Policies([], Moment(4, 1_000)))
    app.versions.newer_than, app.versions.newest = lambda _: app.log == [], lambda _: version
    app.holding.log_end = 0
    app.metrics.version_activated = lambda *_: None
    app.holding.applied = 7
    assert await app.take() == ["rows"]
    app.holding.applied = 9
    assert await app.take() == ["rows"]
    (first, second) = (batch for _, batch, _ in app.log)
    assert (first.record_count(), second.record_count()) == (2, 1)
    restored = Holding(NUMBER, Partition(load_zone("Asia/Shanghai")))
    (fold,) = folds(TP("rows", 0), bytes(first._build()), (), 0, FoldDecoder({}, 1 << 20))
    assert switch_key(1) in fold.text.tobytes()
    restored.restore_rows(fold)
    assert len(restored.partition) == 0
    assert restored.checkpoint is not None
    assert restored.checkpoint.offset == 7
    assert restored.checkpoint.policies == (4, 1_000)
    assert restored.checkpoint.switches == 1
    assert app.holding.checkpoint is not None
    assert app.holding.checkpoint.switches == 1


async def test_a_switch_behind_a_restart_takes_effect_where_the_partition_stands() -> None:
    """One that named an earlier offset would lose against the checkpoint before it."""
    app = StubApp()
    version = Version(policies=Policies([], Moment(4, 1_000)))
    app.versions.newer_than, app.versions.newest = lambda _: True, lambda _: version
    app.metrics.version_activated = lambda *_: None
    app.holding.checkpoint = CheckpointRecord(362, {}, 0, BEGINNING, 2)
    app.holding.applied, app.holding.log_end = -1, 363
    assert await app.take() == ["rows"]
    assert app.holding.checkpoint.offset == 362
    assert app.holding.checkpoint.policies == (4, 1_000)
    assert app.holding.checkpoint.switches == 3


async def test_what_shadows_gave_is_reported_once_the_checkpoint_is_durable() -> None:
    app = StubApp()
    shadow = msgspec.structs.replace(BUILT_IN, version=1, shadow=True)
    followed: list[tuple[Policy, ...]] = []
    reported: list[tuple[int, dict[PolicyName, Counted]]] = []
    app.versions.shadows = lambda _: (shadow,)
    app.metrics.shadows_followed = followed.append
    app.metrics.shadows_counted = lambda counts: reported.append((len(app.log), counts))
    await app.take()
    await app.take()
    assert followed == [(shadow,)]
    assert [counts for _, counts in reported] == [{}, {}]
    assert app.holding.checkpoint is not None
    assert app.holding.checkpoint.policies == BEGINNING, "no record names a shadow"
    assert app.holding.checkpoint.switches == 0

    batch, text = columns([Record(b"m1", "p1")])
    app.holding.partition.apply(batch, text, lambda _: None)
    app.holding.applied = 0
    before = len(app.log)
    assert await app.take() == ["ids", "rows", "rows"]
    assert reported[-1] == (before + 3, {shadow.name: Counted(0, 1, 0, 0, 0, 0)})
    assert await app.take() == ["rows"]
    assert reported[-1][1] == {}


async def test_what_shadows_gave_is_not_reported_by_a_checkpoint_that_did_not_finish() -> None:
    app = StubApp()
    shadow = msgspec.structs.replace(BUILT_IN, version=1, shadow=True)
    app.holding.partition.follow_shadows((shadow,))
    app.versions.shadows = lambda _: (shadow,)
    reported: list[dict[PolicyName, Counted]] = []
    app.metrics.shadows_counted = reported.append
    batch, text = columns([Record(b"m1", "p1")])
    app.holding.partition.apply(batch, text, lambda _: None)
    app.holding.applied = 0
    await app.checkpointer.before_revocation({NUMBER}, timeout_s=0.005)
    assert app.dropped == [NUMBER]
    assert reported == []


async def test_raises_held_back_are_reported_once_the_checkpoint_is_durable() -> None:
    app = StubApp()
    partition = app.holding.partition
    stop = Stop(EVERYBODYS.lender, EVERYBODYS.product, Cause.LIMITS)
    partition.activate(Version(policies=EAGER.policies, stops=frozenset({stop})))
    reported: list[tuple[int, dict[PolicyName, int]]] = []
    app.metrics.raises_held_back = lambda counts: reported.append((len(app.log), counts))
    log = trade(b"m1", 5)
    batch, text = columns(log)
    partition.apply(batch, text, lambda _: None)
    app.holding.applied = len(log) - 1
    assert await app.take() == ["ids", "rows", "rows"]
    [(written, counts)] = reported
    assert written == 3
    assert set(counts) == {EVERYBODYS}
    assert 0 < counts[EVERYBODYS] <= len(log)
    await app.take()
    assert reported[-1][1] == {}


async def test_raises_stop_behind_a_checkpoint_that_records_it_and_a_restore_takes_it_up() -> None:
    app = StubApp()
    holding, stop = app.holding, Stop(EVERYBODYS.lender, EVERYBODYS.product, Cause.LIMITS)
    holding.accounts.begin(Place("payments", NUMBER, 1))
    holding.partition.activate(with_bands({EVERYBODYS: 1}))
    activated: list[Version] = []
    app.metrics.version_activated = lambda _, version: activated.append(version)
    run(holding.partition, trade(b"m0", 1))
    assert holding.partition.sum_of_limits(EVERYBODYS) > 1
    holding.applied = 7
    assert await app.take() == ["ids", "rows", "rows"]
    assert activated == [], "not all has been read again that a former owner can have published"
    holding.log_end = 8
    for applied, switches in ((8, 1), (9, 1)):
        holding.applied = applied
        assert await app.take() == ["rows"]
        assert holding.checkpoint is not None
        assert (holding.checkpoint.stops, holding.checkpoint.switches) == ((stop,), switches)
    assert holding.partition.version.stops == {stop}
    assert activated == [holding.partition.version]
    (switch, plain) = (batch for _, batch, _ in app.log[-2:])
    assert (switch.record_count(), plain.record_count()) == (2, 1)
    restored = Holding(NUMBER, Partition(load_zone("Asia/Shanghai")))
    for fold in folds(TP("rows", 0), bytes(plain._build()), (), 0, FoldDecoder({}, 1 << 20)):
        restored.restore_rows(fold)
    assert restored.checkpoint is not None
    assert Versions(("platform",)).named_by(restored.checkpoint).stops == {stop}


async def test_raises_go_on_behind_a_switch_to_a_wider_band() -> None:
    app = StubApp()
    holding, narrow, wide = app.holding, with_bands({EVERYBODYS: 1}), with_bands({})
    holding.accounts.begin(Place("payments", NUMBER, 1))
    holding.partition.activate(
        replace(
            narrow, stops=frozenset({Stop(EVERYBODYS.lender, EVERYBODYS.product, Cause.LIMITS)})
        )
    )
    app.metrics.version_activated = lambda *_: None
    run(holding.partition, trade(b"m0", 1))
    app.versions.newer_than, app.versions.newest = lambda _: True, lambda _: wide
    holding.applied, holding.log_end = 7, 0
    await app.take()
    assert holding.partition.version == wide
    assert holding.checkpoint is not None
    assert holding.checkpoint.stops == ()
