"""Ticks: records that let time pass for merchants who receive nothing.

The owner of a partition writes its ticks, so no leader is needed; two owners in the moment of a
hand-over only make one tick too many, which changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from streams.contract.messages import Tick
from streams.ending import end_process
from streams.wire.encode import encode_messages

if TYPE_CHECKING:
    from streams.worker.app import App


async def publish_ticks(app: App) -> None:
    """Write a tick into every active partition, each `tick_interval_s`, for ever."""
    while True:
        try:
            value = msgspec.json.encode(Tick(occurred_at=time.time_ns() // 1_000_000))
            for holding in app.holdings.active():
                for batch in encode_messages([(None, value)]):
                    await app.batch_producer.send_batch(batch, app.payments_topic, holding.number)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end_process("a tick could not be written", error)
        await asyncio.sleep(app.settings.tick_interval_s)
