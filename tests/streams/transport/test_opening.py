"""Folds are opened by whoever takes them, or in a thread beside the event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CorruptRecordException

from streams.transport.driver import LoopWorker
from streams.transport.fetching import (
    LARGE_FETCH,
    FoldDecoder,
    _KeptRecords,
    folds,
    install,
    take_folds,
)
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.transport.fold import Fold

PAYMENTS, CHANGELOG = TopicPartition("payments", 0), TopicPartition("rows", 0)
VALUE = np.random.default_rng(1).bytes(1000)
MOST = 1 << 20

install()


def log_of(records: int) -> bytes:
    (batch,) = encode_messages([(b"m", VALUE)] * records, compression="none")
    return bytes(batch._build())


SMALL, LARGE = log_of(3), log_of(2 * LARGE_FETCH // len(VALUE))


def fetch_of(*partitions: TopicPartition) -> tuple[Any, SubscriptionState]:
    """Return a consumer with aiokafka's fetcher, which no broker answers."""
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user(partitions)
    for tp in partitions:
        subscriptions.seek(tp, 0)
    incoming = fetcher.Fetcher.__new__(fetcher.Fetcher)
    vars(incoming).update(
        _records={}, _subscriptions=subscriptions, _closed=False, _fetch_waiters=set(),
        _loop=asyncio.get_running_loop(), _wait_consume_future=None,
    )  # fmt: skip
    return SimpleNamespace(_fetcher=incoming), subscriptions


def came(
    consumer: Any,
    subscriptions: SubscriptionState,
    tp: TopicPartition,
    data: bytes,
    decoders: Mapping[str, Callable[[Fold], Any]] | None = None,
    max_batch_bytes: int = MOST,
) -> Any:
    """Let a fetch come, as aiokafka does when the broker has answered."""
    decoder = FoldDecoder(decoders or {}, max_batch_bytes, aside=True)
    records = fetcher.PartitionRecords(
        tp, _KeptRecords(data), [], 0, decoder, None, False, fetcher.READ_UNCOMMITTED
    )
    assignment = subscriptions.subscription.assignment
    consumer._fetcher._records[tp] = fetcher.FetchResult(
        tp, assignment=assignment, partition_records=records, backoff=0
    )
    for waiter in list(consumer._fetcher._fetch_waiters):
        consumer._fetcher._notify(waiter)
    return records


async def test_a_small_fetch_is_opened_by_who_takes_it() -> None:
    consumer, subscriptions = fetch_of(PAYMENTS)
    assert came(consumer, subscriptions, PAYMENTS, SMALL).opening is None
    taken = await take_folds(consumer, {PAYMENTS}, 5.0)
    assert [len(fold) for fold in taken[PAYMENTS]] == [3]
    assert consumer._fetcher._records == {}, "the next fetch may go out"


async def test_a_large_fetch_is_opened_in_a_thread_and_is_what_it_would_be_without() -> None:
    consumer, subscriptions = fetch_of(PAYMENTS)
    threads: list[bool] = []

    def decode(fold: Fold) -> int:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            threads.append(True)
        return len(fold)

    taking = asyncio.create_task(take_folds(consumer, {PAYMENTS}, 5.0))
    await asyncio.sleep(0)
    records = came(
        consumer,
        subscriptions,
        PAYMENTS,
        LARGE,
        decoders={"payments": decode},
        max_batch_bytes=MOST,
    )
    assert records.opening is not None
    (fold,) = (await taking)[PAYMENTS]
    (plain,) = folds(PAYMENTS, LARGE, (), 0, FoldDecoder({}, MOST))
    assert threads == [True]
    assert fold.decoded == len(fold) == len(plain)
    assert (fold.first_offset, fold.last_offset) == (plain.first_offset, plain.last_offset)
    assert np.array_equal(fold.text, plain.text)
    state = subscriptions.subscription.assignment.state_value(PAYMENTS)
    assert state.position == fold.last_offset + 1


async def test_a_fetch_that_opens_to_more_than_may_be_open_comes_in_several_folds() -> None:
    consumer, subscriptions = fetch_of(PAYMENTS)
    batches = [encode_messages([(b"m", VALUE)], compression="snappy")[0] for _ in range(200)]
    data = b"".join(
        place.to_bytes(8, "big") + bytes(batch._build())[8:] for place, batch in enumerate(batches)
    )
    records = came(consumer, subscriptions, PAYMENTS, data, max_batch_bytes=100 * len(VALUE))
    taken: list[Fold] = []
    while sum(len(fold) for fold in taken) < 200:
        taken += (await take_folds(consumer, {PAYMENTS}, 5.0))[PAYMENTS]
    assert len(taken) > 1
    assert [each.first_offset for each in taken[1:]] == [
        each.last_offset + 1 for each in taken[:-1]
    ]
    # Whether there is more behind a fold that is full shows only when that is opened.
    if records.opening is not None:
        await asyncio.wait([records.opening])
    assert await take_folds(consumer, {PAYMENTS}, 0.0) == {}
    assert consumer._fetcher._records == {}


async def test_a_damaged_fetch_is_refused_to_who_takes_it() -> None:
    consumer, subscriptions = fetch_of(PAYMENTS)
    damaged = bytearray(LARGE)
    damaged[-1] ^= 1
    came(consumer, subscriptions, PAYMENTS, bytes(damaged))
    with pytest.raises(CorruptRecordException):
        await take_folds(consumer, {PAYMENTS}, 5.0)


async def test_a_fold_from_before_a_seek_is_dropped() -> None:
    consumer, subscriptions = fetch_of(PAYMENTS)
    records = came(consumer, subscriptions, PAYMENTS, LARGE)
    subscriptions.seek(PAYMENTS, 7)
    await asyncio.wait([records.opening])
    assert await take_folds(consumer, {PAYMENTS}, 0.0) == {}
    assert consumer._fetcher._records == {}


async def test_a_fetch_that_nobody_takes_keeps_nobody_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer, subscriptions = fetch_of(PAYMENTS, CHANGELOG)
    left = came(consumer, subscriptions, CHANGELOG, LARGE)
    await asyncio.wait([left.opening])
    looks = 0
    look = consumer._fetcher.fetched_records

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return await look(*arguments, **options)

    monkeypatch.setattr(consumer._fetcher, "fetched_records", counted)
    assert await take_folds(consumer, {PAYMENTS}, 0.05) == {}
    assert looks == 2
    assert CHANGELOG in consumer._fetcher._records


async def test_what_the_consumer_met_with_is_raised_to_who_waits() -> None:
    consumer, _ = fetch_of(PAYMENTS)
    taking = asyncio.create_task(take_folds(consumer, {PAYMENTS}, 5.0))
    await asyncio.sleep(0)
    (waiter,) = consumer._fetcher._fetch_waiters
    waiter.set_exception(CorruptRecordException("met"))
    with pytest.raises(CorruptRecordException, match="met"):
        await taking


@pytest.mark.parametrize("fails", [False, True])
async def test_a_service_serves_on_the_loop_and_says_when_it_has_failed(fails: bool) -> None:
    shut_down: list[bool] = []
    served = asyncio.Event()

    async def serve() -> None:
        served.set()
        if fails:
            raise OSError("no broker")

    service: Any = SimpleNamespace(
        thread_loop=asyncio.get_running_loop(),
        _serve=serve,
        set_shutdown=lambda: shut_down.append(True),
    )
    worker = LoopWorker(service)
    worker.start()
    await served.wait()
    await asyncio.sleep(0)
    worker.stop()
    assert shut_down == [True] * fails
