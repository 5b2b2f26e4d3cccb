"""Runs a Faust app of ours, with its metrics page beside it, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import TYPE_CHECKING

import uvloop

from streams.errors import SettingsError
from streams.observability.http import Page, serve
from streams.transport.app import faust_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import faust

    from streams.settings import Settings

SWITCH_INTERVAL_S = 0.0001
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def run_service(
    settings: Settings, page: Page, prepare: Callable[[], faust.App], address_file: Path | None
) -> None:
    """Run an app until SIGINT or SIGTERM; ends the process.

    Args:
        settings: validated settings.
        page: what /metrics, /livez and /readyz show.
        prepare: makes the app, when the page is there already.
        address_file: where to write the address of the page, for whoever chose port 0.

    Raises:
        OperatorError: something the operator has to put right; nothing was started.
    """
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
    # At DEBUG numba writes every instruction it compiles: a minute and megabytes a start.
    logging.getLogger("numba").setLevel(logging.WARNING)
    # A thread that has opened a fetch or encoded rows must not wait 5 ms for its turn.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _make_directory(faust_directory(settings))
    # For the loop that Faust makes.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with serve(page, settings.metrics_port, settings.metrics_host) as server:
        logging.getLogger(__name__).info(
            "metrics on http://%s:%d/metrics", server.host, server.port
        )
        if address_file is not None:
            address_file.write_text(f"{server.host}:{server.port}")
        app = prepare()
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


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The folder {directory} cannot be made ({error.strerror}): set data_directory to one "
            "that this user may write to."
        ) from error
