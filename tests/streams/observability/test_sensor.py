"""What the sensor tells the metrics when Faust signals."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.observability import Metrics, WorkerSensor


class FaustApp:
    """The parts of an app that the sensor looks at."""

    def __init__(self) -> None:
        self.actives: set[TP] = set()
        self.assignor = SimpleNamespace(assigned_actives=lambda: self.actives)


class Worker:
    """A sensor and the app that signals to it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.app: Any = FaustApp()
        self.sensor = WorkerSensor(self.metrics, topic="payments")

    def rebalance(self, *actives: TP) -> None:
        state = self.sensor.on_rebalance_start(self.app)
        self.app.actives = set(actives)
        self.sensor.on_rebalance_return(self.app, state)
        self.sensor.on_rebalance_end(self.app, state)

    def value(self, name: str, **labels: str) -> float | None:
        sample: float | None = self.metrics.registry.get_sample_value(name, labels)
        return sample


ZERO, ONE = TP("payments", 0), TP("payments", 1)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_rebalances_and_the_partitions_they_leave_are_counted(worker: Worker) -> None:
    worker.rebalance(ZERO, ONE, TP("duoshou-rows-changelog", 0))
    worker.rebalance(ZERO)
    assert worker.value("duoshou_rebalances_total") == 2
    assert worker.value("duoshou_assigned_partitions") == 1


def test_a_lost_partition_takes_its_series_with_it(worker: Worker) -> None:
    worker.rebalance(ZERO, ONE)
    for tp in (ZERO, ONE):
        worker.metrics.lag(tp.topic, tp.partition, records=5, seconds=1.0)
    worker.rebalance(ZERO)
    assert worker.value("duoshou_lag_records", topic="payments", partition="0") == 5
    assert worker.value("duoshou_lag_records", topic="payments", partition="1") is None


def test_a_batch_of_the_transport_is_never_counted_as_a_payment(worker: Worker) -> None:
    message: Any = None
    worker.rebalance(ZERO)
    worker.sensor.on_message_in(ZERO, 4_999, message)
    counted = [
        sample
        for family in worker.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "duoshou_events_total"
    ]
    assert counted == []
