"""`duoshou cost` asks a real worker and a real Apache Kafka."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from streams.brokers.log_sizes import log_sizes
from streams.brokers.process import free_port
from streams.brokers.provision import apply_topics
from streams.contract.messages import PaymentEvent, PaymentKind
from streams.cost.bill import GB, MONTH_S
from streams.errors import BrokerError
from streams.observability.metrics import Written
from streams.settings import Settings
from tests.integration.watched import Record, WatchedWorker

KINDS = (*get_args(Written), "others")
MERCHANTS, PAYMENTS = 20, 2_000


def payments() -> list[Record]:
    now = int(time.time() * 1000)
    return [
        Record(
            msgspec.json.encode(
                PaymentEvent(
                    payment_id=str(number),
                    kind=PaymentKind.PAYMENT,
                    merchant_id=f"m{number % MERCHANTS}",
                    amount=2_000 + number,
                    currency="CNY",
                    occurred_at=now - (PAYMENTS - number) * 1_000,
                    code_id="till",
                    payer_id=f"payer-{number % 60}",
                )
            ),
            f"m{number % MERCHANTS}".encode(),
        )
        for number in range(PAYMENTS)
    ]


def cost(settings: Settings, *said: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.commands.main", "cost", *said],
        env=os.environ | settings.as_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_worker_at_work_has_its_price(settings: Settings, tmp_path: Path) -> None:
    apply_topics(settings)
    with WatchedWorker(settings, tmp_path) as worker:
        worker.send(payments())
        worker.settle()
        address = worker.process.address
        done = cost(settings, "--worker", address, "--worker", address, "--json")
        assert done.returncode == 0, done.stderr
        bill = json.loads(done.stdout)
        assert (bill["decisions"], bill["merchants"], bill["loans"]) == (PAYMENTS, MERCHANTS, 0)
        # Two looks apart: none of the payments lies between them.
        later = json.loads(cost(settings, "--worker", address, "--over", "1", "--json").stdout)
        assert (later["decisions"], later["merchants"]) == (0, MERCHANTS)
        assert 1 <= later["seconds"] < bill["seconds"]
        assert later["cost_of"]["decision"] is None
        table = cost(settings, "--worker", address).stdout
        # The worker has asked too, when it began.
        page = worker.process.page("/metrics") or ""
        assert {f'duoshou_stored_bytes{{kind="{kind}"}}' in page for kind in KINDS} == {True}
    prices, parts = bill["prices"], bill["parts"]
    stored = bill["stored_bytes"]
    assert stored[settings.topics.payments.name] > PAYMENTS * 10
    assert stored[settings.topics.rows_changelog.name] > 0
    assert parts["storage"]["monthly"] == pytest.approx(sum(stored.values()) / GB)
    assert parts["memory"]["cost"] == pytest.approx(
        parts["memory"]["monthly"] * bill["seconds"] / MONTH_S
    )
    assert parts["cpu"]["cost"] > 1e-6 * prices["cpu_hour"]
    assert parts["written"] == {"cost": 0, "monthly": 0}
    assert bill["cost_of"]["decision"] == pytest.approx(bill["total"] / PAYMENTS)
    assert bill["cost_of"]["merchant_month"] == pytest.approx(bill["monthly"] / MERCHANTS)
    assert bill["cost_of"]["application"] is None
    assert bill["yardstick"] == {"cost": 2.0, "currency": "yuan", "of": "loan"}
    for words in ("a million limits decided", "none yet", "yardstick is 2 yuan"):
        assert words in table


def test_the_disks_of_the_broker_are_asked_by_topic(settings: Settings) -> None:
    with pytest.raises(BrokerError, match="lacks the topics"):
        log_sizes(settings)
    apply_topics(settings)
    assert log_sizes(settings) == {topic.name: 0 for topic in settings.topics}


def test_a_worker_that_is_not_there_is_one_sentence(settings: Settings) -> None:
    apply_topics(settings)
    done = cost(settings, "--worker", f"127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("No worker answers at 127.0.0.1:")
    assert done.stderr.count("\n") == 1
