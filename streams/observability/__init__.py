"""What an operator sees of a worker: metrics, health and the page that serves them.

`Metrics` is told what happens and keeps `Health` informed; `serve` answers
``/metrics``, ``/livez`` and ``/readyz`` from a thread of its own; `WorkerSensor`
forwards what only Faust knows.
"""

from streams.observability.health import Health, State
from streams.observability.http import MetricsServer, PortUnavailableError, serve
from streams.observability.metrics import Metrics
from streams.observability.sensor import WorkerSensor

__all__ = [
    "Health",
    "Metrics",
    "MetricsServer",
    "PortUnavailableError",
    "State",
    "WorkerSensor",
    "serve",
]
