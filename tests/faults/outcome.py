"""What a run over a log left behind, read as any client of the topics would."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError, NotCoordinatorError

from features.layout import ROW
from streams.brokers.clients import consumer_settings, kafka_python_options
from streams.contract.messages import LimitUpdate
from streams.state.holding import LONGEST_MERCHANT_ID
from tests.faults.ledger import Account, Entry, accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from kafka.consumer.fetcher import ConsumerRecord

    from streams.contract.topics import Topic
    from streams.settings import Settings

COMMITTED_WITHIN_S = 30.0
COORDINATOR_WITHIN_S = 20.0
RELAYED_WITHIN_S = 60.0


@dataclass
class Outcome:
    """Each merchant's durable row, and every limit update by its version."""

    rows: dict[bytes, bytes]
    updates: dict[bytes, dict[int, LimitUpdate]]

    def account(self, merchant_id: bytes) -> Account:
        """What the row of a merchant adds up to."""
        row = _parsed(self.rows[merchant_id])
        currency = int(row["currency"])
        letters = (currency // 676, currency // 26 % 26, currency % 26)
        return Account(
            currency="".join(chr(65 + letter) for letter in letters),
            newest_payment=int(row["last_at"]),
            payments=int(row["total_payments"]),
            amount=int(row["total_amount"]),
            refunds=int(row["total_refunds"]),
            refunded=int(row["total_refunded"]),
        )


def read_outcome(settings: Settings) -> Outcome:
    """Read rows and updates from the beginning to the present end of their topics.

    A version that was published twice must have the same content both times. Of several rows
    the one with the highest offset counts, as in recovery: a worker that stalled may have
    written an old one late.
    """
    rows: dict[bytes, bytes] = {}
    offsets: dict[bytes, int] = {}
    for record in everything(settings, settings.topics.rows_changelog):
        if len(record.key) <= LONGEST_MERCHANT_ID:
            offset = int(_parsed(record.value)["offset"])
            if offset >= offsets.get(record.key, -1):
                offsets[record.key], rows[record.key] = offset, record.value
    updates: dict[bytes, dict[int, LimitUpdate]] = {}
    for record in everything(settings, settings.topics.limit_updates("platform")):
        update = msgspec.json.decode(record.value, type=LimitUpdate)
        # The only thing in which two runs may differ is the prefix of their topics.
        topic = update.source_topic.removeprefix(settings.topic_prefix)
        update = msgspec.structs.replace(update, source_topic=topic)
        known = updates.setdefault(record.key, {}).setdefault(update.version, update)
        assert known == update, f"published with two contents: {known} and {update}"
    return Outcome(rows, updates)


def assert_same(found: Outcome, quiet: Outcome) -> None:
    """Compare a run with a quiet one over the same log: rows by byte, updates one by one."""
    assert found.rows.keys() == quiet.rows.keys()
    for merchant_id, row in quiet.rows.items():
        if found.rows[merchant_id] != row:
            raise AssertionError(_difference(merchant_id, found.rows[merchant_id], row))
    for merchant_id, versions in quiet.updates.items():
        there = found.updates.get(merchant_id, {})
        assert there.keys() == versions.keys(), merchant_id
        last = max(versions)
        assert there[last] == versions[last]
    # Not only the last: whoever read along saw every step.
    assert found.updates == quiet.updates


def assert_adds_up(found: Outcome, log: list[Entry]) -> None:
    """No payment of the log was lost or counted twice."""
    books = accounts(log)
    assert found.rows.keys() == books.keys()
    for merchant_id, book in books.items():
        assert found.account(merchant_id) == book, merchant_id


def _parsed(row: bytes) -> np.void:
    parsed: np.void = np.frombuffer(row, ROW)[0]
    return parsed


def _difference(merchant_id: bytes, found: bytes, quiet: bytes) -> str:
    ours, theirs = _parsed(found), _parsed(quiet)
    fields = [
        f"{name}: {ours[name]} instead of {theirs[name]}"
        for name in ROW.names or ()
        if not np.array_equal(ours[name], theirs[name])
    ]
    return f"the row of {merchant_id!r} differs in " + "; ".join(fields)


def everything(settings: Settings, topic: Topic) -> Iterator[ConsumerRecord]:
    """Yield all records of a topic, up to its present end."""
    consumer = KafkaConsumer(
        **consumer_settings(settings),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=5000,
    )
    try:
        partitions = [TopicPartition(topic.name, n) for n in range(topic.partitions)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning()
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                yield from records
    finally:
        consumer.close()


class Positions:
    """Watches how far the workers have committed, and where the log ends.

    Use it in a `with` statement.

    Args:
        settings: name the groups.
        relayed: a topic whose events are put into the log, or None for the log itself.
    """

    def __init__(self, settings: Settings, relayed: Topic | None = None) -> None:
        topics = settings.topics
        self._group = topics.application_id if relayed is None else topics.relay_id
        topic = relayed or topics.payments
        self._partitions = [TopicPartition(topic.name, n) for n in range(topic.partitions)]
        self._admin = KafkaAdminClient(**kafka_python_options(settings))
        self._consumer = KafkaConsumer(**consumer_settings(settings))

    def committed(self) -> list[int]:
        """The next offset to read of each partition; 0 where nothing is committed."""
        deadline = time.monotonic() + COORDINATOR_WITHIN_S
        while True:
            try:
                offsets = self._admin.list_group_offsets([self._group])[self._group]
                break
            except (CoordinatorNotAvailableError, NotCoordinatorError):
                # A broker that has only just been started is still making its offsets topic.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.25)
        return [offsets[tp].offset if tp in offsets else 0 for tp in self._partitions]

    def ends(self) -> list[int]:
        """Where each partition of the log ends."""
        ends = self._consumer.end_offsets(self._partitions)
        return [ends[tp] for tp in self._partitions]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._admin.close()
        self._consumer.close()


def await_committed(
    settings: Settings,
    timeout_s: float = COMMITTED_WITHIN_S,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Wait until the group's committed offsets stand at the end of the log.

    Args:
        settings: name the group and the log.
        timeout_s: how long that may take, in seconds.
        meanwhile: called again and again.
    """
    deadline = time.monotonic() + timeout_s
    with Positions(settings) as positions:
        while (committed := positions.committed()) != (ends := positions.ends()):
            assert time.monotonic() < deadline, f"committed {committed}, the log ends at {ends}"
            meanwhile()
            time.sleep(0.25)


def await_relayed(
    settings: Settings, meanwhile: Callable[[], None], timeout_s: float = RELAYED_WITHIN_S
) -> None:
    """Wait until every event that has its place in the log has been put there.

    Args:
        settings: name the group and the topics.
        meanwhile: called again and again.
        timeout_s: how long that may take for each topic, in seconds.
    """
    topics = settings.topics
    for topic in (
        topics.merchant_events, topics.applications, topics.loan_events, topics.fund_events,
        topics.claim_events,
    ):  # fmt: skip
        deadline = time.monotonic() + timeout_s
        with Positions(settings, topic) as positions:
            while (committed := positions.committed()) != (ends := positions.ends()):
                assert time.monotonic() < deadline, f"{topic.name}: {committed} of {ends} relayed"
                meanwhile()
                time.sleep(0.25)
