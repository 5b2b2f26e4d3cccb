"""An application that has waited for too long is referred, and the log says so for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from scorers.applications.messages import Outcome
from scorers.applications.terms import Lending
from streams.brokers.provision import apply_topics
from streams.contract.messages import Relayed
from streams.settings import load_settings
from tests.faults.outcome import everything
from tests.integration.lending import LendingWorker, asks, flat, shops
from tests.integration.log_alone import assert_same, expected, published
from tests.integration.watched import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scorers.applications.messages import Decision
    from streams.brokers.apache import ApacheKafka

WITHIN_MS = 3_600_000
"""Far longer than any machine needs for an application that does not say to be older."""


@pytest.fixture(scope="module")
def worker(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LendingWorker]:
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="late.", ticks=False,
        session_timeout_s=6.0, checkpoint_interval_s=0.2,
    )  # fmt: skip
    apply_topics(settings)
    with LendingWorker(settings, tmp_path_factory.mktemp("late")) as worker:
        worker.publish(flat(1, "platform", 5_000, lending=Lending(answer_within_ms=WITHIN_MS)))
        yield worker


def now() -> int:
    return time.time_ns() // 1_000_000


def answered(decision: Decision) -> tuple[str, str]:
    return str(decision.outcome), decision.reasons[0].code


def test_what_waited_before_it_was_relayed_is_referred_and_stays_so_after_a_kill(
    worker: LendingWorker,
) -> None:
    (shop,) = shops("late", 1)
    worker.pay(shop)
    late, fresh = asks(shop, "platform", 1_000), asks(shop, "platform", 1_000)
    worker.tell(late, timestamp_ms=now() - 2 * WITHIN_MS)
    worker.tell(fresh)
    (first,) = worker.decisions["platform", shop, late.application_id]
    assert (answered(first), first.amount) == (("refer", "too_late"), 0)
    (decision,) = worker.decisions["platform", shop, fresh.application_id]
    assert (answered(decision), decision.available) == (("approve", "within_limits"), 500_000)
    worker.restart(kill=True)
    # Sent again in time it is answered as it was.
    (again,) = worker.ask(late)
    assert msgspec.structs.replace(again, stages={}) == msgspec.structs.replace(first, stages={})
    assert_same(published(worker.settings), expected(worker.settings))


def test_what_stood_behind_others_for_too_long_is_referred(worker: LendingWorker) -> None:
    (shop,) = shops("behind", 1)
    worker.pay(shop)
    topic, asked = worker.settings.topics.applications.name, now()
    for delay, outcome in ((WITHIN_MS, Outcome.APPROVE), (WITHIN_MS + 1, Outcome.REFER)):
        application = asks(shop, "platform", 1_000)
        envelope = Relayed(
            shop, topic, 0, 10**6 + delay, msgspec.Raw(msgspec.json.encode(application)),
            relayed_at=asked, log_delay_ms=delay,
        )  # fmt: skip
        worker.send([Record(msgspec.json.encode(envelope), shop.encode(), timestamp=asked)])
        worker.settle()
        (decision,) = worker.decisions["platform", shop, application.application_id]
        assert decision.outcome is outcome
    assert_same(published(worker.settings), expected(worker.settings))


def test_an_envelope_says_when_it_was_relayed_and_a_decision_how_long_each_stage_took(
    worker: LendingWorker,
) -> None:
    (shop,) = shops("stages", 1)
    worker.pay(shop)
    before, application = now(), asks(shop, "platform", 1_000)
    worker.tell(application, timestamp_ms=before)
    (stages,) = (
        each.stages for each in worker.decisions["platform", shop, application.application_id]
    )
    assert isinstance(stages, dict)
    assert list(stages) == ["to_log", "in_log", "apply", "total"]
    assert stages["total"] == pytest.approx(sum(list(stages.values())[:3]), abs=0.01)
    (envelope,) = (
        msgspec.json.decode(record.value, type=Relayed)
        for record in everything(worker.settings, worker.settings.topics.payments)
        if application.application_id.encode() + b'"' in record.value
    )
    assert envelope.relayed_at == before + stages["to_log"]
    # Known as soon as anything of the partition was applied.
    assert envelope.log_delay_ms is not None
