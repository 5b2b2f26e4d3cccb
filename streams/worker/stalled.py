"""Reads again what a partition that stands still should have been handed.

Around a rebalance Faust may drop a fold that it has fetched. On a busy partition the next fold
shows the gap; on an idle one nothing would, and the last payments would wait for the next one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from streams.worker.app import App

logger = logging.getLogger(__name__)

STALLED_AFTER_S = 5.0


async def reread_stalled(app: App, after_s: float = STALLED_AFTER_S) -> None:
    """Seek partitions on which records wait and nothing has come for `after_s`, for ever.

    A partition that is only slow loses nothing by it: what it has applied it skips.
    """
    stood: dict[int, int] = {}
    while True:
        await asyncio.sleep(after_s)
        for holding in app.holdings.active():
            at = holding.next_offset
            stands = stood.get(holding.number) == at and not holding.lock.locked()
            if stands and app.lag_records(holding.number):
                logger.warning("partition %d: nothing has come, reading from %d again",
                               holding.number, at)  # fmt: skip
                try:
                    await app.fold_consumer.read_from({app.input_tp(holding.number): at})
                except (KafkaError, TimeoutError) as error:
                    logger.warning("partition %d: not now: %s", holding.number, error)
            stood[holding.number] = holding.next_offset
