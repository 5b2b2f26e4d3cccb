"""One lender's trouble moves no figure of another lender."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from scorers.applications.messages import Decision, Outcome, reproducible
from scorers.applications.terms import Lending
from scorers.policy import dump_policy
from streams.brokers.clients import consumer_settings
from streams.brokers.provision import apply_topics
from streams.brokers.reading import whole_topic
from streams.contract.messages import LimitUpdate
from streams.settings import load_settings
from tests.integration.lending import YUAN, LendingWorker, asks, enrolled, flat, shops
from tests.integration.watched import POLL_S, SETTLED_WITHIN_S
from tests.streams.wire import foreign

if TYPE_CHECKING:
    from pathlib import Path

    from streams.brokers.apache import ApacheKafka
    from streams.contract.topics import Topic
    from streams.settings import Settings

DAY = 86_400_000
ROUNDS = 4
SMALL = Lending(smallest_amount=100 * YUAN, step=100 * YUAN, answer_within_ms=None)
BEGAN = time.time_ns() // 1_000_000 // DAY * DAY - (ROUNDS + 2) * DAY
"""Event time of both runs, epoch ms."""

SHOPS = [shop for n in range(4) for shop in shops("apart", 2, n)]


class Said(NamedTuple):
    """What one lender was told, without ids and offsets of the log that led to it."""

    limits: dict[str, list[LimitUpdate]]
    """Updates of each merchant, in the order of the topic."""
    decisions: dict[str, list[bytes]]
    """Answers to each merchant, likewise."""


def said_to(settings: Settings, lender: str) -> Said:
    """Read all that one lender was told."""
    said = Said(defaultdict(list), defaultdict(list))
    for record in whole_topic(settings, settings.topics.limit_updates(lender)):
        update = msgspec.json.decode(record.value, type=LimitUpdate)
        said.limits[update.merchant_id].append(
            msgspec.structs.replace(update, source_topic="payments", source_offset=0)
        )
    for record in whole_topic(settings, settings.topics.decisions(lender)):
        decision = msgspec.json.decode(record.value, type=Decision)
        said.decisions[decision.merchant_id].append(
            reproducible(
                msgspec.structs.replace(decision, source_topic="payments", source_offset=0)
            )
        )
    return said


def answers(said: Said) -> list[Decision]:
    """All decisions, decoded."""
    every = [raw for answered in said.decisions.values() for raw in answered]
    return [msgspec.json.decode(raw, type=Decision) for raw in every]


def publish_broken(worker: LendingWorker, lender: str) -> None:
    """Publish policies that no worker may take up, and wait until each has been refused."""
    sound = dump_policy(flat(7, lender, 9_000))
    broken = [
        b"{",
        b"",
        sound.replace(b'"cap":900000', b'"cap":-1'),
        sound.replace(b'"version":7', b'"version":"seven"'),
        dump_policy(flat(1, lender, 9_000)),
    ]
    before = worker.process.log.read_bytes().count(b"what was in force stays")
    data = foreign.batch(
        [(b"%d" % n, each, [], worker.clock) for n, each in enumerate(broken)],
        foreign.CODECS["none"],
    )
    worker.send_batches([(0, data, len(broken))], worker.settings.topics.policies.name)
    for _ in range(int(SETTLED_WITHIN_S / POLL_S)):
        refused = worker.process.log.read_bytes().count(b"what was in force stays") - before
        if refused == len(broken):
            return
        worker.process.check()
        time.sleep(POLL_S)
    raise AssertionError(f"{refused} of {len(broken)} policies were refused")


def stopped_reader(settings: Settings, topic: Topic) -> KafkaConsumer:
    """A lender's consumer that has read the first records of a topic, and reads no more."""
    consumer = KafkaConsumer(
        **consumer_settings(settings), group_id="lender-bank-a.stopped",
        auto_offset_reset="earliest", max_poll_records=1,
    )  # fmt: skip
    consumer.assign([TopicPartition(topic.name, 0)])
    for _ in range(int(SETTLED_WITHIN_S / POLL_S)):
        if consumer.poll(timeout_ms=int(POLL_S * 1000)):
            return consumer
    raise AssertionError(f"nothing has come on {topic.name}")


def play(kafka: ApacheKafka, folder: Path, *, trouble: bool) -> Settings:
    """Let both lenders lend to the same merchants for some days; return where it is to be read.

    Nobody reads the topics of bank-a meanwhile.

    Args:
        kafka: the broker.
        folder: for the worker's log.
        trouble: whether bank-a is in trouble.
    """
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix="apart-troubled." if trouble else "apart-quiet.",
        lenders=("platform", "bank-a", "bank-b"), ticks=False, session_timeout_s=6.0,
        checkpoint_interval_s=0.2,
    )  # fmt: skip
    apply_topics(settings)
    # Held back for good, so that a budget that is used up stays so.
    lending = msgspec.structs.replace(
        SMALL, budget=4 * 1_000 * YUAN if trouble else None, reservation_ms=30 * DAY
    )
    with LendingWorker(settings, folder, read=("platform", "bank-b")) as worker:
        worker.clock = BEGAN
        worker.publish(
            flat(1, "platform", 1_000_000),
            flat(1, "bank-a", 50_000, lending=lending),
            # Limits that payments move.
            flat(1, "bank-b", 500, advance_rate=0.5, cap=50_000 * YUAN, lending=SMALL),
        )
        worker.pay(*SHOPS)
        worker.tell(*(enrolled(shop, name) for shop in SHOPS for name in ("bank-a", "bank-b")))
        stopped = None
        for number in range(ROUNDS):
            worker.clock += DAY
            if trouble:
                publish_broken(worker, "bank-a")
            worker.pay(*SHOPS, amount=20_000 * YUAN * (number + 1))
            worker.tell(
                *(asks(shop, "bank-a", 1_000, application_id=f"a{number}") for shop in SHOPS)
            )
            if trouble and stopped is None:
                stopped = stopped_reader(settings, settings.topics.decisions("bank-a"))
            # Each answer has come when `ask` returns.
            worker.ask(*(asks(shop, "bank-b", 700, application_id=f"b{number}") for shop in SHOPS))
        if stopped is not None:
            stopped.close()
    return settings


@pytest.fixture(scope="module")
def runs(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Settings]:
    """Where the quiet run is to be read, and the one in which bank-a is in trouble."""
    quiet = play(kafka, tmp_path_factory.mktemp("quiet"), trouble=False)
    return quiet, play(kafka, tmp_path_factory.mktemp("troubled"), trouble=True)


def test_a_lender_in_trouble_moves_no_limit_and_no_decision_of_another(
    runs: tuple[Settings, Settings],
) -> None:
    """Same merchants, same traffic: once quiet, once with bank-a in trouble of every kind.

    Its policies are malformed or of a version that was there; its budget is used up, so that
    partitions ask each other for more through the very logs that bank-b's answers come from; its
    topics are read by nobody, or by a consumer that has stopped. The last holds nothing up by
    construction: a Kafka broker keeps no account of who has read what, and a producer never waits
    for a consumer; it is seen here in that bank-b's answers come.

    Everybody's limit is so high that what bank-a lends leaves room for all that bank-b may lend.
    Else the two do touch each other, and shall: what all lenders together have lent to a merchant
    stays within its capacity, so what bank-a does not lend is there for bank-b.
    """
    quiet, troubled = (said_to(settings, "bank-b") for settings in runs)
    assert troubled.limits == quiet.limits
    assert troubled.decisions == quiet.decisions
    # Limits that moved, and answers of every kind.
    assert set(quiet.limits) == set(quiet.decisions) == set(SHOPS)
    assert min(len(updates) for updates in quiet.limits.values()) > 2
    given = {each.outcome for each in answers(quiet)}
    assert given >= {Outcome.APPROVE, Outcome.COUNTER_OFFER}
    assert sum(len(raw) for raw in quiet.decisions.values()) == ROUNDS * len(SHOPS)


def test_the_lender_was_in_trouble_indeed(runs: tuple[Settings, Settings]) -> None:
    quiet, troubled = (said_to(settings, "bank-a") for settings in runs)
    assert {each.outcome for each in answers(quiet)} == {Outcome.APPROVE}
    refused = [each for each in answers(troubled) if each.outcome is not Outcome.APPROVE]
    assert len(refused) > len(answers(troubled)) // 2
    assert {each.reasons[0].code for each in refused} == {"budget"}
    # Nothing of the broken policies was taken up.
    assert troubled.limits == quiet.limits
