"""Asks the broker now and then how large our topics are: what their disks cost is a metric too."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from streams.brokers.log_sizes import log_sizes

if TYPE_CHECKING:
    from streams.observability.metrics import Stored
    from streams.worker.app import App

ASK_EVERY_S = 300.0
"""Seconds between two questions: each lists every partition of every topic."""

logger = logging.getLogger(__name__)


async def report_stored(app: App, every_s: float = ASK_EVERY_S) -> None:
    """Report the bytes of all topics as `duoshou cost` counts them, for ever.

    No limit depends on it. So where the broker does not say, the log has the reason once and there
    is no figure.

    Args:
        app: the worker's app.
        every_s: seconds between two times.
    """
    said = ""
    while True:
        try:
            sizes = await asyncio.to_thread(log_sizes, app.settings)
        except Exception as error:
            app.metrics.stored({})
            if said != (said := str(error)):
                logger.info("what is stored is not known: %s", said)
        else:
            said = ""
            by_kind: defaultdict[Stored, int] = defaultdict(int)
            for topic, size in sizes.items():
                by_kind[app.written_kinds.get(topic, "others")] += size
            app.metrics.stored(by_kind)
        await asyncio.sleep(every_s)
