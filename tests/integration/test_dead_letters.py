import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition
from typer.testing import CliRunner

from streams.brokers.clients import consumer_settings
from streams.brokers.dead_letters import read_dead_letters, resend
from streams.brokers.provision import apply_topics
from streams.commands.dead_letters import app
from streams.errors import BrokerError, OperatorError
from streams.settings import Settings

OWN_HEADERS = [("trace", b"a"), ("trace", b"\xff"), ("empty", None)]


def headers(settings: Settings, reason: str) -> list[tuple[str, bytes | None]]:
    said = {
        "reason": reason,
        "message": "It was so.",
        "topic": settings.topics.payments.name,
        "partition": "1",
        "offset": "17",
        "timestamp": "1767315600123",
    }
    return [*OWN_HEADERS, *((f"duoshou-{name}", text.encode()) for name, text in said.items())]


@pytest.fixture
async def with_letters(settings: Settings) -> Settings:
    """Settings of a broker on which three dead letters lie, and one record that is none."""
    await asyncio.to_thread(apply_topics, settings)
    letters = ((b"\xffraw\n", "not_utf8"), (None, "null_value"), (b"x", "corrupt_batch"))
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        name = settings.topics.dead_letters.name
        for value, reason in letters:
            key = None if value is None else b"m1"
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=5, headers=headers(settings, reason))
            await (await producer.send_batch(batch, name, partition=0))
        await producer.send_and_wait(name, value=b"not ours", partition=3)
    return settings


@pytest.fixture
def run(with_letters: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in with_letters.as_environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def payments(settings: Settings) -> list[Any]:
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


def test_letters_are_listed_with_their_reason_and_counted(run: Any) -> None:
    listed = run("list")
    assert "3 dead letters" in listed
    assert "1 not_utf8" in listed
    data = json.loads(run("list", "--json", "--reason", "not_utf8"))
    assert [(each["address"], each["why"]["duoshou-reason"]) for each in data] == [
        ("0:0", "not_utf8")
    ]


def test_a_letter_is_shown_whole_whatever_its_bytes(run: Any) -> None:
    shown = run("show", "0:0")
    for part in (r"\xffraw\n", "m1", "trace", "(null)", "It was so.", "offset 17"):
        assert part in shown


def test_a_letter_goes_back_as_it_was_and_only_once(run: Any, with_letters: Settings) -> None:
    assert "Resent 1; 0 had been resent before." in run("resend", "0:0")
    assert "Resent 0; 1 had been resent before." in run("resend", "0:0")
    (record,) = payments(with_letters)
    assert (record.key, record.value) == (b"m1", b"\xffraw\n")
    assert list(record.headers) == OWN_HEADERS
    states = {letter.address: letter.resent for letter in read_dead_letters(with_letters)}
    assert states == {"0:0": True, "0:1": False, "0:2": False}


def test_all_goes_back_but_whole_batches(run: Any, with_letters: Settings) -> None:
    told = run("resend", "--all")
    assert "Resent 2" in told
    assert "1 hold a whole record batch" in told
    sent = {(record.key, record.value) for record in payments(with_letters)}
    assert sent == {(b"m1", b"\xffraw\n"), (None, None)}


def test_a_letter_that_is_not_there_is_named(run: Any) -> None:
    with pytest.raises(OperatorError, match="no dead letter 9:9"):
        run("show", "9:9")


def test_resending_needs_to_be_told_what(run: Any) -> None:
    with pytest.raises(OperatorError, match="Say which"):
        run("resend")


def test_a_letter_whose_topic_is_gone_is_not_marked_as_resent(with_letters: Settings) -> None:
    import dataclasses

    import msgspec

    letter = read_dead_letters(with_letters)[0]
    lost = dataclasses.replace(
        letter, why=msgspec.structs.replace(letter.why, topic="no-such-topic")
    )
    with pytest.raises(BrokerError, match="after 0 letters"):
        resend(with_letters, [lost])
    assert not any(each.resent for each in read_dead_letters(with_letters))


def test_without_the_topic_the_command_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="run `duoshou topics apply`"):
        read_dead_letters(settings)
