"""Starts a worker and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import TYPE_CHECKING

import uvloop

from streams.brokers.provision import require_topics
from streams.compile_kernels import compile_kernels
from streams.observability.http import serve
from streams.observability.metrics import Metrics
from streams.observability.sensor import WorkerSensor
from streams.worker.app import App, make_app

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

SWITCH_INTERVAL_S = 0.0005
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def prepare(settings: Settings, metrics: Metrics) -> App:
    """Check the broker and its topics, compile the kernels and return the app.

    Raises:
        BrokerError: the broker cannot be reached, refuses us, or lacks a topic.
    """
    require_topics(settings)
    compile_kernels()
    metrics.kernels_compiled()
    app = make_app(settings, settings.topics, metrics)
    app.sensors.add(WorkerSensor(metrics, app.payments_topic))
    return app


def run_worker(settings: Settings, address_file: Path | None = None) -> None:
    """Run a worker until SIGINT or SIGTERM; ends the process.

    Args:
        settings: validated settings.
        address_file: where to write the address of the metrics page, for whoever chose port 0.

    Raises:
        OperatorError: something the operator has to put right; nothing was started.
    """
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
    # At DEBUG numba writes every instruction it compiles: a minute and megabytes a start.
    logging.getLogger("numba").setLevel(logging.WARNING)
    # Three threads hand folds to each other: none may keep the others waiting 5 ms for its turn.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # For this thread's loop and for the consumer's, which Faust makes by the same policy.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    metrics = Metrics()
    with serve(metrics, settings.metrics_port, settings.metrics_host) as server:
        logging.getLogger(__name__).info(
            "metrics on http://%s:%d/metrics", server.host, server.port
        )
        if address_file is not None:
            address_file.write_text(f"{server.host}:{server.port}")
        app = prepare(settings, metrics)
        # What is there now stays for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        worker = app.Worker(
            loglevel=settings.log_level,
            redirect_stdouts=False,
            override_logging=False,
            quiet=True,
            daemon=True,
        )
        worker.execute_from_commandline()
