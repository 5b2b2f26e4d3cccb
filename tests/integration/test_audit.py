"""`duoshou audit` on a real broker: what a worker has published follows from the log again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from scorers.applications.messages import Application, Decision
from scorers.applications.messages import Outcome as Answer
from scorers.applications.messages import Product as Applied
from scorers.applications.terms import Band, Lending
from scorers.claims.events import ClaimAnswer, ClaimEvent
from scorers.funds.events import FundEvent, FundKind
from scorers.loans import LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.models import Model, Origin
from scorers.policy import Cover, Policy, Product
from scorers.prior import BUILT_IN
from scorers.raises import Cause, Stop
from streams.audit.received import received
from streams.audit.run import audit as run_audit
from streams.brokers.clients import kafka_python_options
from streams.brokers.models import publish_model
from streams.brokers.policies import publish_policy
from streams.brokers.provision import apply_topics
from streams.brokers.reading import whole_topic
from streams.contract.messages import LimitUpdate, PaymentEvent, PaymentKind
from streams.settings import load_settings
from tests.integration.watched import Record, WatchedWorker, home
from tests.streams.wire import foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.brokers.apache import ApacheKafka
    from streams.contract.topics import Topic
    from streams.settings import Settings
    from streams.state.holding import CheckpointRecord

DAY_MS = 86_400_000
NOW = time.time_ns() // 1_000_000
WITHIN_S = 120
SHOPS = [name for name in (f"shop-{n}" for n in range(40)) if home(name.encode(), 4) == 1][:3]
FIRST, SECOND = SHOPS[:2]
ELSEWHERE = next(name for name in (f"far-{n}" for n in range(40)) if home(name.encode(), 4) == 2)
WITHIN = Lending(answer_within_ms=None, band=Band(largest_limits=1))
"""Nobody's limit may rise, once there is one."""
BANK = Policy(
    version=1, lender="bank", product=Product.LOAN, advance_rate=0.5, hold_out_share=0,
    lending=Lending(answer_within_ms=None),
)  # fmt: skip
INSURANCE = Policy(
    version=1, lender="bank", product=Product.INSURANCE, cap=1_000_000, step=100,
    cover=Cover(rate=0.1),
)  # fmt: skip


class Published(NamedTuple):
    """What a worker has published of a log of payments and of all that lenders are asked."""

    settings: Settings
    updates: list[bytes]
    decisions: list[bytes]
    fund_answers: list[bytes]
    claim_answers: list[bytes]


def pay(worker: WatchedWorker, days: range, amount: int) -> None:
    """A few payments of each shop each day, by different payers."""
    worker.send(
        [
            Record(
                msgspec.json.encode(
                    PaymentEvent(
                        payment_id=f"{shop}-{day}-{n}", kind=PaymentKind.PAYMENT, merchant_id=shop,
                        amount=amount + 100 * n, currency="CNY",
                        occurred_at=NOW - day * DAY_MS + n * 60_000, payer_id=f"payer-{day}-{n}",
                    )
                ),
                shop.encode(),
            )
            for day in days
            for n in range(4)
            for shop in (*SHOPS, ELSEWHERE)
        ]
    )  # fmt: skip
    worker.settle()


def tell(worker: WatchedWorker, topic: Topic, *events: msgspec.Struct) -> None:
    """Write events to partition 0 of their topic, and wait until they have been dealt with."""
    raw: list[foreign.Record] = [(b"any", msgspec.json.encode(each), [], NOW) for each in events]
    worker.send_batches([(0, foreign.batch(raw, foreign.CODECS["none"]), len(raw))], topic.name)
    for _ in range(600):
        if worker.relayed():
            break
        time.sleep(0.05)
    else:
        raise AssertionError(f"{topic.name} is not relayed")
    worker.settle()
    # What was said through the log may have come behind it.
    worker.settle()


def switched(worker: WatchedWorker, to: Callable[[CheckpointRecord], bool]) -> None:
    """Wait until a model or policy is in force in all partitions."""
    for _ in range(600):
        worker.settle()
        if len(worker.checkpoints) == 4 and all(map(to, worker.checkpoints.values())):
            return
        time.sleep(0.05)
    raise AssertionError("it is not in force")


def application(number: int, amount: int, lender: str) -> Application:
    return Application(
        f"a{number}", lender, FIRST, Applied.LOAN, "CNY", amount, NOW - 20 * DAY_MS, 60
    )


@pytest.fixture(scope="module")
def published(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="audit.", ticks=False,
        lenders=("platform", "bank"), session_timeout_s=6.0,
    )  # fmt: skip
    apply_topics(settings)
    publish_policy(settings, BANK)
    publish_policy(settings, INSURANCE)
    topics = settings.topics
    with WatchedWorker(settings, tmp_path_factory.mktemp("audit")) as worker:
        pay(worker, range(60, 40, -1), 80_000)
        enrolled = MerchantEvent(
            "e1", MerchantKind.ENROLLED, FIRST, NOW - 40 * DAY_MS, lender_id="bank",
            product=Product.LOAN,
        )  # fmt: skip
        insured = msgspec.structs.replace(enrolled, event_id="e2", product=Product.INSURANCE)
        tell(worker, topics.merchant_events, enrolled, insured)
        pay(worker, range(40, 30, -1), 90_000)
        tell(worker, topics.applications, application(1, 300_000, "bank"))
        worker.restart(kill=True)
        drawn = LoanEvent(
            event_id="l1-drawn", kind=LoanKind.DRAWN, loan_id="l1", lender_id="bank",
            merchant_id=FIRST, product="loan", currency="CNY", amount=300_000,
            occurred_at=NOW - 30 * DAY_MS, application_id="a1",
        )  # fmt: skip
        tell(worker, topics.loan_events, drawn)
        card = msgspec.structs.replace(BUILT_IN, version=1, bias=BUILT_IN.bias - 0.3)
        publish_model(settings, Model(card, Origin.PUBLISHED))
        switched(worker, lambda each: each.model_version == 1)
        pay(worker, range(29, 22, -1), 70_000)
        strict = msgspec.structs.replace(BANK, version=2, advance_rate=0.4, lending=WITHIN)
        publish_policy(settings, strict)
        worker.restart(kill=True)
        switched(worker, lambda each: each.policies.position == 2)
        pay(worker, range(22, 12, -1), 30_000)
        tell(
            worker, topics.applications,
            application(2, 90_000_000, "bank"), application(3, 100_000, "platform"),
            application(1, 300_000, "bank"),
        )  # fmt: skip
        tell(
            worker, topics.fund_events,
            redemption("f1", FundKind.SUBSCRIBED), redemption("f2", FundKind.REDEMPTION_REQUESTED),
        )  # fmt: skip
        pay(worker, range(12, 8, -1), 200_000)
        assert worker.checkpoints[1].stops == (Stop("bank", Product.LOAN, Cause.LIMITS),)
        worker.restart(kill=True)
        pay(worker, range(8, 5, -1), 200_000)
        publish_policy(settings, msgspec.structs.replace(BANK, version=3))
        switched(worker, lambda each: each.policies.position == 3)
        pay(worker, range(5, 2, -1), 200_000)
        tell(
            worker, topics.claim_events,
            claim("c1", 1_000), claim("c2", 90_000_000), claim("c1", 1_000),
        )  # fmt: skip
        yield Published(
            settings,
            published_on(settings, topics.limit_updates),
            published_on(settings, topics.decisions),
            published_on(settings, topics.fund_answers),
            published_on(settings, topics.claim_answers),
        )


def redemption(event_id: str, kind: FundKind) -> FundEvent:
    return FundEvent(event_id, kind, FIRST, "bank", "money", "CNY", 5_000, NOW - 12 * DAY_MS)


def claim(claim_id: str, amount: int) -> ClaimEvent:
    lost_at = NOW - 13 * DAY_MS
    return ClaimEvent(claim_id, FIRST, "bank", "CNY", amount, lost_at, lost_at)


def published_on(settings: Settings, topic: Callable[[str], Topic]) -> list[bytes]:
    return [
        bytes(record.value)
        for lender in settings.lenders
        for record in whole_topic(settings, topic(lender))
    ]


def audit(
    settings: Settings, *arguments: str, said: bytes | None = None
) -> subprocess.CompletedProcess[str]:
    given = [] if said is None else ["-"]
    done = subprocess.run(
        [sys.executable, "-m", "streams.commands.main", "audit", *given, *arguments],
        env=os.environ | settings.as_environment(),
        input=None if said is None else said.decode(),
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def verdict(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == {"same": 0, "different": 1, "not_known": 3}[found["verdict"]]
    return found


def updates_of(published: Published, merchant: str, lender: str) -> list[LimitUpdate]:
    """Updates of a merchant's limit for loans."""
    found = [msgspec.json.decode(each, type=LimitUpdate) for each in published.updates]
    named = (merchant, lender, Product.LOAN)
    return [each for each in found if (each.merchant_id, each.lender_id, each.product) == named]


def test_limit_updates_are_recomputed_over_crashes_and_switches(published: Published) -> None:
    of_bank = updates_of(published, FIRST, "bank")
    of_platform = updates_of(published, SECOND, "platform")
    chosen = [*of_bank, of_platform[0], of_platform[-1]]
    assert {each.model_version for each in chosen} == {0, 1}
    assert {each.policy_version for each in of_bank} == {1, 2, 3}
    raised = {each.policy_version for each in of_bank if each.limit > each.previous_limit}
    assert raised == {1, 3}, "raises of version 2 were stopped"
    for each in chosen:
        raw = msgspec.json.encode(each)
        assert raw in published.updates
        found = run_audit(published.settings, received(raw))
        assert found.verdict == "same", found
        assert found.records == each.source_offset + 1
        assert "But" not in found.sentence
    done = audit(published.settings, "--json", said=msgspec.json.encode(of_bank[-1]))
    assert verdict(done)["verdict"] == "same"


def test_answers_are_recomputed_but_for_how_long_they_took(published: Published) -> None:
    decisions = [msgspec.json.decode(each, type=Decision) for each in published.decisions]
    assert sorted(each.application_id for each in decisions) == ["a1", "a1", "a2", "a3"]
    assert {each.outcome for each in decisions} >= {Answer.APPROVE, Answer.COUNTER_OFFER}
    # Only the bank waits for ever: the records are as old as this module.
    assert [each.application_id for each in decisions if code_of(each) == "too_late"] == ["a3"]
    assert len(published.fund_answers) == 1
    claims = [msgspec.json.decode(each, type=ClaimAnswer) for each in published.claim_answers]
    assert [each.claim_id for each in claims] == ["c1", "c2", "c1"]
    assert [each.covered > 0 for each in claims] == [True] * 3
    assert [each.uncovered > 0 for each in claims] == [False, True, False]
    answers = (*published.decisions, *published.fund_answers, *published.claim_answers)
    for raw in answers:
        assert (b'"stages"' in raw) == (raw in published.decisions)
        found = run_audit(published.settings, received(raw))
        assert found.verdict == "same", found
    for raw in (published.decisions[0], published.claim_answers[1]):
        done = audit(published.settings, "--json", said=raw)
        assert verdict(done)["verdict"] == "same"


def code_of(decision: Decision) -> str:
    return decision.reasons[0].code


def test_a_field_that_was_changed_is_named(published: Published) -> None:
    raw = published.decisions[0]
    amount = msgspec.json.decode(raw, type=Decision).amount
    changed = raw.replace(b'"amount":%d' % amount, b'"amount":%d' % (amount + 10_000))
    found = verdict(audit(published.settings, "--json", said=changed))
    assert found["verdict"] == "different"
    assert found["differences"] == [
        {"field": "amount", "received": str(amount + 10_000), "recomputed": str(amount)}
    ]
    shown = audit(published.settings, said=changed)
    assert shown.returncode == 1
    assert "It differs" in shown.stdout
    assert str(amount + 10_000) in shown.stdout


def test_more_cover_than_the_log_gives_is_named(published: Published) -> None:
    raw = published.claim_answers[1]
    covered = msgspec.json.decode(raw, type=ClaimAnswer).covered
    changed = raw.replace(b'"covered":%d' % covered, b'"covered":%d' % (covered + 1), 1)
    found = verdict(audit(published.settings, "--json", said=changed))
    assert (found["verdict"], found["kind"]) == ("different", "claim_answer")
    assert found["differences"] == [
        {"field": "covered", "received": str(covered + 1), "recomputed": str(covered)}
    ]


def test_a_message_that_nothing_leads_to_is_different(published: Published) -> None:
    forged = msgspec.structs.replace(updates_of(published, SECOND, "platform")[0], source_offset=0,
                                     merchant_id="nobody")  # fmt: skip
    found = verdict(audit(published.settings, "--json", said=msgspec.json.encode(forged)))
    assert (found["verdict"], found["differences"], found["recomputed"]) == ("different", [], None)
    assert "leads to no such message" in found["sentence"]


def test_the_newest_is_found_on_the_topic(published: Published) -> None:
    newest = updates_of(published, FIRST, "bank")[-1]
    asked = ("--lender", "bank", "--merchant", FIRST)
    found = verdict(audit(published.settings, *asked, "--json"))
    assert (found["verdict"], found["source_offset"]) == ("same", newest.source_offset)
    assert found["recomputed"]["version"] == newest.version
    shown = audit(published.settings, *asked, "--application", "a1")
    assert shown.returncode == 0
    assert f"Decision on application a1 of {FIRST}, bank\nThe same" in shown.stdout


def test_an_offset_that_the_log_does_not_have_is_not_judged(published: Published) -> None:
    later = msgspec.structs.replace(updates_of(published, SECOND, "platform")[-1],
                                    source_offset=10**6)  # fmt: skip
    found = verdict(audit(published.settings, "--json", said=msgspec.json.encode(later)))
    assert found["verdict"] == "not_known"
    assert "has no record at offset 1000000" in found["sentence"]


def test_a_log_whose_beginning_is_gone_is_not_judged(published: Published) -> None:
    settings = published.settings
    update = updates_of(published, ELSEWHERE, "platform")[-1]
    raw = msgspec.json.encode(update)
    assert verdict(audit(settings, "--json", said=raw))["verdict"] == "same"
    admin = KafkaAdminClient(**kafka_python_options(settings))
    try:
        admin.delete_records({TopicPartition(settings.topics.payments.name, 2): 5})
    finally:
        admin.close()
    done = audit(settings, "--json", said=raw)
    found = verdict(done)
    assert (found["verdict"], found["recomputed"]) == ("not_known", None)
    assert "from offset 5 on only" in found["sentence"]
    assert "same" not in found["sentence"]


@pytest.mark.parametrize(
    ("said", "arguments", "complaint"),
    [
        (b"{}", (), "neither a limit update nor a decision"),
        (None, (), "Name a file"),
        (None, ("--lender", "bank", "--merchant", "nobody"), "There is no limit update of"),
        (None, ("--lender", "quay", "--merchant", FIRST), "There is no lender 'quay'"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(
    published: Published, said: bytes | None, arguments: tuple[str, ...], complaint: str
) -> None:
    done = audit(published.settings, *arguments, said=said)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
