"""Limit updates on their way to the lenders, which a worker that is far behind gathers first."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorers.evaluation import BY_EVENT
from streams.worker.limit_updates import LimitUpdates, Moved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from numpy.typing import NDArray

    from scorers.evaluation import Updates
    from streams.contract.topics import Topic
    from streams.observability.metrics import Metrics
    from streams.state.holding import Holding
    from streams.transport.fold import Fold
    from streams.wire.encode import Message
    from streams.worker.outbox import Outbox

GATHER_S = 2.0
"""Most seconds for which updates are gathered."""

GATHER_S_PER_RECORD = 1 / 50_000
"""Seconds for each record of a partition that waits: to gather takes no longer than to catch up."""

GATHERS_BEHIND = 20_000
"""Records of a partition that wait, from which on updates are gathered."""

LOOK_EVERY_S = 0.1
"""Seconds between two looks at whether what has been gathered is due."""


def gathering_s(behind: int) -> float:
    """Return for how long a worker gathers updates that has so many records before it, in seconds.

    >>> gathering_s(20_000), gathering_s(50_000), gathering_s(1_000_000)
    (0.0, 1.0, 2.0)
    """
    return min(GATHER_S, behind * GATHER_S_PER_RECORD) if behind > GATHERS_BEHIND else 0.0


class _Gathered(NamedTuple):
    moved: Moved
    caused: NDArray[np.int64]
    """Timestamps of the records that moved a limit of their own merchant, epoch ms."""


class UpdatePublisher:
    """Publishes limit updates, of each lender on its topic.

    With a thousand lenders a fold moves a limit or two of each, and a batch costs the same for one
    as for a hundred. So they may be gathered, as the engine's columns, and leave together.

    Args:
        outbox: what publishes them.
        topics: by lender.
        payments_topic: topic that the payments came from.
        metrics: told of what the broker has acknowledged.
    """

    def __init__(
        self, outbox: Outbox, topics: Mapping[str, Topic], payments_topic: str, metrics: Metrics
    ) -> None:
        self._outbox = outbox
        self._topics = topics
        self._metrics = metrics
        self._encode = LimitUpdates(payments_topic).encode
        self._gather_s = 0.0
        self._hurried = 0
        self._gathered: list[_Gathered] = []
        self._since = 0.0
        self._promised: dict[int, asyncio.Future[None]] = {}

    async def publish(self, holding: Holding, fold: Fold, updates: Updates) -> None:
        """Publish what a fold has moved, or gather it; a checkpoint waits for it either way.

        Waits while too much of what was published before is not acknowledged.
        """
        if not self._gathered:
            self._since = time.monotonic()
        caused = fold.records.timestamp[updates.event[updates.cause == BY_EVENT]]
        self._gathered.append(_Gathered(Moved.of(holding, updates), caused))
        if holding.number not in self._promised:
            self._promised[holding.number] = self._outbox.promise(holding.number)
        if self._due():
            await self._let_go()

    def gather(self, seconds: float) -> None:
        """Gather updates for so many seconds from now on; of use to who is far behind."""
        self._gather_s = seconds

    @asynccontextmanager
    async def hurried(self) -> AsyncIterator[None]:
        """Gather nothing while somebody waits for what is owed."""
        self._hurried += 1
        try:
            await self._let_go()
            yield
        finally:
            self._hurried -= 1

    async def run(self) -> None:
        """Publish what is due though no fold has come behind it, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._due():
                await self._let_go()

    def _due(self) -> bool:
        return bool(self._hurried) or time.monotonic() - self._since >= self._gather_s

    async def _let_go(self) -> None:
        gathered, self._gathered = self._gathered, []
        promised, self._promised = self._promised, {}
        if not gathered:
            return
        messages: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
        for each, _ in gathered:
            for lender, of_lender in self._encode(each).items():
                topic = self._topics[lender]
                messages[topic.name, each.number % topic.partitions] += of_lender

        def acknowledged() -> None:
            for each, caused in gathered:
                updates = each.updates
                cuts = int(np.count_nonzero(updates.limit < updates.previous))
                raises = len(updates.limit) - cuts
                self._metrics.limits_updated(raises, cuts, time.time() - caused / 1000.0)
            for promise in promised.values():
                # A checkpoint that was given up has cancelled what it waited for.
                if not promise.done():
                    promise.set_result(None)

        await self._outbox.publish_all(None, messages, acknowledged)
