"""Payment ids that are durable ahead of the clock.

A checkpoint writes the ids before the clock. After a crash between the two, the pages hold ids
of events that will come again. They must not be looked up before their event comes: what was a
duplicate then may only be judged by what lay before it, and an hour of event time may fit into
one checkpoint. But whether they counted must be known when their event comes again and its row
is ahead too, because then the row tells no more. So they wait here, and their offsets tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from features.pages import Entries


class Ahead:
    """Pages, or parts of them, that lie behind the offset of the clock."""

    def __init__(self) -> None:
        self._waiting: list[Entries] = []
        self._offsets: NDArray[np.int64] | None = None

    def add(self, entries: Entries) -> None:
        """Keep entries until the clock has passed them."""
        if len(entries.offsets):
            self._waiting.append(entries)
            self._offsets = None

    def offsets(self) -> NDArray[np.int64]:
        """Return the offsets that wait, ascending and each once."""
        if self._offsets is None:
            waiting = [entries.offsets for entries in self._waiting]
            self._offsets = np.unique(np.concatenate([np.zeros(0, np.int64), *waiting]))
        return self._offsets

    def passed(self, offset: int) -> list[Entries]:
        """Forget and return the entries up to an offset, in the order in which they came."""
        if not self._waiting:
            return []
        done = [entries.where(entries.offsets <= offset) for entries in self._waiting]
        left = [entries.where(entries.offsets > offset) for entries in self._waiting]
        self._waiting = [entries for entries in left if len(entries.offsets)]
        self._offsets = None
        return [entries for entries in done if len(entries.offsets)]
