"""A real Prometheus watches a real worker and a real trainer on a real Apache Kafka at work."""

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep, time
from typing import get_args
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import pytest
from kafka import KafkaProducer

from scorers.applications.messages import Application
from scorers.applications.messages import Product as AppliedFor
from scorers.applications.terms import Lending
from scorers.claims.events import ClaimEvent
from scorers.drift import WARM_UP
from scorers.funds.events import FundEvent, FundKind
from scorers.funds.terms import FundTerms
from scorers.loans import LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.policy import Policy, Product
from streams.brokers.apache import ApacheKafka
from streams.brokers.policies import publish_policy
from streams.brokers.process import ServerProcess, free_port
from streams.brokers.provision import apply_topics
from streams.contract.messages import PaymentEvent, PaymentKind
from streams.observability.metrics import Written
from streams.settings import Settings
from streams.worker.process import WorkerProcess
from tests.deploy.shipped import RULES, dashboard_expressions
from tests.prometheus_server import PrometheusServer

pytestmark = pytest.mark.prometheus

MERCHANTS = 40
DAYS = 20
PAYMENTS_A_DAY = 20
DAY_MS = 86_400_000
# The worker has taken up, while it ran, a model that the trainer published.
WORKER_FOLLOWS = {"model": "duoshou_model_version{job='duoshou'} > 0"}
# Not the lender of the loans: of those so many default that it would have nothing left to lend.
BANK = "harbour"
POLICIES = (
    # Nor may what is learnt from them take everybody's limit away. The worker's ticks are of
    # today, so that a raise would have to wait for tomorrow.
    Policy(version=1, pd_cut_off=1.0, cool_down_ms=0),
    Policy(
        version=1,
        lender=BANK,
        pd_cut_off=1.0,
        cool_down_ms=0,
        lending=Lending(answer_within_ms=None),
    ),
    Policy(version=1, lender=BANK, shadow=True, advance_rate=0.5),
    Policy(
        version=1,
        lender=BANK,
        product=Product.FUND_SWEEP,
        fund=FundTerms(qualified_banks=("icbc",)),
    ),
)
# What has become of everything that lenders and merchants were made to ask for.
LENDERS_ARE_SERVED = {
    "policies": "duoshou_policies == 3",
    "shadow": "sum(duoshou_shadow_evaluations_total) > 0",
    "refused": "duoshou_refused_versions_total{topic='policies'} == 1",
    "enrolled": f"sum(duoshou_merchant_events_total{{outcome='applied'}}) >= {MERCHANTS}",
    "limits": "duoshou_lender_limit_updates_total{lender='harbour'} > 0",
    "approved": "sum(duoshou_applications_total{outcome='approve'}) > 0",
    "amount": "duoshou_approved_minor_units_total > 0",
    "claims": "duoshou_claims_total{outcome='answered'} > 0",
    "funds": "duoshou_fund_events_total{kind='redemption_requested', outcome='applied'} > 0",
    **{kind: f"duoshou_written_bytes_total{{kind='{kind}'}} > 0" for kind in get_args(Written)},
}


@pytest.fixture(scope="module")
def settings(kafka: ApacheKafka) -> Settings:
    """Of a worker with topics of its own, which are there."""
    chosen = Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix="watched.",
        snapshot_examples=20,
        snapshot_interval_s=0.5,
        lenders=("platform", BANK),
    )
    apply_topics(chosen)
    for policy in POLICIES:
        publish_policy(chosen, policy)
    return chosen


@pytest.fixture(scope="module")
def worker(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of the page of a worker that is ready."""
    port, folder = free_port(), tmp_path_factory.mktemp("watched")
    (folder / "worker.toml").write_text(
        f'topic_prefix = "{settings.topic_prefix}"\nlenders = ["platform", "{BANK}"]\n'
    )
    process = ServerProcess(
        "worker",
        [
            *(sys.executable, "-m", "streams.commands.main", "worker"),
            *("--bootstrap-servers", settings.bootstrap_servers, "--metrics-port", str(port)),
            *("--config", str(folder / "worker.toml")),
        ],
        folder / "worker.log",
        port,
    )
    process.start()
    try:
        end = monotonic() + 120
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            alive = answers(f"http://127.0.0.1:{port}/livez")
            assert alive, process.log.read_text()[-2_000:]
            assert monotonic() < end, process.log.read_text()[-2_000:]
            sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.fixture(scope="module")
def trainer(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of the page of a trainer that is ready."""
    with WorkerProcess(settings, tmp_path_factory.mktemp("watched"), "trainer") as process:
        process.await_ready()
        yield process.address


@pytest.fixture
def traffic(settings: Settings) -> Iterator[None]:
    """Payments of the last twenty days, day by day, and now and then something broken.

    Every now and then each merchant draws a loan and at once ends the one before; every fourth of
    them defaults. It ends before anything could drift: merchants whose weeks are played in seconds
    do. All enrol with the bank, apply for a loan now and then, claim something, and put money into
    its fund.
    """
    done, topic = Event(), settings.topics.payments.name
    loans = settings.topics.loan_events.name

    def send() -> None:
        producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, linger_ms=5)
        began, sent = int(time() * 1000) - DAYS * DAY_MS, 0
        while not done.wait(0.05):
            at = min(began + sent * DAY_MS // PAYMENTS_A_DAY, int(time() * 1000))
            for merchant in range(MERCHANTS):
                event = payment(merchant, sent, at)
                producer.send(topic, key=event.merchant_id.encode(), value=encoded(event))
            if sent % 20 == 0:
                producer.send(topic, key=b"merchant-0", value=b"{")
            lends = sent % 20 == 0 and sent // 20 * MERCHANTS < WARM_UP
            for merchant in range(MERCHANTS if lends else 0):
                for loan in loan_events(merchant, sent // 20, at):
                    producer.send(loans, key=loan.merchant_id.encode(), value=encoded(loan))
            if sent % 10 == 0:
                for merchant in range(MERCHANTS):
                    for name, asked in asked_of_the_bank(settings, merchant, sent, at):
                        producer.send(name, key=asked.merchant_id.encode(), value=encoded(asked))
            sent += 1
        producer.close()

    sender = Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def payment(merchant: int, number: int, at: int) -> PaymentEvent:
    return PaymentEvent(
        payment_id=f"{merchant}-{number}-{at}",
        kind=PaymentKind.PAYMENT,
        merchant_id=f"merchant-{merchant}",
        # More with every day, so that limits never come to rest.
        amount=(2_000 + 37 * number % 9_000) * (1 + number // PAYMENTS_A_DAY),
        currency="CNY",
        occurred_at=at,
        code_id="till",
        payer_id=f"payer-{number % 60}",
    )


def loan_events(merchant: int, number: int, at: int) -> Iterator[LoanEvent]:
    """The draw of one loan, and the end of the one before."""
    end = LoanKind.DEFAULTED if (merchant + number) % 4 == 0 else LoanKind.SETTLED
    for kind, loan in ((LoanKind.DRAWN, number), (end, number - 1)):
        if loan >= 0:
            yield LoanEvent(
                event_id=f"{loan}-{kind}",
                kind=kind,
                loan_id=f"loan-{loan}",
                lender_id="bank",
                merchant_id=f"merchant-{merchant}",
                product="loan",
                currency="CNY",
                occurred_at=at,
                amount=2_000,
            )


def asked_of_the_bank(
    settings: Settings, merchant: int, number: int, at: int
) -> Iterator[tuple[str, MerchantEvent | Application | ClaimEvent | FundEvent]]:
    """What a merchant tells the bank and asks of it, by topic: its enrolment comes first."""
    topics, who = settings.topics, f"merchant-{merchant}"
    if number == 0:
        yield (
            topics.merchant_events.name,
            MerchantEvent(
                event_id=f"enrolled-{merchant}", kind=MerchantKind.ENROLLED, merchant_id=who,
                occurred_at=at, lender_id=BANK, product=Product.LOAN,
            ),
        )  # fmt: skip
    yield (
        topics.applications.name,
        Application(
            application_id=f"a{number}", lender_id=BANK, merchant_id=who,
            product=AppliedFor.LOAN, currency="CNY", amount=10_000, applied_at=at,
        ),
    )  # fmt: skip
    yield (
        topics.claim_events.name,
        ClaimEvent(
            claim_id=f"c{number}", merchant_id=who, lender_id=BANK, currency="CNY", amount=5_000,
            occurred_at=at, claimed_at=at,
        ),
    )  # fmt: skip
    for kind in FundKind:
        yield (
            topics.fund_events.name,
            FundEvent(
                event_id=f"{kind}-{number}", kind=kind, merchant_id=who, lender_id=BANK,
                fund_id="cash", currency="CNY", amount=5_000, occurred_at=at,
                advance_provider="icbc",
            ),
        )  # fmt: skip


def encoded(event: msgspec.Struct) -> bytes:
    return msgspec.json.encode(event)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1):
            return True
    except (URLError, TimeoutError):
        return False


@pytest.mark.usefixtures("traffic")
def test_every_panel_has_data_from_a_real_worker_and_a_real_trainer(
    settings: Settings, worker: str, trainer: str, tmp_path: Path
) -> None:
    expressions = dashboard_expressions(interval="10s")
    pages = {"duoshou": [worker], "duoshou-trainer": [trainer]}
    with PrometheusServer(tmp_path, pages, [RULES]) as prometheus:
        assert prometheus.await_data(expressions, timeout_s=60) == {}
        assert prometheus.await_data(WORKER_FOLLOWS, timeout_s=60) == {}
        # Publishing checks nothing here: what the settings do not know, the worker refuses.
        publish_policy(settings, Policy(version=1, lender="nobody"))
        assert prometheus.await_data(LENDERS_ARE_SERVED, timeout_s=60) == {}
        firing = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
        assert firing <= {
            "DuoshouDeadLetters",
            "DuoshouUpdatesSlow",
            "DuoshouDecisionsSlow",
            "DuoshouDecisionsLate",
        }
        (applied,) = prometheus.query("sum(duoshou_events_total{outcome='applied'})")
        (refused,) = prometheus.query("sum(duoshou_dead_letters_total{reason='not_json'})")
        assert float(applied["value"][1]) >= MERCHANTS
        assert float(refused["value"][1]) >= 1
        (learnt,) = prometheus.query("sum(duoshou_outcomes_learnt_total)")
        (window,) = prometheus.query("duoshou_window_outcomes")
        assert float(learnt["value"][1]) >= float(window["value"][1]) >= 20


def test_the_page_answers_within_a_second_while_the_broker_is_down(
    worker: str, kafka: ApacheKafka
) -> None:
    kafka.stop()
    try:
        for _ in range(10):
            assert answers(f"http://{worker}/metrics")
            assert answers(f"http://{worker}/livez")
            sleep(0.3)
    finally:
        kafka.start()
