"""What a fold of payments does to its partition, without anything being published.

The worker publishes what it returns. Whoever reads the log again to see what it leads to (an
audit) gets the same from the same records, however they are cut into folds.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from features.calendar import load_zone
from features.events import Events, Outcome, places_of
from scorers.evaluation import Updates
from scorers.partition import Partition
from streams.worker.handlers import handled
from streams.worker.relayed import Outputs, RelayedEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.observability.metrics import Metrics
    from streams.settings import Settings
    from streams.state.holding import Holding
    from streams.transport.fold import Fold


RELAYED_AT_ONCE = 200
"""Relayed events, some hundred microseconds each, between two looks at everything else."""


class Effects(NamedTuple):
    """What one fold led to."""

    updates: list[Updates]
    """Limit updates as the engine's columns, in the order of the log."""
    outputs: Outputs


class FoldApplier:
    """Applies folds of the topic `payments` to their partitions.

    Args:
        settings: topics and partitions.
        metrics: where to report to what became of relayed events.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._partitions = settings.partitions
        self._relayed = RelayedEvents(handled(settings.topics), metrics)

    def apply(self, holding: Holding, fold: Fold) -> Effects:
        """Apply a decoded fold to the partition that it is of, and say what follows."""
        effects = self.begin()
        for _ in self.stretches(holding, fold, effects):
            pass
        return effects

    def begin(self) -> Effects:
        """Return effects to be filled by `stretches`."""
        return Effects([], Outputs.none(self._partitions))

    def stretches(self, holding: Holding, fold: Fold, effects: Effects) -> Iterator[None]:
        """Apply a fold, and pause after every `RELAYED_AT_ONCE` relayed events."""
        events, text = fold.decoded.events, fold.decoded.text
        relayed = places_of(events.outcome, Outcome.RELAYED)[RELAYED_AT_ONCE::RELAYED_AT_ONCE]
        for start, stop in pairwise([0, *relayed, len(events.offset)]):
            if start:
                yield
            part = slice(start, stop)
            holding.partition.apply(
                Events._make(column[part] for column in events) if relayed else events,
                text,
                partial(_keep, effects.updates, start),
                partial(self._apply_relayed, holding, fold, effects.outputs, start),
            )

    def _apply_relayed(
        self, holding: Holding, fold: Fold, outputs: Outputs, start: int, i: int
    ) -> None:
        self._relayed.apply(holding, fold, start + i, outputs)


def partition_maker(settings: Settings) -> Callable[[], Partition]:
    """Return what makes an empty partition under these settings."""
    zone = load_zone(settings.zone)
    return lambda: Partition(
        zone,
        skew_ms=int(settings.allowed_skew_s * 1000),
        horizon_ms=int(settings.late_horizon_s * 1000),
    )


def _keep(moved: list[Updates], start: int, updates: Updates) -> None:
    """Keep the updates of a stretch in arrays of their own: the engine uses its arrays again."""
    copy = Updates._make(column.copy() for column in updates)
    copy.event[:] += start
    moved.append(copy)
