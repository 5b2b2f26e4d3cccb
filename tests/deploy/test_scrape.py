"""A real Prometheus reads a page on which everything has happened once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from urllib.request import urlopen

import numpy as np
import pytest

from features.events import Kind, Outcome
from streams.observability import Metrics, serve
from streams.observability.metrics import DEAD_LETTER_REASONS, STAGES
from tests.deploy.shipped import RULES, alerts, dashboard_expressions
from tests.prometheus_server import PrometheusServer

pytestmark = pytest.mark.prometheus


def begin(metrics: Metrics) -> None:
    """A worker starts and recovers."""
    metrics.kernels_compiled()
    metrics.rebalance_started()
    metrics.recovery_started()
    metrics.partitions_assigned(2)
    metrics.recovery_done(seconds=0.7)
    metrics.model_activated(3)
    metrics.policy_activated(2)


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
        metrics.loans_owing(partition, 3)


@pytest.fixture
def page() -> Iterator[str]:
    """Address of the page of a worker that is at work."""
    metrics = Metrics()
    begin(metrics)
    done = Event()

    def keep_working() -> None:
        turn = 0
        while not done.wait(0.1):
            work(metrics, turn := turn + 1)

    worker = Thread(target=keep_working)
    worker.start()
    try:
        with serve(metrics, port=0) as server:
            yield f"{server.host}:{server.port}"
    finally:
        done.set()
        worker.join()


def test_promtool_has_nothing_to_say_against_the_page(promtool: str, page: str) -> None:
    with urlopen(f"http://{page}/metrics", timeout=5) as answer:
        text = answer.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_every_panel_has_data_and_no_alert_but_dead_letters_fires(
    page: str, tmp_path: Path
) -> None:
    with PrometheusServer(tmp_path, [page], [RULES]) as prometheus:
        assert prometheus.await_data(dashboard_expressions(), timeout_s=90) == {}
        firing = {
            alert["labels"]["alertname"]
            for alert in prometheus.get("alerts")["alerts"]
            # A scrape that a busy machine held up makes an alert pend for a moment.
            if alert["state"] == "firing"
        }
        evaluated = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert firing <= {"DuoshouDeadLetters"}
    assert {rule["name"] for rule in evaluated if rule["type"] == "alerting"} == set(alerts())
    assert {rule["health"] for rule in evaluated} == {"ok"}
