"""What only Faust knows: rebalances and assignment.

The batch transport makes one Faust event of a whole fetch and commits by itself, so
Faust's messages, events and commits say nothing of payments: those are reported where
they are applied and saved, never by this sensor.
"""

from typing import Any

from faust import Sensor
from faust.types import AppT
from faust.types.tuples import TP

from streams.observability.metrics import Metrics


class WorkerSensor(Sensor):
    """Feeds `Metrics` from the signals of a Faust app.

    Args:
        metrics: what to tell.
        topic: full name of the input topic.
    """

    def __init__(self, metrics: Metrics, topic: str) -> None:
        super().__init__()
        self._metrics = metrics
        self._topic = topic
        self._owned: frozenset[TP] = frozenset()

    def on_rebalance_start(self, app: AppT) -> dict[str, Any]:
        """The group is redistributing its partitions."""
        self._metrics.rebalance_started()
        return super().on_rebalance_start(app)

    def on_rebalance_return(self, app: AppT, state: dict[str, Any]) -> None:  # noqa: ARG002
        """The new assignment is known."""
        owned = frozenset(tp for tp in app.assignor.assigned_actives() if tp.topic == self._topic)
        for lost in self._owned - owned:
            self._metrics.partition_lost(lost.topic, lost.partition)
        self._owned = owned
        self._metrics.partitions_assigned(len(owned))
