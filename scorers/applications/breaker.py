"""The circuit breaker: approvals of a lender's product that leave the ordinary stop for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorers.applications.messages import BASIS_POINTS
from scorers.applications.terms import SLICES

if TYPE_CHECKING:
    from scorers.applications.terms import Band
    from scorers.exposure import Line
    from scorers.store import Store


class Slice(NamedTuple):
    """What was answered in one part of the window."""

    starts_at: int
    """Event time, epoch ms."""
    answered: int
    approved: int
    amount: int
    """Approved, minor units."""


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered lately of one line.

    Attributes:
        slices: parts of the window in which something was answered, oldest first.
        open_until: event time at which the breaker closes, epoch ms; it is closed from then on.
        schema_version: of this layout.
    """

    slices: tuple[Slice, ...] = ()
    open_until: int = 0
    schema_version: int = 1


CLOSED = Window()


class Breaker:
    """The circuit breakers of one partition.

    Each looks at the slice of now and the eleven before it, so at no more than its window and at
    no less than eleven twelfths of it.

    Args:
        store: keeps a `Window` by lender, product and currency.
    """

    def __init__(self, store: Store[Window]) -> None:
        self._store = store

    def is_open(self, line: Line, clock: int) -> bool:
        """Tell whether the breaker of a line is open at an event time, epoch ms."""
        window = self._store.get(line)
        return window is not None and clock < window.open_until

    def count(self, line: Line, band: Band, clock: int, approved: int) -> bool:
        """Count an answer, and tell whether it has opened the breaker.

        The answer itself stands. The window is empty when the breaker closes again.

        Args:
            line: the lender's product and currency.
            band: what is ordinary.
            clock: event time of the answer, epoch ms; never falls.
            approved: minor units; 0 for an answer that is no approval.
        """
        window = self._store.get(line) or CLOSED
        slices = _added(window.slices, clock, band.window_ms // SLICES, approved)
        opens = not _is_ordinary(slices, band)
        if opens:
            self._store.put(line, Window(open_until=clock + band.cool_off_ms))
        else:
            self._store.put(line, Window(slices))
        return opens


def _added(slices: tuple[Slice, ...], clock: int, width: int, approved: int) -> tuple[Slice, ...]:
    starts_at = clock // width * width
    oldest = starts_at - (SLICES - 1) * width
    if slices and slices[0].starts_at < oldest:
        slices = tuple(each for each in slices if each.starts_at >= oldest)
    # A policy that widens the slices may have the last one begin later than the one of now.
    if slices and slices[-1].starts_at >= starts_at:
        slices, last = slices[:-1], slices[-1]
    else:
        last = Slice(starts_at, 0, 0, 0)
    now = Slice(
        last.starts_at, last.answered + 1, last.approved + (approved > 0), last.amount + approved
    )
    return (*slices, now)


def _is_ordinary(slices: tuple[Slice, ...], band: Band) -> bool:
    answered = approved = amount = 0
    for each in slices:
        answered += each.answered
        approved += each.approved
        amount += each.amount
    if amount > band.largest_sum:
        return False
    if answered < band.least_answers:
        return True
    share = approved * BASIS_POINTS
    return band.lowest_share_bps * answered <= share <= band.highest_share_bps * answered
