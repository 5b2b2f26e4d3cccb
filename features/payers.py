"""How many distinct payers: adaptive sampling over the last 28 local days.

A payer is a mark of 32 hash bits. At level L those are kept whose marks end in at least L zero
bits, so one payer in 2**L; when the 32 places are full, the level rises and half of them go
(Wegman's adaptive sampling; Flajolet 1990). Up to 32 payers in 28 days the level is 0 and the
count exact; above, its standard error is 1.2 / sqrt(32) = 21 %.

The window moves, so the level must fall again. Each entry keeps the highest level since it was
last seen, its weight: it is there with a probability of 1 in 2**weight, and stands for as many
(Horvitz and Thompson 1952). When entries of a day have expired and fewer than 12 are left, the
level falls by one, and to 0 when none is left.
"""

from typing import Final

import numpy as np

from features.compiler import inlined, kernel
from features.layout import PAYERS, WINDOW
from features.views import Row

FEW: Final = 12
"""With fewer entries than this at the end of a day, the level falls."""

_MARK = np.uint64(0xFFFFFFFF)


@kernel
def mark_of(payer_hash: np.uint64) -> int:
    """Return the 32 bits by which a payer is known, never 0."""
    return max(int(np.int64(payer_hash & _MARK)), 1)


@kernel
def _ends_in_zeros(mark: int, level: int) -> bool:
    return bool(mark & ((1 << level) - 1) == 0)


@inlined
def _age(row: Row, j: int) -> int:
    """Return how many local days ago the entry was last seen."""
    return (int(row.day) - int(row.payer_day[j])) & 0xFF


@inlined
def _drop(row: Row, j: int) -> None:
    row.payer_mark[j] = 0
    row.payer_day[j] = 0
    row.payer_weight[j] = 0


@inlined
def forget_all(row: Row) -> None:
    """Empty the sketch."""
    for j in range(PAYERS):
        _drop(row, j)
    row.payer_level = 0


@inlined
def expire(row: Row) -> None:
    """Forget payers that were last seen before the 28 days that end with the row's day.

    To be called once for every day that `row.day` comes to, leaving out none.
    """
    left = 0
    for j in range(PAYERS):
        if row.payer_mark[j] != 0:
            if _age(row, j) >= WINDOW:
                _drop(row, j)
            else:
                left += 1
    level = int(row.payer_level)
    if left == 0:
        row.payer_level = 0
    elif left < FEW and level > 0:
        row.payer_level = level - 1


@inlined
def _rise(row: Row) -> int:
    """Raise the level by one, and return a place that became free, or -1."""
    level = int(row.payer_level) + 1
    row.payer_level = level
    free = -1
    for j in range(PAYERS):
        if not _ends_in_zeros(int(row.payer_mark[j]), level):
            _drop(row, j)
            free = j
        elif row.payer_weight[j] < level:
            row.payer_weight[j] = level
    return free


@inlined
def see(row: Row, payer_hash: np.uint64, day: int) -> None:
    """Note that a payer paid on a local day, which is not after the row's."""
    if int(row.day) - day >= WINDOW:
        return
    mark = mark_of(payer_hash)
    if not _ends_in_zeros(mark, int(row.payer_level)):
        return
    place, free = -1, -1
    for j in range(PAYERS):
        held = int(row.payer_mark[j])
        if held == mark:
            place = j
        if held == 0:
            free = j
    if place >= 0:
        if _age(row, place) > int(row.day) - day:
            row.payer_day[place] = day & 0xFF
    else:
        while free < 0:
            free = _rise(row)
        if not _ends_in_zeros(mark, int(row.payer_level)):
            return
        place = free
        row.payer_mark[place] = mark
        row.payer_day[place] = day & 0xFF
    row.payer_weight[place] = row.payer_level


@inlined
def count(row: Row, days: int) -> tuple[int, int]:
    """Return the estimated number of payers of the last `days` local days, and of the last 28."""
    lately, total = 0, 0
    today = int(row.day)
    for j in range(PAYERS):
        # Without branches, as in `vector`: a free place is of weight 0 and counts nothing.
        payers = (1 if row.payer_mark[j] != 0 else 0) << int(row.payer_weight[j])
        total += payers
        lately += payers if (today - int(row.payer_day[j])) & 0xFF < days else 0
    return lately, total
