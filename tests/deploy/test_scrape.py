"""A real Prometheus reads a page on which everything has happened once."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import get_args
from urllib.request import urlopen

import msgspec
import numpy as np
import pytest

from features.events import Kind, Outcome
from scorers.applications.book import Became as ApplicationBecame
from scorers.applications.book import Verdict
from scorers.applications.messages import Decision, Price, Product
from scorers.applications.messages import Outcome as Answer
from scorers.drift import LOG_LOSS
from scorers.funds.book import Became as FundBecame
from scorers.funds.events import FundKind
from scorers.loans import Became, LoanKind
from scorers.merchants import MerchantKind
from scorers.partition import Version
from scorers.policy import EVERYBODYS, Policy
from scorers.raises import Cause, Stop
from scorers.shadows import Counted
from scorers.training import Report, Training
from streams.cost.bill import bill_of
from streams.cost.usage import Usage
from streams.observability import Metrics, serve
from streams.observability.metrics import DEAD_LETTER_REASONS, STAGES, Written
from streams.observability.training import TrainingMetrics
from streams.settings import Prices
from tests.deploy.shipped import RULES, alerts, dashboard_expressions
from tests.prometheus_server import PrometheusServer

pytestmark = pytest.mark.prometheus

STORED = 5_000_000_000
COUNTED = Counted(higher=2, same=1, lower=1, shadow=900_000, live=800_000, in_force=700_000)


def begin(metrics: Metrics) -> None:
    """A worker starts and recovers."""
    metrics.kernels_compiled()
    metrics.rebalance_started()
    metrics.recovery_started()
    metrics.partitions_assigned(2)
    metrics.recovery_done(seconds=0.7)
    metrics.version_activated(
        0, Version(stops=frozenset({Stop(EVERYBODYS.lender, EVERYBODYS.product, Cause.LIMITS)}))
    )
    metrics.version_activated(0, Version())
    metrics.shadows_followed([Policy(version=1, shadow=True)])
    metrics.stored(dict.fromkeys(get_args(Written), STORED))


def work(metrics: Metrics, turn: int) -> None:
    """A batch goes all the way, with one of everything that can become of an event."""
    outcomes = np.array([*[Outcome.APPLIED] * 90, *Outcome], dtype=np.uint8)
    metrics.batch_applied(np.full(len(outcomes), Kind.PAYMENT, dtype=np.uint8), outcomes)
    for stage in STAGES:
        metrics.stage_done(stage, seconds=0.003)
    metrics.limits_updated(raises=2, cuts=1, seconds=np.array([0.004, 0.012, 0.02]))
    for reason in DEAD_LETTER_REASONS:
        metrics.dead_lettered(reason)
    metrics.misrouted()
    for partition in range(2):
        metrics.input_read(partition, next_offset=100 * turn)
        metrics.checkpoint_done(seconds=0.015, rows=40)
        metrics.committed(partition, next_offset=100 * turn, seconds=0.003)
        metrics.lag("payments", partition, records=0, seconds=0.0)
        metrics.partition_size(partition, rows=1_000, payment_ids=5_000)
        metrics.loans_owing(partition, loans=30)
    for kind in LoanKind:
        for became in Became:
            metrics.loan_event(kind, became)
    lend(metrics)


def lend(metrics: Metrics) -> None:
    """One of everything that lenders and merchants can be answered."""
    metrics.lender_updated("platform", 3)
    metrics.shadows_counted({EVERYBODYS: COUNTED})
    metrics.raises_held_back({EVERYBODYS: 3})
    metrics.merchant_event(MerchantKind.ENROLLED, "applied")
    metrics.merchant_event(MerchantKind.WITHDRAWN, "not_enrolled")
    for answered in Answer:
        metrics.application(Verdict(ApplicationBecame.ANSWERED, decision(answered)))
        metrics.decided(seconds=0.02)
    metrics.application(Verdict(ApplicationBecame.DUPLICATE))
    for kind in FundKind:
        for became in FundBecame:
            metrics.fund_event(kind, became)
    for written in get_args(Written):
        metrics.written(written, 4_000)
    metrics.version_refused("models")


def decision(outcome: Answer) -> Decision:
    """A decision of which only the outcome and the amount matter here."""
    return Decision(
        application_id="a", lender_id="platform", merchant_id="m", product=Product.LOAN,
        outcome=outcome, asked=800_000, amount=800_000, currency="CNY",
        price=Price(1_500, 90, 29_589), expires_at=None, reasons=(), probability_of_default=0.02,
        limit=900_000, limit_version=3, available=900_000, over_limit=0, model_version=0,
        policy_version=0, as_of=1, source_topic="payments", source_partition=0, source_offset=1,
    )  # fmt: skip


def report(turn: int) -> Report:
    """What a training says whose log-loss drifts at every turn."""
    training = Training()
    for number in range(40):
        training.take({"silence_days": float(number)}, number % 4 == 0)
    return msgspec.structs.replace(training.report(), drifts={LOG_LOSS: turn})


def train(metrics: TrainingMetrics, turn: int) -> None:
    """An example goes all the way, with one of everything that can become of a model."""
    metrics.owns_examples(ours=True)
    metrics.learnt()
    metrics.repeated()
    metrics.fold_learnt(unreadable=1)
    metrics.reported(report(turn))
    metrics.snapshot_published(3)
    metrics.snapshot_refused()
    metrics.model_refused()
    metrics.lag("examples", 0, records=0)


@contextmanager
def at_work(metrics: Metrics | TrainingMetrics, turn: Callable[[int], None]) -> Iterator[str]:
    """The address of the page of a process that takes one turn after the other."""
    done = Event()

    def keep_working() -> None:
        number = 0
        while not done.wait(0.1):
            turn(number := number + 1)

    thread = Thread(target=keep_working)
    thread.start()
    try:
        with serve(metrics, port=0) as server:
            yield f"{server.host}:{server.port}"
    finally:
        done.set()
        thread.join()


@pytest.fixture
def worker() -> Iterator[str]:
    """Address of the page of a worker that is at work."""
    metrics = Metrics()
    begin(metrics)
    with at_work(metrics, lambda turn: work(metrics, turn)) as page:
        yield page


@pytest.fixture
def trainer() -> Iterator[str]:
    """Address of the page of a trainer that is at work."""
    metrics = TrainingMetrics()
    metrics.taken_up(2, report(0))
    with at_work(metrics, lambda turn: train(metrics, turn)) as page:
        yield page


def test_disks_cost_on_the_dashboard_what_they_cost_on_the_bill(
    worker: str, tmp_path: Path
) -> None:
    """Also of two workers, which both know of all disks."""
    metrics = Metrics()
    begin(metrics)
    title = "A month like now"
    storage = [expr for name, expr in dashboard_expressions().items() if name.startswith(title)][2]
    with (
        at_work(metrics, lambda turn: work(metrics, turn)) as other,
        PrometheusServer(tmp_path, {"duoshou": [worker, other]}, []) as prometheus,
    ):
        both = {"both": "count(duoshou_rows{partition='0'}) == 2", "storage": storage}
        assert prometheus.await_data(both, timeout_s=60) == {}
        (costs,) = prometheus.query(storage)
    bill = bill_of([Usage(1, 1, 1, 1, 1, 1, 1, 1)], STORED * len(get_args(Written)), Prices())
    assert float(costs["value"][1]) == pytest.approx(bill.parts[2].monthly)


@pytest.mark.parametrize("process", ["worker", "trainer"])
def test_promtool_has_nothing_to_say_against_the_page(
    promtool: str, process: str, request: pytest.FixtureRequest
) -> None:
    page = request.getfixturevalue(process)
    with urlopen(f"http://{page}/metrics", timeout=5) as answer:
        text = answer.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_every_panel_has_data_and_only_alerts_on_single_mishaps_fire(
    worker: str, trainer: str, tmp_path: Path
) -> None:
    pages = {"duoshou": [worker], "duoshou-trainer": [trainer]}
    with PrometheusServer(tmp_path, pages, [RULES]) as prometheus:
        assert prometheus.await_data(dashboard_expressions(), timeout_s=90) == {}
        firing = {
            alert["labels"]["alertname"]
            for alert in prometheus.get("alerts")["alerts"]
            # A scrape that a busy machine held up makes an alert pend for a moment.
            if alert["state"] == "firing"
        }
        evaluated = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert firing <= {"DuoshouDeadLetters", "DuoshouSnapshotRefused", "DuoshouModelDrift"}
    assert {rule["name"] for rule in evaluated if rule["type"] == "alerting"} == set(alerts())
    assert {rule["health"] for rule in evaluated} == {"ok"}
