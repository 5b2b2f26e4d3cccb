"""Reads again what a partition that stands still should have been handed.

Around a rebalance Faust may drop a fold that it has fetched. On a busy partition the next fold
shows the gap; on an idle one nothing would, and the last payments would wait for the next one, or
a recovery for the end of a changelog.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from faust.types import TP

    from streams.worker.app import App

logger = logging.getLogger(__name__)

STALLED_AFTER_S = 5.0


async def reread_stalled(app: App, after_s: float = STALLED_AFTER_S) -> None:
    """Seek partitions on which records wait and nothing has come for `after_s`, for ever.

    A partition that is only slow loses nothing by it: what it has applied it skips. One whose next
    fold waits behind those of others is left alone.
    """
    stood: dict[TP, int] = {}
    while True:
        await asyncio.sleep(after_s)
        for tp in app.inputs:
            at = app.inputs.next_of(tp)
            holding = app.holdings.get(tp.partition)
            # The changelogs of an active partition are paused: it knows what it has written.
            awaited = (
                holding is not None
                and holding.active == (tp.topic == app.payments_topic)
                and not holding.lock.locked()
                and not app.waits(tp)
            )
            if awaited and stood.get(tp) == at and app.lag_records(tp):
                logger.warning("%s-%d: nothing has come, reading from %d again", *tp, at)
                try:
                    await app.fold_consumer.read_from({tp: at})
                except (KafkaError, TimeoutError) as error:
                    logger.warning("%s-%d: not now: %s", *tp, error)
            stood[tp] = app.inputs.next_of(tp)
