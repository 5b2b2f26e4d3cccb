"""The order of the folds of each partition: none is taken twice, none is left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiokafka.errors import IllegalStateError
from faust.types import TP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from streams.transport.fold import Fold

logger = logging.getLogger(__name__)

NOTHING = -1
"""The offset of a partition that has not been sought."""


class Inputs:
    """Knows where reading of each partition stands, of the input and of changelogs.

    Around a rebalance Faust may hand on a fold from before the seek, or drop one. What lies in
    the gap would be taken for read if anything behind it were applied.

    Args:
        read_from: seeks partitions; it says so here with `begin`.
    """

    def __init__(self, read_from: Callable[[Mapping[TP, int]], Awaitable[None]]) -> None:
        self._read_from = read_from
        self._next: dict[TP, int] = {}

    def begin(self, tp: TP, offset: int) -> None:
        """Note the offset at which the next fold of a partition will begin."""
        self._next[tp] = offset

    def forget(self, tp: TP) -> None:
        """Take no fold of a partition until it has been sought again."""
        self._next.pop(tp, None)

    def next_of(self, tp: TP) -> int:
        """Return the offset that the next fold must begin at; -1 until it was sought."""
        return self._next.get(tp, NOTHING)

    def __iter__(self) -> Iterator[TP]:
        return iter(list(self._next))

    def is_next(self, fold: Fold) -> bool:
        """Tell whether a fold goes on where the last one ended."""
        at = self.next_of(TP(fold.topic, fold.partition))
        return at != NOTHING and fold.first_offset <= at <= fold.last_offset

    async def next_in_line(self, fold: Fold) -> bool:
        """Tell whether a fold goes on where the last one ended.

        One from before that is to be dropped; behind a gap, reading goes back to where it began.
        """
        tp = TP(fold.topic, fold.partition)
        at = self.next_of(tp)
        if self.is_next(fold):
            return True
        if at == NOTHING or fold.last_offset < at:
            return False
        logger.info(
            "%s-%d: reading again from %d, a fold begins at %d",
            tp.topic, tp.partition, at, fold.first_offset,
        )  # fmt: skip
        await self.read_again([tp])
        return False

    async def read_again(self, tps: Iterable[TP]) -> None:
        """Seek partitions to where the next fold of each must begin."""
        for tp in tps:
            at = self.next_of(tp)
            if at == NOTHING:
                continue
            try:
                await self._read_from({tp: at})
            except IllegalStateError:
                # Lost in this very moment: its next owner reads it.
                self.forget(tp)

    def passed(self, fold: Fold) -> None:
        """Note that a fold has been dealt with."""
        self._next[TP(fold.topic, fold.partition)] = fold.last_offset + 1
