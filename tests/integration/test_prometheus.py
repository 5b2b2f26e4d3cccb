"""A real Prometheus watches a real worker and a real trainer on a real Apache Kafka at work."""

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep, time
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import pytest
from kafka import KafkaProducer

from scorers.drift import WARM_UP
from scorers.loans import LoanEvent, LoanKind
from streams.brokers.apache import ApacheKafka
from streams.brokers.process import ServerProcess, free_port
from streams.brokers.provision import apply_topics
from streams.contract.messages import PaymentEvent, PaymentKind
from streams.settings import Settings
from streams.worker.process import WorkerProcess
from tests.deploy.shipped import RULES, dashboard_expressions
from tests.prometheus_server import PrometheusServer

pytestmark = pytest.mark.prometheus

MERCHANTS = 40
DAY_MS = 86_400_000
# The worker has taken up, while it ran, a model that the trainer published.
WORKER_FOLLOWS = {"model": "duoshou_model_version{job='duoshou'} > 0"}


@pytest.fixture(scope="module")
def settings(kafka: ApacheKafka) -> Settings:
    """Of a worker with topics of its own, which are there."""
    chosen = Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix="watched.",
        snapshot_examples=20,
        snapshot_interval_s=0.5,
    )
    apply_topics(chosen)
    return chosen


@pytest.fixture(scope="module")
def worker(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of the page of a worker that is ready."""
    port, folder = free_port(), tmp_path_factory.mktemp("watched")
    (folder / "worker.toml").write_text(f'topic_prefix = "{settings.topic_prefix}"\n')
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
    do.
    """
    done, topic = Event(), settings.topics.payments.name
    loans = settings.topics.loan_events.name

    def send() -> None:
        producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, linger_ms=5)
        began, sent = int(time() * 1000) - 20 * DAY_MS, 0
        while not done.wait(0.02):
            for merchant in range(MERCHANTS):
                at = min(began + sent * DAY_MS // 20, int(time() * 1000))
                event = payment(merchant, sent, at)
                producer.send(topic, key=event.merchant_id.encode(), value=encoded(event))
            if sent % 20 == 0:
                producer.send(topic, key=b"merchant-0", value=b"{")
            lends = sent % 20 == 0 and sent // 20 * MERCHANTS < WARM_UP
            for merchant in range(MERCHANTS if lends else 0):
                for loan in loan_events(merchant, sent // 20):
                    producer.send(loans, key=loan.merchant_id.encode(), value=encoded(loan))
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
        amount=2_000 + 37 * number % 9_000,
        currency="CNY",
        occurred_at=at,
        code_id="till",
        payer_id=f"payer-{number % 60}",
    )


def loan_events(merchant: int, number: int) -> Iterator[LoanEvent]:
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
                occurred_at=int(time() * 1000),
                amount=50_000,
            )


def encoded(event: PaymentEvent | LoanEvent) -> bytes:
    return msgspec.json.encode(event)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1):
            return True
    except (URLError, TimeoutError):
        return False


@pytest.mark.usefixtures("traffic")
def test_every_panel_has_data_from_a_real_worker_and_a_real_trainer(
    worker: str, trainer: str, tmp_path: Path
) -> None:
    expressions = dashboard_expressions(interval="10s")
    pages = {"duoshou": [worker], "duoshou-trainer": [trainer]}
    with PrometheusServer(tmp_path, pages, [RULES]) as prometheus:
        assert prometheus.await_data(expressions, timeout_s=60) == {}
        assert prometheus.await_data(WORKER_FOLLOWS, timeout_s=60) == {}
        firing = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
        assert firing <= {"DuoshouDeadLetters", "DuoshouUpdatesSlow"}
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
