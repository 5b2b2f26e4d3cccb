"""How long what waits in our partitions of the log has waited.

Two moments bound it: when the partition was last seen without a lag, for nothing that waits is
older than that, and the timestamp of the newest record applied. Each misleads alone. Under a steady
load a lag is hardly ever nought, and on a quiet partition, or in a log of old records, the newest
record is old although nothing has waited. So the later moment counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.worker.app import App


def note_caught_up(app: App, now: int) -> None:
    """Note which of our partitions stand at the end of their log; the more often the better.

    Args:
        app: the worker's app.
        now: wall clock, epoch ms.
    """
    for holding in app.holdings.active():
        # Behind a hand-over no lag is known until the first fold has come.
        if holding.replayed() and not app.lag_records(app.input_tp(holding.number)):
            holding.caught_up_at = now


def log_delay_ms(app: App, number: int, now: int) -> int | None:
    """Return how long what waits in a partition of the log has waited, ms.

    Args:
        app: the worker's app.
        number: of the partition.
        now: wall clock, epoch ms.

    Returns:
        At least 0; None where it is not known: the partition is not ours, or nothing of it has been
        applied yet.
    """
    holding = app.holdings.get(number)
    if holding is None or not holding.active:
        return None
    if holding.replayed() and not app.lag_records(app.input_tp(number)):
        return 0
    since = max(holding.caught_up_at, holding.newest_timestamp)
    return max(0, now - since) if since else None
