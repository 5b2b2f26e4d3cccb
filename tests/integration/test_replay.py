import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from kafka import KafkaConsumer, TopicPartition

from streams.brokers.clients import consumer_settings
from streams.brokers.provision import apply_topics
from streams.replay.progress import Progress, load
from streams.settings import Settings

AT = 1_767_315_600_000
HOUR_MS = 3_600_000

Run = Callable[..., subprocess.CompletedProcess[str]]


def payments(path: Path, count: int, step_ms: int = 60_000) -> Path:
    """A file of payments of fifty merchants, in the order of time."""
    with path.open("w") as out:
        for i in range(count):
            event = {
                "payment_id": f"p{i}",
                "kind": "payment",
                "merchant_id": f"merchant-{i % 50}",
                "amount": 100 + i,
                "currency": "CNY",
                "occurred_at": AT + i * step_ms,
            }
            out.write(json.dumps(event) + "\n")
    return path


def command(settings: Settings, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "streams.commands.main", "replay", *arguments),
        *("--bootstrap-servers", settings.bootstrap_servers),
    ]


@pytest.fixture
def replay(settings: Settings) -> Run:
    apply_topics(settings)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(settings, *arguments),
            env=os.environ | {"DUOSHOU_TOPIC_PREFIX": settings.topic_prefix},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def on_the_topic(settings: Settings) -> list[Any]:
    """Every record of `payments`."""
    name = settings.topics.payments.name
    partitions = [TopicPartition(name, n) for n in range(settings.partitions)]
    consumer = KafkaConsumer(**consumer_settings(settings), auto_offset_reset="earliest")
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends, records = consumer.end_offsets(partitions), []
        while any(consumer.position(each) < ends[each] for each in partitions):
            for batch in consumer.poll(timeout_ms=500).values():
                records += batch
        return records
    finally:
        consumer.close()


def payment_ids(records: list[Any]) -> Counter[str]:
    events = [json.loads(record.value) for record in records]
    return Counter(event["payment_id"] for event in events if event["kind"] != "tick")


def test_every_line_is_sent_once_keyed_by_merchant_in_order(
    replay: Run, settings: Settings, tmp_path: Path
) -> None:
    path = payments(tmp_path / "p.jsonl", 500)
    done = replay(str(path))
    assert done.returncode == 0, done.stderr
    records = on_the_topic(settings)
    assert (
        sorted(
            (record.value for record in records if record.key),
            key=lambda value: json.loads(value)["amount"],
        )
        == path.read_bytes().splitlines()
    )
    where: dict[bytes, set[int]] = {}
    all_of_them = list(range(settings.partitions))
    for record in records:
        if record.key:
            where.setdefault(record.key, set()).add(record.partition)
            assert record.partition == DefaultPartitioner()(record.key, all_of_them, all_of_them)
            assert json.loads(record.value)["merchant_id"].encode() == record.key
    assert {len(partitions) for partitions in where.values()} == {1}


def test_each_partition_gets_the_ticks_of_the_hours_that_the_payments_pass(
    replay: Run, settings: Settings, tmp_path: Path
) -> None:
    replay(str(payments(tmp_path / "p.jsonl", 200)))  # 200 minutes from a full hour on
    for partition in range(settings.partitions):
        newest, ticks = 0, []
        for record in on_the_topic(settings):
            if record.partition != partition:
                continue
            event = json.loads(record.value)
            if event["kind"] == "tick":
                ticks.append(event["occurred_at"])
                assert newest < event["occurred_at"]
            newest = max(newest, event["occurred_at"])
        assert ticks == [AT + hour * HOUR_MS for hour in (1, 2, 3)]


def test_a_second_run_of_a_finished_file_sends_nothing(
    replay: Run, settings: Settings, tmp_path: Path
) -> None:
    path = payments(tmp_path / "p.jsonl", 50)
    replay(str(path))
    again = replay(str(path))
    assert again.returncode == 0
    assert "All 50 lines were sent before" in again.stderr
    assert payment_ids(on_the_topic(settings)) == {f"p{i}": 1 for i in range(50)}


def test_bad_lines_are_named_counted_and_left_out(
    replay: Run, settings: Settings, tmp_path: Path
) -> None:
    path = payments(tmp_path / "p.jsonl", 3)
    with path.open("a") as out:
        out.write("{broken\n")
    done = replay(str(path))
    assert done.returncode == 0
    assert f"{path}:4:" in done.stderr
    assert "1 of 4 lines are not valid and are not sent." in done.stderr
    assert "3 of 4 lines are on" in done.stderr
    assert len(payment_ids(on_the_topic(settings))) == 3


def test_bad_lines_are_sent_as_they_are_when_asked(
    replay: Run, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("{broken\n")
    assert replay(str(path), "--send-invalid").returncode == 0
    assert [record.value for record in on_the_topic(settings)] == [b"{broken"]


def test_a_file_out_of_order_brings_no_ticks_and_says_so(
    replay: Run, settings: Settings, tmp_path: Path
) -> None:
    path = payments(tmp_path / "p.jsonl", 200)
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    done = replay(str(path))
    assert "not in the order of time, so no ticks" in done.stderr
    assert len(on_the_topic(settings)) == 200


def started(settings: Settings, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(settings, *arguments),
        env=os.environ | {"DUOSHOU_TOPIC_PREFIX": settings.topic_prefix},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def await_lines(
    running: subprocess.Popen[bytes], kept: Path, path: Path, settings: Settings, lines: int
) -> Progress:
    """Wait until a running replay has recorded so many lines."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if kept.exists():
            progress = load(kept, settings.topics.payments.name, [path])
            if progress.lines >= lines:
                return progress
        assert running.poll() is None, "the replay ended by itself"
        time.sleep(0.02)
    raise AssertionError("the replay does not get on")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_or_killed_goes_on_without_sending_anything_twice(
    replay: Run, settings: Settings, tmp_path: Path, how: signal.Signals
) -> None:
    # About 2,000 payments a second: the file takes several seconds, with ticks in between.
    path, kept = payments(tmp_path / "p.jsonl", 6_000), tmp_path / "kept.json"
    running = started(settings, str(path), "--progress", str(kept), "--speed", "120000x")
    try:
        await_lines(running, kept, path, settings, 1_000)
        # Somewhere between two records of the progress.
        time.sleep(0.5)
    finally:
        running.send_signal(how)
        running.wait(30)
    assert running.returncode == (-how if how is signal.SIGKILL else 130)
    cut = load(kept, settings.topics.payments.name, [path])
    assert not cut.finished
    assert cut.clean == (how is not signal.SIGKILL)
    sent_before = payment_ids(on_the_topic(settings)).total()
    assert sent_before == cut.sent if cut.clean else sent_before > cut.sent
    assert replay(str(path), "--progress", str(kept)).returncode == 0
    records = on_the_topic(settings)
    assert payment_ids(records) == {f"p{i}": 1 for i in range(6_000)}
    ticks = Counter((record.partition, record.value) for record in records if record.key is None)
    assert set(ticks.values()) == {1}
    assert len(ticks) == settings.partitions * ((6_000 - 1) * 60_000 // HOUR_MS)
