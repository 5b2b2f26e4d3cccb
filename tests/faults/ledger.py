"""A log of synthetic payments that is written several times, and what it must add up to."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
import numpy as np
from aiokafka.partitioner import murmur2
from kafka import KafkaProducer

from streams.brokers.clients import producer_settings
from streams.contract.messages import PaymentEvent, PaymentKind, Tick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from streams.settings import Settings

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DAYS = 21
"""Event time that a log covers: all of it inside the ring of days, so no tile is let go."""

NONSENSE = b"{not json"


class Entry(NamedTuple):
    """One record of the log; `event` is None for a tick and for nonsense."""

    partition: int
    key: bytes | None
    value: bytes
    timestamp: int
    event: PaymentEvent | None


def make_log(events: int, merchants: int, partitions: int, seed: int = 3) -> list[Entry]:
    """Return synthetic records over three weeks: payments, refunds, duplicates, conflicts,
    late and future ones, other currencies, nonsense, and an hourly tick in every partition."""
    random = np.random.default_rng(seed)
    now = time.time_ns() // 1_000_000
    begins = now - DAYS * DAY_MS
    times = np.linspace(begins, now - MINUTE_MS, events).astype(np.int64).tolist()
    what = random.random(events).tolist()
    which = random.integers(0, 200, events).tolist()
    fresh = _events(random, times, merchants)
    log: list[Entry] = []
    recent: list[PaymentEvent] = []
    hours = itertools.count(begins, HOUR_MS)
    hour = next(hours)
    for at, dice, one in zip(times, what, which, strict=True):
        while hour <= at:
            tick = msgspec.json.encode(Tick(occurred_at=hour))
            log += [Entry(number, None, tick, now, None) for number in range(partitions)]
            hour = next(hours)
        if recent and dice < 0.03:
            event = recent[one % len(recent)]
        elif recent and dice < 0.04:
            event = msgspec.structs.replace(recent[-1], amount=recent[-1].amount + 1)
        else:
            event = next(fresh)
            recent = [*recent[-199:], event]
        key = event.merchant_id.encode()
        number = (murmur2(key) & 0x7FFFFFFF) % partitions
        if dice > 0.995:
            log.append(Entry(number, key, NONSENSE, now, None))
        else:
            log.append(Entry(number, key, msgspec.json.encode(event), now, event))
    return log


def _events(
    random: np.random.Generator, times: list[int], merchants: int
) -> Iterator[PaymentEvent]:
    """Yield a new event for each time; not all are used."""
    n = len(times)
    merchant = (merchants * random.random(n) ** 2).astype(np.int64).tolist()
    amounts = random.integers(100, 30_000, n).tolist()
    payers = random.integers(0, 400, n).tolist()
    back = random.integers(0, HOUR_MS, n).tolist()
    kinds = random.random(n).tolist()
    shifts = random.random(n).tolist()
    far = random.choice([-30 * HOUR_MS, 20 * HOUR_MS, 30 * DAY_MS], n).tolist()
    taking_back = [PaymentKind.REFUND, PaymentKind.CHARGEBACK, PaymentKind.CHARGEBACK_REVERSED,
                   PaymentKind.VOID]  # fmt: skip
    for number, at in enumerate(times):
        kind = taking_back[number % 4] if kinds[number] < 0.04 else PaymentKind.PAYMENT
        if shifts[number] > 0.99:
            at += far[number]
        elif shifts[number] > 0.95:
            at -= back[number]
        yield PaymentEvent(
            payment_id=f"pay-{number}",
            kind=kind,
            merchant_id=f"m{merchant[number]:05d}",
            amount=amounts[number],
            currency="USD" if kinds[number] > 0.998 else "CNY",
            occurred_at=at,
            payer_id=f"u{payers[number]}",
            original_occurred_at=None if kind is PaymentKind.PAYMENT else at - DAY_MS,
        )


@dataclass
class Account:
    """What a merchant's row must add up to."""

    currency: str
    newest_payment: int = -1
    payments: int = 0
    amount: int = 0
    refunds: int = 0
    refunded: int = 0


def accounts(log: list[Entry]) -> dict[bytes, Account]:
    """Add a log up, merchant by merchant, by the rules that the contract states."""
    books: dict[bytes, Account] = {}
    ids: defaultdict[int, set[str]] = defaultdict(set)
    for entry in log:
        event = entry.event
        if event is None or event.occurred_at > entry.timestamp + 5 * MINUTE_MS:
            continue
        book = books.get(event.merchant_id.encode())
        if book is not None and (
            event.occurred_at < book.newest_payment - DAY_MS or event.currency != book.currency
        ):
            continue
        if event.payment_id in ids[entry.partition]:
            continue
        ids[entry.partition].add(event.payment_id)
        _count(books.setdefault(event.merchant_id.encode(), Account(event.currency)), event)
    return books


def _count(book: Account, event: PaymentEvent) -> None:
    match event.kind:
        case PaymentKind.PAYMENT:
            book.payments += 1
            book.amount += event.amount
            book.newest_payment = max(book.newest_payment, event.occurred_at)
        case PaymentKind.VOID:
            book.payments -= 1
            book.amount -= event.amount
        case PaymentKind.REFUND | PaymentKind.CHARGEBACK:
            book.refunds += 1
            book.refunded += event.amount
        case PaymentKind.CHARGEBACK_REVERSED:
            book.refunds -= 1
            book.refunded -= event.amount


class Writer:
    """Writes a log in its order, so that a record's offset follows from the log alone.

    In a `with` block it writes beside it, in a thread; it gives up at the end of the block
    unless `finish` was called.

    Args:
        settings: say where to.
        log: what to write.
        rate: records a second until `finish` is called; as fast as it goes when None.
    """

    def __init__(self, settings: Settings, log: list[Entry], rate: float | None = None) -> None:
        self._settings, self._log, self._rate = settings, log, rate
        self._given_up = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def writing(self) -> bool:
        """Tell whether some of the log is still to come."""
        return self._thread.is_alive()

    def finish(self) -> None:
        """Write what is left as fast as it goes, and wait until the broker has everything.

        Raises:
            Exception: what kept the log from being written.
        """
        self._rate = None
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._given_up = True
        self._thread.join()

    def _run(self) -> None:
        options = producer_settings(self._settings)
        # A broker that is restarted takes longer than a person at a terminal would wait.
        options |= {"delivery_timeout_ms": 180_000, "max_block_ms": 120_000}
        try:
            producer = KafkaProducer(**options)
            try:
                self._write(producer)
            finally:
                producer.close(60)
        except Exception as error:  # noqa: BLE001  (whoever waits for the end gets it)
            self._error = error

    def _write(self, producer: KafkaProducer) -> None:
        topic = self._settings.topics.payments.name
        began = time.monotonic()
        for number, entry in enumerate(self._log):
            producer.send(
                topic, entry.value, entry.key,
                partition=entry.partition, timestamp_ms=entry.timestamp,
            ).add_errback(self._failed)  # fmt: skip
            if self._given_up or self._error is not None:
                return
            rate = self._rate
            if rate is not None and number % 50 == 0:
                time.sleep(max(0.0, number / rate - (time.monotonic() - began)))
        producer.flush()

    def _failed(self, error: Exception) -> None:
        self._error = error


def write(settings: Settings, log: list[Entry]) -> None:
    """Write a whole log at once."""
    with Writer(settings, log) as writer:
        writer.finish()
