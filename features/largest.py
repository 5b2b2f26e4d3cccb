"""The share of the largest payer: Misra-Gries counters of amounts (Misra and Gries 1982).

Six counters; a payer without one takes the smallest amount off all of them until one is free. A
counter is at most its payer's amount, and short of it by at most a seventh of the total. With
every block of 28 local days the counters and the total are halved, so a payer who left fades;
when both blocks are empty, all is forgotten.
"""

import numpy as np

from features.compiler import inlined
from features.layout import TOPS
from features.payers import mark_of
from features.views import Row


@inlined
def feed(row: Row, payer_hash: np.uint64, amount: int) -> None:
    """Count an amount, above 0, for a payer."""
    mark = mark_of(payer_hash)
    row.top_total += amount
    place, smallest = -1, 0
    for j in range(TOPS):
        if row.top_amount[j] > 0 and int(row.top_mark[j]) == mark:
            place = j
        if row.top_amount[j] < row.top_amount[smallest]:
            smallest = j
    if place < 0:
        least = min(int(row.top_amount[smallest]), amount)
        if least > 0:
            for j in range(TOPS):
                row.top_amount[j] -= least
                if row.top_amount[j] == 0:
                    row.top_mark[j] = 0
            amount -= least
        if amount == 0:
            return
        place = smallest
        row.top_mark[place] = mark
    row.top_amount[place] += amount


@inlined
def fade(row: Row, blocks: int) -> None:
    """Halve the counters once for each of up to 62 blocks."""
    row.top_total >>= blocks
    for j in range(TOPS):
        row.top_amount[j] >>= blocks
        if row.top_amount[j] == 0:
            row.top_mark[j] = 0


@inlined
def largest(row: Row) -> int:
    """Return the amount of the largest counter, minor units."""
    most = 0
    for j in range(TOPS):
        most = max(most, int(row.top_amount[j]))
    return most
