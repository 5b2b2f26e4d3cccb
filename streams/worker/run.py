"""Starts a worker and runs it until it is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.brokers.provision import require_topics
from streams.compile_kernels import compile_kernels
from streams.observability.metrics import Metrics
from streams.observability.sensor import WorkerSensor
from streams.service import run_service
from streams.worker.app import App, make_app

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings


def run_worker(settings: Settings, address_file: Path | None = None) -> None:
    """Run a worker until SIGINT or SIGTERM; ends the process.

    Args:
        settings: validated settings.
        address_file: where to write the address of the metrics page, for whoever chose port 0.

    Raises:
        OperatorError: something the operator has to put right; nothing was started.
    """
    metrics = Metrics(lenders=settings.lenders, prices=settings.prices)
    run_service(settings, metrics, lambda: _prepare(settings, metrics), address_file)


def _prepare(settings: Settings, metrics: Metrics) -> App:
    """Check the broker and its topics, compile the kernels and return the app."""
    require_topics(settings)
    compile_kernels()
    metrics.kernels_compiled()
    app = make_app(settings, settings.topics, metrics)
    app.sensors.add(WorkerSensor(metrics, app.payments_topic))
    return app
