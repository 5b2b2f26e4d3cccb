from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from features.calendar import load_zone
from features.layout import ROW
from scorers.catalogue import BEGINNING
from scorers.partition import Partition
from streams.observability.metrics import STAGES
from streams.settings import Settings
from streams.state.holding import CheckpointRecord, Holding
from streams.transport.fetching import FoldDecoder, folds
from streams.transport.inputs import NOTHING, Inputs
from streams.wire.encode import Message, encode_messages
from streams.worker.decoding import fold_decoder
from streams.worker.payments import PaymentProcessor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.transport.fold import Fold

INPUT = TP("payments", 0)
NOW = 1_760_000_000_000
GENERATION = 5


class StubApp:
    """A worker that owns partition 0, under one generation, and has read up to an offset."""

    payments_topic, dead_letters_topic = "payments", "dead"
    loan_events_topic, merchant_events_topic = "loan-events", "merchant-events"

    def __init__(self, next_offset: int, error: Exception | None = None) -> None:
        self.holding = Holding(0, Partition(load_zone("Asia/Shanghai")))
        self.holding.active = True
        self.holding.checkpoint = CheckpointRecord(NOTHING, {}, 0, BEGINNING)
        self.holdings = {0: self.holding}
        self.consumer_generation_id = GENERATION
        self.settings = Settings(partitions=1)
        self.fold_consumer = self.metrics = self.outbox = self.updates = self
        self.sought: list[dict[TP, int]] = []
        self.stages: dict[str, float] = {}
        self.error = error
        self.inputs = Inputs(self.read_from)
        if next_offset != NOTHING:
            self.inputs.begin(INPUT, next_offset)

    def input_tp(self, partition: int) -> TP:
        return TP(self.payments_topic, partition)

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        self.sought.append(dict(offsets))
        if self.error is not None:
            raise self.error

    async def publish(self, *args: Any) -> None:
        """Nobody looks at what is published."""

    def stage_done(self, stage: str, seconds: float) -> None:
        self.stages[stage] = seconds

    def batch_applied(self, *args: Any) -> None:
        """Nobody looks at the counts."""

    def input_read(self, *args: Any) -> None:
        """Nobody looks at the age."""

    def applied(self) -> list[int]:
        """The offsets of what was applied: the amounts are powers of two."""
        row = self.holding.partition.row_bytes(b"m1")
        total = 0 if row is None else int(np.frombuffer(row, ROW)["total_amount"][0])
        return [n for n in range(total.bit_length()) if total >> n & 1]

    async def process(self, fold: Fold, generation: int = GENERATION) -> None:
        await PaymentProcessor(self).process(fold, generation)  # type: ignore[arg-type]


def fold_of(first: int, last: int) -> Fold:
    """The payments of one merchant at the offsets `first` to `last`, of 2 to the power of it."""
    messages: list[Message] = [
        (
            b"m1",
            json.dumps(
                {"payment_id": f"p{n}", "kind": "payment", "merchant_id": "m1",
                 "amount": 2**n, "currency": "CNY", "occurred_at": NOW + n}
            ).encode(),
            [],
            NOW + n,
        )
        for n in range(first, last + 1)
    ]  # fmt: skip
    data = bytearray(encode_messages(messages)[0]._build())
    data[:8] = first.to_bytes(8, "big")
    (fold,) = folds(
        INPUT, bytes(data), (), first, FoldDecoder({"payments": fold_decoder(1)}, 1 << 20)
    )
    return fold


async def test_folds_that_follow_each_other_are_applied() -> None:
    app = StubApp(next_offset=3)
    await app.process(fold_of(3, 5))
    await app.process(fold_of(6, 6))
    assert app.applied() == [3, 4, 5, 6]
    assert app.inputs.next_of(INPUT) == 7
    assert app.sought == []


async def test_a_fold_behind_a_gap_is_read_again_with_the_gap_and_not_applied() -> None:
    app = StubApp(next_offset=3)
    await app.process(fold_of(4, 6))
    assert app.applied() == []
    assert app.sought == [{INPUT: 3}]
    assert app.inputs.next_of(INPUT) == 3
    await app.process(fold_of(3, 6))
    assert app.applied() == [3, 4, 5, 6]


async def test_nothing_is_applied_any_more_when_the_partition_is_lost_while_seeking() -> None:
    app = StubApp(next_offset=3, error=IllegalStateError("no longer assigned"))
    await app.process(fold_of(4, 6))
    await app.process(fold_of(3, 6))
    assert app.applied() == []
    assert app.sought == [{INPUT: 3}]


async def test_a_fold_from_before_the_last_seek_is_dropped() -> None:
    app = StubApp(next_offset=7)
    await app.process(fold_of(3, 6))
    assert app.applied() == []
    assert app.sought == []
    assert app.inputs.next_of(INPUT) == 7


async def test_a_fold_that_reaches_beyond_what_was_applied_is_applied() -> None:
    app = StubApp(next_offset=3)
    await app.process(fold_of(3, 4))
    await app.process(fold_of(3, 6))
    assert app.applied() == [3, 4, 5, 6]
    assert app.inputs.next_of(INPUT) == 7
    assert app.sought == []


async def test_a_fold_of_an_earlier_assignment_is_dropped() -> None:
    app = StubApp(next_offset=3)
    await app.process(fold_of(3, 6), generation=GENERATION - 1)
    assert app.applied() == []
    assert app.sought == []
    assert app.inputs.next_of(INPUT) == 3


@pytest.mark.parametrize("state", ["not owned", "not recovered", "not sought"])
async def test_a_fold_that_the_partition_is_not_ready_for_is_dropped(state: str) -> None:
    app = StubApp(next_offset=NOTHING if state == "not sought" else 3)
    if state == "not owned":
        app.holdings.clear()
    app.holding.active = state != "not recovered"
    await app.process(fold_of(3, 6))
    assert app.applied() == []
    assert app.sought == []


async def test_every_stage_of_a_batch_is_measured_and_waiting_counts_from_decoded() -> None:
    app = StubApp(next_offset=3)
    fold = fold_of(3, 6)
    assert time.perf_counter() - fold.decoded_at < 60
    fold.decoded_at -= 1000
    await app.process(fold)
    assert set(app.stages) == set(STAGES)
    assert 1000 < app.stages["wait"] < 1060
    assert app.stages["decode"] == fold.decode_seconds


async def test_the_wait_for_a_checkpoint_of_the_partition_is_waiting() -> None:
    app = StubApp(next_offset=3)
    fold = fold_of(3, 6)
    async with app.holding.lock:
        processing = asyncio.create_task(app.process(fold))
        await asyncio.sleep(0)
        assert app.stages == {}
        released = time.perf_counter()
    await processing
    assert app.stages["wait"] >= released - fold.decoded_at
