"""Sends the lines of files to `payments`, each once, also over a run that was killed."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from streams.brokers.clients import consumer_settings, producer_settings
from streams.contract.messages import Tick
from streams.decode.routing import home_of
from streams.errors import BrokerError
from streams.replay.pacing import Hours, Pace
from streams.replay.progress import Progress, save
from streams.replay.reading import Line, read
from streams.settings import Settings

CHECKPOINT_S = 1.0
FLUSH_TIMEOUT_S = 25
LONGEST_NAP_S = 0.2
LINES_A_STEP = 128
"""Lines between two moves of the progress bar."""
REMEMBERED_MERCHANTS = 65_536
"""kafka-python hashes a key in Python: dearer than to look it up."""


@dataclass
class Survey:
    """What stands in the files.

    Attributes:
        lines: Number of lines.
        invalid: How many of them cannot be sent.
        problems: The first of those, as `file:line: what is wrong`.
        first_at: Event time of the first good line, ms; None when there is none.
        in_order: Whether no good line is earlier than one before it.
    """

    lines: int = 0
    invalid: int = 0
    problems: list[str] = field(default_factory=list)
    first_at: int | None = None
    in_order: bool = True


def survey(files: Sequence[Path], shown: int = 20) -> Survey:
    """Read every file once before anything is sent.

    Args:
        files: In the order in which they will be sent.
        shown: How many problems to keep.

    Raises:
        OperatorError: A file cannot be read.
    """
    found, newest = Survey(), 0
    for path in files:
        for line in read(path):
            found.lines += 1
            if line.problem:
                found.invalid += 1
                if len(found.problems) < shown:
                    found.problems.append(f"{path}:{line.number}: {line.problem}")
            if line.event is not None:
                if found.first_at is None:
                    found.first_at = line.event.occurred_at
                found.in_order &= line.event.occurred_at >= newest
                newest = max(newest, line.event.occurred_at)
    return found


class Replay:
    """One run of a replay.

    Args:
        settings: Say which broker and topic.
        files: In the order in which they are sent.
        progress: From the run before; changed as lines are acknowledged.
        progress_file: Where it is kept.
        ticks: Whether to send ticks from the payments' times.
        send_invalid: Whether to send lines that are not valid, as they are.
    """

    def __init__(
        self,
        settings: Settings,
        files: Sequence[Path],
        progress: Progress,
        progress_file: Path,
        *,
        ticks: bool,
        send_invalid: bool,
    ) -> None:
        self._settings = settings
        self._files = files
        self._progress = progress
        self._file = progress_file
        self._send_invalid = send_invalid
        self._hours = Hours(progress.hour) if ticks else None
        self._topic = settings.topics.payments.name
        self._sending: list[Any] = []
        self._partition_of = lru_cache(REMEMBERED_MERCHANTS)(self._partition)
        self._already: Counter[bytes] = Counter()
        self._saved_at = 0.0
        self.stopping = False
        """Set it to end in order after the line at hand."""

    def run(self, factor: float | None, advance: Callable[[int], None]) -> None:
        """Send what is not done yet.

        Args:
            factor: Seconds of event time a second; None for as fast as possible.
            advance: Called with the number of lines done since its last call.

        Raises:
            BrokerError: The broker refused or went away; what was acknowledged is recorded.
        """
        try:
            self._look_behind()
            self._producer = KafkaProducer(**producer_settings(self._settings))
            try:
                self._send_all(factor, advance)
            finally:
                self._producer.close(timeout=5)
        except KafkaError as error:
            raise BrokerError(
                f"The broker {self._settings.bootstrap_servers} did not take the payments "
                f"({error}): run the same command again to go on."
            ) from error

    def _look_behind(self) -> None:
        """Find where the topic ends, and what a run that was killed sent behind its record."""
        partitions = [
            TopicPartition(self._topic, number) for number in range(self._settings.partitions)
        ]
        consumer = KafkaConsumer(**consumer_settings(self._settings))
        try:
            ends: dict[Any, int] = consumer.end_offsets(partitions)
            if self._progress.clean:
                self._progress.offsets = {p.partition: end for p, end in ends.items()}
                return
            consumer.assign(partitions)
            for each in partitions:
                consumer.seek(each, self._progress.offsets[each.partition])
            while any(consumer.position(each) < ends[each] for each in partitions):
                for each, records in consumer.poll(timeout_ms=500).items():
                    for record in records:
                        if record.value is not None:
                            self._already[_mark(each.partition, record.value)] += 1
        finally:
            consumer.close()

    def _send_all(self, factor: float | None, advance: Callable[[int], None]) -> None:
        lines = chain.from_iterable(read(path) for path in self._files)
        rest = _behind(lines, self._progress.lines)
        pace, untold = None, 0
        self._checkpoint(clean=False)
        for line in rest:
            if line.event is not None:
                pace = pace or Pace(factor, line.event.occurred_at, time.monotonic())
                self._wait_until(pace.due(line.event.occurred_at))
            if self.stopping:
                self._checkpoint(clean=True)
                return
            self._tick(line)
            if not line.problem or self._send_invalid:
                self._send_line(line)
            self._progress.lines += 1
            untold += 1
            if untold == LINES_A_STEP:
                advance(untold)
                untold = 0
            if time.monotonic() - self._saved_at >= CHECKPOINT_S:
                self._checkpoint(clean=False)
        advance(untold)
        self._progress.finished = True
        self._checkpoint(clean=True)

    def _tick(self, line: Line) -> None:
        if self._hours is None or line.event is None or line.problem:
            return
        for at in self._hours.passed(line.event.occurred_at):
            value = msgspec.json.encode(Tick(at))
            for partition in range(self._settings.partitions):
                if not self._is_there(_mark(partition, value)):
                    self._send(value, partition=partition)
        self._progress.hour = self._hours.hour

    def _send_line(self, line: Line) -> None:
        key = None if line.event is None else line.event.merchant_id.encode()
        partition = self._partition_of(key)
        if not (self._already and self._is_there(_mark(partition, line.value))):
            self._send(line.value, key=key, partition=partition)
        self._progress.sent += 1

    def _partition(self, key: bytes | None) -> int:
        """Where Kafka's own clients put a key; all that has none goes to one place."""
        return 0 if key is None else home_of(key, self._settings.partitions)

    def _is_there(self, mark: bytes) -> bool:
        """Whether the run that was killed sent this; each record answers for one line."""
        if not self._already.get(mark):
            return False
        self._already[mark] -= 1
        if not self._already[mark]:
            del self._already[mark]
        return True

    def _send(self, value: bytes, **where: Any) -> None:
        self._sending.append(self._producer.send(self._topic, value=value, **where))

    def _checkpoint(self, *, clean: bool) -> None:
        """Wait until all that was sent is acknowledged, and record it."""
        self._producer.flush(timeout=FLUSH_TIMEOUT_S)
        for future in self._sending:
            record = future.get(timeout=0)
            self._progress.offsets[record.partition] = record.offset + 1
        self._sending.clear()
        self._progress.clean = clean
        save(self._file, self._progress)
        self._saved_at = time.monotonic()

    def _wait_until(self, due: float) -> None:
        while not self.stopping and (left := due - time.monotonic()) > 0:
            if time.monotonic() - self._saved_at >= CHECKPOINT_S:
                self._checkpoint(clean=False)
            time.sleep(min(left, LONGEST_NAP_S))


def _behind(lines: Iterator[Line], done: int) -> Iterator[Line]:
    for index, line in enumerate(lines):
        if index >= done:
            yield line


def _mark(partition: int, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16, key=partition.to_bytes(4, "big")).digest()
