"""A lender's reader on a real broker: `duoshou lender`, and both readers of `docs/lenders.md`."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from kafka import KafkaProducer

from streams.brokers.clients import producer_settings
from streams.brokers.jars import server_jars
from streams.brokers.process import free_port
from streams.brokers.provision import apply_topics
from streams.contract.messages import LimitUpdate
from streams.lender.answers import Answered
from streams.lender.book import LimitBook, Taken
from streams.lender.state import load
from streams.settings import Settings, load_settings
from tests.streams.lender.updates import (
    BROKEN,
    NEWEST,
    UPDATES,
    claim_answer,
    decision,
    encoded,
    fund_answer,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.contract.topics import Topic

PAGE = Path(__file__).parents[2] / "docs" / "lenders.md"
WITHIN_S = 60


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a broker that has the topics."""
    apply_topics(settings)
    return settings


def delivery(seed: int) -> list[bytes | None]:
    """Every update twice and every broken record once, in an order of its own."""
    values: list[bytes | None] = [*map(encoded, UPDATES), *map(encoded, UPDATES), *BROKEN]
    random.Random(seed).shuffle(values)
    return values


def send(settings: Settings, values: Iterable[bytes | None], topic: Topic | None = None) -> None:
    """Write records in their order to the partition of m1, as a worker keyed by merchant would."""
    topic = topic or settings.topics.limit_updates("platform")
    producer = KafkaProducer(**producer_settings(settings))
    try:
        for value in values:
            producer.send(topic.name, value, b"m1", partition=1 % topic.partitions)
        producer.flush(WITHIN_S)
    finally:
        producer.close()


def command(*arguments: str, lender: str = "platform") -> list[str]:
    return [sys.executable, "-m", "streams.commands.main", "lender", "--id", lender, *arguments]


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | settings.as_environment()


def run(
    settings: Settings, *arguments: str, lender: str = "platform"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, lender=lender),
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def received(lines: str) -> tuple[list[LimitUpdate], dict[str, Any]]:
    """The updates that were printed, and the summary."""
    *updates, summary = [json.loads(line) for line in lines.splitlines()]
    return (
        [msgspec.convert(each["limit_update"], LimitUpdate) for each in updates],
        summary["summary"],
    )


def newest(updates: Iterable[LimitUpdate]) -> list[LimitUpdate]:
    """The last update of each merchant and product."""
    last = {(each.merchant_id, each.product): each for each in updates}
    return [last[key] for key in sorted(last)]


def test_shuffled_doubled_and_broken_records_lead_to_the_highest_versions(
    settings: Settings,
) -> None:
    values = delivery(1)
    send(settings, values)
    done = run(settings, "--until-end", "--json")
    assert done.returncode == 0, done.stderr
    updates, summary = received(done.stdout)
    assert newest(updates) == NEWEST
    expected = LimitBook("platform")
    for value in values:
        expected.take(value)
    assert summary == {
        "lender": "platform",
        "limits": len(NEWEST),
        "taken": {str(taken): expected.counts[taken] for taken in Taken},
        "decisions": dict.fromkeys(map(str, Answered), 0),
        "fund_answers": dict.fromkeys(map(str, Answered), 0),
        "claim_answers": dict.fromkeys(map(str, Answered), 0),
    }


FIRST = decision("m1", "a1")
REDEEMED = fund_answer("m1", "e1")
OTHER = decision("m1", "a1", amount=1, source_offset=99)
CLAIMED = claim_answer("m1", "c1")
OTHER_CLAIM = claim_answer("m1", "c1", covered=120_000, uncovered=0)


def answers(settings: Settings) -> None:
    """An application and a claim that are answered again, in another way too, and a redemption."""
    again = msgspec.structs.replace(FIRST, stages={"total": 812.0})
    topics = settings.topics
    send(settings, map(encoded, (FIRST, again, OTHER)), topics.decisions("platform"))
    send(settings, map(encoded, (REDEEMED, REDEEMED)), topics.fund_answers("platform"))
    send(settings, map(encoded, (CLAIMED, CLAIMED, OTHER_CLAIM)), topics.claim_answers("platform"))


def test_the_first_answer_counts_and_another_one_is_an_error_that_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    answers(settings)
    done = run(settings, "--until-end", "--json", "--state", str(state))
    assert done.returncode == 0
    *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"decision": json.loads(encoded(FIRST))} in lines
    assert {"fund_answer": json.loads(encoded(REDEEMED))} in lines
    assert {"claim_answer": json.loads(encoded(CLAIMED))} in lines
    conflicts = [
        {"conflict": {"decision": json.loads(encoded(OTHER))}},
        {"conflict": {"claim_answer": json.loads(encoded(OTHER_CLAIM))}},
    ]
    assert all(each in lines for each in conflicts)
    assert len(lines) == 5
    none = dict.fromkeys(map(str, Answered), 0)
    counts = none | {"applied": 1, "repeated": 1}
    assert summary["summary"]["decisions"] == counts | {"conflict": 1}
    assert summary["summary"]["fund_answers"] == counts
    assert summary["summary"]["claim_answers"] == counts | {"conflict": 1}
    complaints = sorted(done.stderr.splitlines())
    assert [each.split(" says something else than the one before")[0] for each in complaints] == [
        "ERROR: a claim_answer of m1", "ERROR: a decision of m1",
    ]  # fmt: skip
    # What was known counts after a restart too.
    answers(settings)
    again = run(settings, "--until-end", "--json", "--state", str(state))
    *lines, summary = [json.loads(line) for line in again.stdout.splitlines()]
    assert len(lines) == 2
    assert all(each in lines for each in conflicts)
    assert summary["summary"]["decisions"] == none | {"repeated": 2, "conflict": 1}
    assert summary["summary"]["fund_answers"] == none | {"repeated": 2}
    assert summary["summary"]["claim_answers"] == none | {"repeated": 2, "conflict": 1}


def test_a_person_sees_a_line_an_answer(settings: Settings) -> None:
    answers(settings)
    done = run(settings, "--until-end")
    assert "m1 application a1: approve 8,000.00 CNY (It fits.)" in done.stdout.splitlines()
    assert (
        "m1 redemption e1: T+0 10,000.00 CNY, T+1 2,000.00 CNY, refused 0.00 CNY"
        in done.stdout.splitlines()
    )
    assert "m1 claim c1: covered 800.00 CNY, uncovered 400.00 CNY" in done.stdout.splitlines()
    assert "ERROR m1 application a1: approve 0.01 CNY (It fits.)" in done.stdout.splitlines()
    assert "1 applications answered; records taken: 1 applied, 1 repeated, 1 c" in done.stdout


def test_a_restart_goes_on_where_it_stopped(settings: Settings, tmp_path: Path) -> None:
    state, values = tmp_path / "state.json", delivery(2)
    half = len(values) // 2
    printed: list[LimitUpdate] = []
    for part in (values[:half], values[half:], []):
        send(settings, part)
        done = run(settings, "--until-end", "--json", "--state", str(state))
        assert done.returncode == 0, done.stderr
        updates, summary = received(done.stdout)
        assert sum(summary["taken"].values()) == len(part)
        printed += updates
    assert newest(printed) == NEWEST
    assert len({(each.merchant_id, each.product, each.version) for each in printed}) == len(printed)
    kept = load(state, "platform")
    assert kept.limits == NEWEST
    assert kept.positions == {
        settings.topics.limit_updates("platform").name: {0: 0, 1: len(values), 2: 0, 3: 0},
        settings.topics.decisions("platform").name: {0: 0},
        settings.topics.fund_answers("platform").name: {0: 0},
        settings.topics.claim_answers("platform").name: {0: 0},
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_follows_until_it_is_told_to_stop_and_keeps_what_it_knows(
    settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    state = tmp_path / "state.json"
    with subprocess.Popen(
        command("--json", "--state", str(state)),
        env=environment(settings) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for version in (3, 4):
                send(settings, [encoded(update("m7", version, version * 100))])
                line = json.loads(process.stdout.readline())
                assert line["limit_update"]["version"] == version
            process.send_signal(number)
            rest, complaints = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()
    assert process.returncode == 0, complaints
    assert json.loads(rest)["summary"]["taken"]["applied"] == 2
    assert load(state, "platform").limits == [update("m7", 4, 400)]


def test_a_person_sees_a_line_a_change(settings: Settings) -> None:
    send(settings, [encoded(UPDATES[0]), None, encoded(UPDATES[1])])
    done = run(settings, "--until-end")
    first, second, summary, *_ = done.stdout.splitlines()
    assert first.startswith("m1 loan version 1 0.00 CNY -> 5,000.00 CNY: ")
    assert second.startswith("m1 loan version 2 5,000.00 CNY -> 4,000.00 CNY: ")
    assert summary.startswith("1 limits known; records taken: 2 applied, 0 repeated, 0 older, 1 t")


def test_a_topic_that_was_made_anew_is_not_taken_for_the_old_one(
    settings: Settings, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    topic = settings.topics.limit_updates("platform").name
    state.write_text(json.dumps({"lender": "platform", "positions": {topic: {2: 5}}}))
    done = run(settings, "--until-end", "--state", str(state))
    assert done.returncode == 1
    assert f"Partition 2 of {topic} ends at 0 and was read up to 5 before" in done.stderr


def test_a_lender_that_is_not_there_is_told_who_is(settings: Settings) -> None:
    done = run(settings, lender="quay")
    assert (done.returncode, done.stderr) == (
        1,
        "There is no lender 'quay': there are platform.\n",
    )


def test_a_missing_topic_and_an_absent_broker_are_one_sentence(settings: Settings) -> None:
    elsewhere = load_settings(bootstrap_servers=settings.bootstrap_servers, topic_prefix="nowhere.")
    absent = load_settings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    for wrong, said in ((elsewhere, "run `duoshou topics apply`"), (absent, "There is no broker")):
        done = run(wrong, "--until-end")
        assert done.returncode == 1
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def block(language: str) -> str:
    """The one block of a language on the page for lenders."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("seed", range(20))
def test_the_python_of_the_page_knows_what_the_book_knows(seed: int) -> None:
    page: dict[str, Any] = {}
    exec(block("python"), page)
    known: dict[tuple[str, str], Any] = {}
    changes = Counter(page["take"](known, "platform", value) for value in delivery(seed))
    assert [msgspec.convert(known[key], LimitUpdate) for key in sorted(known)] == NEWEST
    assert changes[True] >= len(NEWEST)


@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not installed (a JDK has it)")
def test_the_java_of_the_page_knows_what_the_book_knows(settings: Settings, tmp_path: Path) -> None:
    jars = server_jars()
    source = tmp_path / "Limits.java"
    source.write_text(block("java"))
    subprocess.run(
        ["javac", "-Xlint:all,-processing,-path,-classfile", "-Werror", "-cp", f"{jars}/*",
         "-d", str(tmp_path), str(source)],
        check=True,
    )  # fmt: skip
    send(settings, itertools.chain(delivery(3), delivery(4)))
    client = tmp_path / "client.properties"
    client.write_text(f"bootstrap.servers={settings.bootstrap_servers}\n")
    topic = settings.topics.limit_updates("platform").name
    done = subprocess.run(
        ["java", "-cp", f"{jars}/*{os.pathsep}{tmp_path}",
         "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
         "Limits", str(client), topic, "platform"],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    known = [msgspec.json.decode(line, type=LimitUpdate) for line in done.stdout.splitlines()]
    assert len(known) == len(NEWEST)
    assert newest(known) == NEWEST
