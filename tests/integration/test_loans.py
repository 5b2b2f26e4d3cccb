from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from scorers.loans import LoanEvent, LoanKind
from streams.brokers.provision import apply_topics
from streams.contract.messages import PaymentEvent, PaymentKind, Relayed
from tests.integration.loan_log import durable_loans, expected_examples, published_examples
from tests.integration.watched import Record, WatchedWorker, home
from tests.streams.wire import foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

DAY_MS = 86_400_000
NOW = time.time_ns() // 1_000_000
SHOPS = [name for name in (f"shop-{n}" for n in range(40)) if home(name.encode(), 4) == 1][:3]
"""Three merchants of one partition, so that one log holds the order of their loans."""


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WatchedWorker]:
    """A worker without ticks: the events of these tests lie weeks back, a tick would age them."""
    settings = settings.model_copy(update={"ticks": False, "session_timeout_s": 6.0})
    apply_topics(settings)
    with WatchedWorker(settings, tmp_path) as worker:
        yield worker


def payments(day: int, amount: int) -> list[Record]:
    """A payment of each shop, so many days before today."""
    return [
        Record(
            msgspec.json.encode(
                PaymentEvent(
                    payment_id=f"{shop}-{day}", kind=PaymentKind.PAYMENT, merchant_id=shop,
                    amount=amount + n, currency="CNY", occurred_at=NOW - day * DAY_MS,
                    payer_id=f"payer-{n}-{day}",
                )
            ),
            shop.encode(),
        )
        for n, shop in enumerate(SHOPS)
    ]  # fmt: skip


def loan_event(kind: LoanKind, shop: str, loan: str, day: int, **fields: Any) -> LoanEvent:
    usual = LoanEvent(
        event_id=f"{loan}-{kind}",
        kind=kind,
        loan_id=loan,
        lender_id="bank",
        merchant_id=shop,
        product="loan",
        currency="CNY",
        occurred_at=NOW - day * DAY_MS,
        amount=50_000,
    )
    return msgspec.structs.replace(usual, **fields)


def tell(worker: WatchedWorker, *values: LoanEvent | bytes | None, key: bytes = b"any") -> None:
    """Write loan events to partition 0, wherever their merchant belongs."""
    raw = [msgspec.json.encode(each) if isinstance(each, LoanEvent) else each for each in values]
    data = foreign.batch([(key, value, [], NOW) for value in raw], foreign.CODECS["none"])
    topic = worker.settings.topics.loan_events.name
    worker.send_batches([(0, data, len(raw))], topic)
    worker.settle_relayed()


def test_outcomes_late_out_of_order_and_repeated_are_each_learnt_from_once_as_of_the_draw(
    worker: WatchedWorker,
) -> None:
    for day in range(60, 40, -1):
        worker.send(payments(day, 8_000))
    draws = [loan_event(LoanKind.DRAWN, shop, f"l{n}", 40) for n, shop in enumerate(SHOPS, 1)]
    tell(worker, *draws)
    for day in range(39, 10, -1):
        worker.send(payments(day, 900))
    first, second, third = SHOPS
    outcomes = [
        loan_event(LoanKind.DEFAULTED, third, "l3", 10),
        loan_event(LoanKind.SETTLED, first, "l1", 10),
        loan_event(LoanKind.SETTLED, first, "l1", 10),
        loan_event(LoanKind.WRITTEN_OFF, second, "never drawn", 10),
        loan_event(LoanKind.SETTLED, second, "l2", 10),
    ]
    tell(worker, *outcomes)
    examples = published_examples(worker.settings)[1]
    assert [(each.loan_id, each.defaulted) for each in examples] == [
        ("l3", True), ("l1", False), ("l2", False),
    ]  # fmt: skip
    # Nothing of the weak month after the draw is in them.
    assert {each.features["net_28"] for each in examples} == {
        float(20 * (8_000 + n)) for n in range(3)
    }
    assert published_examples(worker.settings) == {
        number: found for number, found in expected_examples(worker.settings).items() if found
    }
    assert [dict(letter.headers)["duoshou-reason"] for letter in worker.letters.values()] == [
        b"unknown_loan"
    ]
    metric = worker.process.metric
    assert metric("duoshou_loan_events_total", 'outcome="duplicate"') == 1
    assert metric("duoshou_loan_events_total", 'outcome="unknown_loan"') == 1
    # The one that defaulted is still owed.
    assert metric("duoshou_loans") == 1


def test_explain_says_what_is_owed_as_of_the_last_checkpoint(worker: WatchedWorker) -> None:
    shop = SHOPS[0]
    worker.send(payments(20, 8_000))
    tell(
        worker,
        loan_event(LoanKind.DRAWN, shop, "l1", 10),
        loan_event(LoanKind.DRAWN, shop, "l2", 9, amount=7_000),
        loan_event(LoanKind.REPAID, shop, "l1", 8, amount=20_000),
        loan_event(LoanKind.OVERDUE, shop, "l1", 7, amount=1_000),
        loan_event(LoanKind.DRAWN, SHOPS[1], "l3", 7),
    )
    done = subprocess.run(
        [sys.executable, "-m", "streams.commands.main", "explain", shop, "--json"],
        env=os.environ | worker.settings.as_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = {each["lender"]: each for each in json.loads(done.stdout)["outstanding"]}
    assert set(lines) == {"bank", "platform"}
    bank = lines["bank"]
    assert (bank["loans"], bank["drawn"], bank["overdue"]) == (2, 37_000, 1_000)
    # The shop has not enrolled with the bank.
    assert bank["limit"] == bank["available"] == bank["reserved"] == 0


ODD: list[tuple[bytes | None, str]] = [
    (None, "null_value"),
    (b"", "not_json"),
    (b"\xff\xfe", "not_utf8"),
    (b"[1]", "not_an_object"),
    (b'{"event_id":"e","event_id":"e"}', "repeated_field"),
    (b"[" * 5_000, "too_deep"),
    (b'{"kind":"' + b"x" * 70_000 + b'"}', "too_large"),
    (msgspec.json.encode(loan_event(LoanKind.DRAWN, "m", "l", 1, amount=None)), "missing_field"),
    (msgspec.json.encode(loan_event(LoanKind.DRAWN, "m", "l", 1, amount=0)), "out_of_range"),
    (msgspec.json.encode(loan_event(LoanKind.DRAWN, "", "l", 1)), "out_of_range"),
    (msgspec.json.encode(loan_event(LoanKind.DRAWN, "m", "l", 1, currency="QQQ")),
     "unknown_currency"),
    (msgspec.json.encode(loan_event(LoanKind.DRAWN, "m", "l", 1)).replace(b"drawn", b"given"),
     "out_of_range"),
]  # fmt: skip


def test_what_is_no_loan_event_is_set_aside_whole_and_what_follows_counts(
    worker: WatchedWorker,
) -> None:
    good = loan_event(LoanKind.DRAWN, SHOPS[0], "good", 3)
    tell(worker, *(value for value, _ in ODD), good, key=b"own key")
    told = {
        record.value: dict(record.headers)["duoshou-reason"].decode()
        for record in worker.letters.values()
    }
    assert told == dict(ODD)
    assert {record.key for record in worker.letters.values()} == {b"own key"}
    assert {dict(record.headers)["duoshou-topic"] for record in worker.letters.values()} == {
        worker.settings.topics.loan_events.name.encode()
    }
    (loan,) = durable_loans(worker.settings).values()
    assert loan.outstanding == 50_000


def test_what_is_owed_is_known_again_after_a_crash(worker: WatchedWorker) -> None:
    shop = SHOPS[0]
    tell(worker, loan_event(LoanKind.DRAWN, shop, "l1", 9))
    worker.restart(kill=True)
    tell(
        worker,
        loan_event(LoanKind.DRAWN, shop, "l1", 9),
        loan_event(LoanKind.REPAID, shop, "l1", 5, amount=20_000),
    )
    (loan,) = durable_loans(worker.settings).values()
    assert loan.outstanding == 30_000
    assert worker.process.metric("duoshou_loan_events_total", 'outcome="duplicate"') == 1


def test_an_envelope_that_someone_else_wrote_is_refused(worker: WatchedWorker) -> None:
    event = msgspec.Raw(b'{"kind":"drawn"}')
    topics = worker.settings.topics
    forged = [
        (b'{"kind":"relayed"}', b"wrong_type"),
        (msgspec.json.encode(Relayed("m", topics.loan_events.name, 0, 77, event)), b"wrong_type"),
        (msgspec.json.encode(Relayed("m", topics.models.name, 0, 78, event)), b"out_of_range"),
        (msgspec.json.encode(Relayed(None, topics.payments.name, 0, 79, event)), b"wrong_type"),
    ]
    worker.send([Record(value, b"m") for value, _ in forged])
    worker.settle()
    reasons = [dict(record.headers)["duoshou-reason"] for record in worker.letters.values()]
    assert sorted(reasons) == sorted(reason for _, reason in forged)
    assert not durable_loans(worker.settings)
