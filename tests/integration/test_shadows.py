"""A shadow policy on a running worker: counted, and nothing that anybody is told moves."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from scorers.applications.terms import Lending
from streams.brokers.provision import apply_topics
from streams.errors import OperatorError
from streams.settings import load_settings
from tests.integration.lending import YUAN, LendingWorker, asks, enrolled, flat, invoke, say, shops
from tests.integration.log_alone import assert_same, expected, published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.brokers.apache import ApacheKafka

LENDING = Lending(smallest_amount=500 * YUAN, step=100 * YUAN, answer_within_ms=None)
BANK = ('lender="bank-a"', 'product="loan"')
VERSION = "duoshou_shadow_policy_version"


@pytest.fixture
def worker(kafka: ApacheKafka, tmp_path: Path) -> Iterator[LendingWorker]:
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="shadows.", partitions=2,
        lenders=("platform", "bank-a"), ticks=False, session_timeout_s=6.0,
        checkpoint_interval_s=0.2,
    )  # fmt: skip
    apply_topics(settings)
    with LendingWorker(settings, tmp_path) as worker:
        worker.publish(*(flat(1, name, 50_000, lending=LENDING) for name in settings.lenders))
        yield worker


def evaluations(worker: LendingWorker, compared: str) -> float:
    return worker.process.metric(
        "duoshou_shadow_evaluations_total", *BANK, f'compared="{compared}"'
    )


def amount(worker: LendingWorker, of: str) -> float:
    return worker.process.metric("duoshou_shadow_minor_units_total", *BANK, f'of="{of}"')


def pay_until_it_is_version(worker: LendingWorker, version: int, *shops: str) -> None:
    """A shadow is taken up by a partition's next checkpoint, and for that something must come."""
    deadline = time.monotonic() + 30
    while worker.process.metric(VERSION, *BANK) != version:
        assert time.monotonic() < deadline
        worker.pay(*shops)


def test_a_shadow_is_counted_and_nothing_follows_from_it(
    worker: LendingWorker, tmp_path: Path
) -> None:
    few = shops("shadow", 3, partition=0, partitions=2)
    file = tmp_path / "shadow.json"
    shadow = flat(1, "bank-a", 80_000, shadow=True, lending=LENDING)
    file.write_bytes(msgspec.json.encode(shadow))
    assert "bank-a, loan (shadow), version 1" in say(worker, "validate", str(file))
    refused = invoke(worker, "retire", "bank-a", "loan", "--shadow").exception
    assert isinstance(refused, OperatorError)
    assert "no shadow policy of bank-a for loan" in str(refused)
    worker.tell(*(enrolled(shop, "bank-a") for shop in few))
    worker.pay(*few)
    position = worker.checkpoints[0].policies.position
    before = {key: list(updates) for key, updates in worker.limits.items()}
    preview = say(worker, "preview", str(file))
    assert "(shadow), version 1 changes no limit. In the place of the live policy" in preview
    assert "raise 3 and cut 0 of 3 limits" in preview
    assert "no limit follows from it" in say(worker, "publish", str(file))

    pay_until_it_is_version(worker, 1, *few)
    counted = {of: amount(worker, of) for of in ("shadow", "live", "in_force")}
    higher = evaluations(worker, "higher")
    worker.pay(*few)
    assert evaluations(worker, "higher") == higher + 3
    assert evaluations(worker, "same") == evaluations(worker, "lower") == 0
    gained = {of: (amount(worker, of) - start) / YUAN for of, start in counted.items()}
    assert gained == {"shadow": 240_000, "live": 150_000, "in_force": 150_000}

    (decision,) = worker.ask(asks(few[0], "bank-a", 60_000))
    assert (decision.amount, decision.policy_version) == (50_000 * YUAN, 1)
    worker.restart(kill=True)
    pay_until_it_is_version(worker, 1, *few)
    assert worker.limits == before
    assert worker.checkpoints[0].policies.position == position
    listed = json.loads(say(worker, "list", "--json"))["policies"]
    assert [each["shadow"] for each in listed] == [False, True, False]
    assert "bank-a │ loan (shadow) │ 1 │ 80,000.00 CNY" in say(worker, "list")

    words = say(worker, "retire", "bank-a", "loan", "--shadow", "--at", str(worker.clock))
    assert words.startswith("Published bank-a, loan (shadow), version 2.")
    pay_until_it_is_version(worker, 0, *few)
    higher = evaluations(worker, "higher")
    worker.pay(*few)
    assert evaluations(worker, "higher") == higher
    assert worker.limits == before
    assert_same(published(worker.settings), expected(worker.settings))
