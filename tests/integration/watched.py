"""A worker on a real Apache Kafka: records of any shape go in, all it leaves is read back."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from kafka import KafkaConsumer, TopicPartition

from features.layout import ROW
from streams.brokers.clients import client_options, consumer_settings
from streams.contract.messages import LimitUpdate
from streams.settings import Settings
from streams.state.holding import CHECKPOINT_KEY, LONGEST_MERCHANT_ID, CheckpointRecord
from streams.wire.encode import EncodedBatch
from streams.worker.process import WorkerProcess
from streams.worker.relay import relayed_topics
from tests.streams.wire import foreign

RECORDS_A_BATCH = 2_000
SETTLED_WITHIN_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True)
class Record:
    """One record to send; where no partition is given, the key's own."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    partition: int | None = None


def home(key: bytes, partitions: int) -> int:
    """The partition in which Kafka's own clients put a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class WatchedWorker:
    """A worker, a producer before it, and readers of everything behind it.

    Use it in a `with` statement. What was read is as of the last `settle`.

    Args:
        settings: of the worker; the topics are there.
        folder: for its log.

    Attributes:
        rows: each merchant's newest durable row.
        updates: each merchant's limit updates, in the order of the topic.
        checkpoints: the newest checkpoint record of each partition.
        letters: dead letters by the partition and offset at which they were read.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self.rows: dict[bytes, Any] = {}
        self.updates: defaultdict[bytes, list[LimitUpdate]] = defaultdict(list)
        self.checkpoints: dict[int, CheckpointRecord] = {}
        self.letters: dict[tuple[int, int], Any] = {}
        topics = settings.topics
        self._payments = topics.payments.name
        self._rows_topic = topics.rows_changelog.name
        self._updates_topic = topics.limit_updates("platform").name
        self._letters_topic = topics.dead_letters.name
        names = (self._rows_topic, self._updates_topic, self._letters_topic)
        self._input = [TopicPartition(self._payments, n) for n in range(settings.partitions)]
        self._behind = [
            TopicPartition(name, n) for name in names for n in range(settings.partitions)
        ]

    def __enter__(self) -> Self:
        self.process = WorkerProcess(self.settings, self._folder)
        self._reader = KafkaConsumer(
            **consumer_settings(self.settings),
            # Never joins the group: it only asks what the group has committed.
            group_id=self.settings.topics.application_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self._relays = KafkaConsumer(
            **consumer_settings(self.settings), group_id=self.settings.topics.relay_id,
            enable_auto_commit=False,
        )  # fmt: skip
        self._reader.assign(self._behind)
        self._reader.seek_to_beginning(*self._behind)
        self.process.await_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()
        self._relays.close()
        self.process.stop()

    def restart(self, *, kill: bool) -> None:
        """End the process, in order or with SIGKILL, and start another."""
        if kill:
            self.process.kill()
        else:
            self.process.stop()
        self.process = WorkerProcess(self.settings, self._folder)
        self.process.await_ready()

    def send(self, records: Sequence[Record], codec: str = "none") -> list[tuple[int, int]]:
        """Send records in their order; returns partition and offset of each."""
        at: dict[int, list[int]] = defaultdict(list)
        for i, record in enumerate(records):
            partition = record.partition
            if partition is None:
                partition = home(record.key or b"", self.settings.partitions)
            at[partition].append(i)
        batches = []
        where: dict[int, tuple[int, int]] = {}
        for partition, numbers in at.items():
            for first in range(0, len(numbers), RECORDS_A_BATCH):
                some = numbers[first : first + RECORDS_A_BATCH]
                data = foreign.batch(
                    [
                        (each.key, each.value, list(each.headers), each.timestamp)
                        for each in (records[i] for i in some)
                    ],
                    foreign.CODECS[codec],
                )
                batches.append((partition, data, some))
        offsets = self.send_batches([(partition, data, len(n)) for partition, data, n in batches])
        for offset, (partition, _, some) in zip(offsets, batches, strict=True):
            where |= {number: (partition, offset + i) for i, number in enumerate(some)}
        return [where[i] for i in range(len(records))]

    def send_batches(
        self, batches: Sequence[tuple[int, bytes, int]], topic: str | None = None
    ) -> list[int]:
        """Send batches of (partition, bytes, records) as they are; returns their first offsets."""
        return asyncio.run(self._send(batches, topic or self._payments))

    async def _send(self, batches: Sequence[tuple[int, bytes, int]], topic: str) -> list[int]:
        producer = AIOKafkaProducer(**client_options(self.settings), acks="all")
        await producer.start()
        try:
            futures = [
                await producer.send_batch(
                    EncodedBatch(bytearray(data), count), topic, partition=partition
                )
                for partition, data, count in batches
            ]
            return [(await future).offset for future in futures]
        finally:
            await producer.stop()

    def relayed(self) -> bool:
        """Tell whether all that has its place in the log has been put there."""
        partitions = [
            TopicPartition(topic, n)
            for topic in relayed_topics(self.settings.topics)
            for n in range(self.settings.partitions)
        ]
        committed = {tp: self._relays.committed(tp) or 0 for tp in partitions}
        return bool(committed == self._relays.end_offsets(partitions))

    def settle_relayed(self) -> None:
        """Wait until all events have been put into the log, and the log is dealt with."""
        for _ in range(int(SETTLED_WITHIN_S / POLL_S)):
            if self.relayed():
                break
            self.process.check()
            time.sleep(POLL_S)
        else:
            raise AssertionError("events are not relayed")
        self.settle()

    def settle(self, within_s: float = SETTLED_WITHIN_S) -> None:
        """Wait until the committed offsets stand at the log's end; then read what there is."""
        # Counted in naps: a virtual machine that stood still for a minute is not late.
        for _ in range(int(within_s / POLL_S)):
            # In this order: what the worker sends on to another partition is in the log before
            # its source is committed.
            committed = {tp: self._reader.committed(tp) or 0 for tp in self._input}
            ends = self._reader.end_offsets(self._input)
            if committed == ends:
                break
            self.process.check()
            time.sleep(POLL_S)
        else:
            raise AssertionError(f"committed {committed}, the log ends at {ends}")
        self._catch_up()

    def _catch_up(self) -> None:
        ends = self._reader.end_offsets(self._behind)
        while any(self._reader.position(tp) < ends[tp] for tp in self._behind):
            for tp, records in self._reader.poll(timeout_ms=200).items():
                for record in records:
                    self._take(tp.topic, record)

    def _take(self, topic: str, record: Any) -> None:
        if topic == self._letters_topic:
            headers = dict(record.headers)
            source = (int(headers["duoshou-partition"]), int(headers["duoshou-offset"]))
            assert source not in self.letters, f"{source} was dead-lettered twice"
            self.letters[source] = record
        elif topic == self._updates_topic:
            update = msgspec.json.decode(record.value, type=LimitUpdate)
            self.updates[record.key].append(update)
        elif record.key == CHECKPOINT_KEY:
            mark = msgspec.json.decode(record.value, type=CheckpointRecord)
            self.checkpoints[record.partition] = mark
        elif len(record.key) <= LONGEST_MERCHANT_ID:
            self.rows[record.key] = np.frombuffer(record.value[: ROW.itemsize], ROW)[0]
