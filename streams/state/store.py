"""Faust table stores whose content is rows and pages, recovered a fold at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from faust.stores.base import Store

from streams.ending import end_process
from streams.transport.inputs import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from faust.types import TP

    from streams.observability.metrics import Metrics
    from streams.state.holding import Holding, Holdings
    from streams.transport.fold import Fold


class Host(Protocol):
    """What the app of these stores has beside Faust's own."""

    holdings: Holdings
    metrics: Metrics


class HoldingStore(Store[bytes, bytes]):
    """Table store over the worker's holdings; changes come from checkpoints, not from `[]=`."""

    @property
    def _host(self) -> Host:
        return cast(Host, self.app)

    def restore(self, holding: Holding, fold: Fold) -> None:
        """Take one fold of this table's changelog into a holding."""
        raise NotImplementedError

    def persisted_offset(self, tp: TP) -> int:
        """Return the changelog offset up to which memory is complete, -1 for nothing.

        Never None: Faust would go on from the offset it remembers itself and skip part of the
        replay of a partition that comes back.
        """
        holding = self._host.holdings.get(tp.partition)
        return NOTHING if holding is None else int(holding.positions.get(tp.topic, NOTHING))

    def apply_changelog_batch(
        self,
        batch: Iterable[Any],
        to_key: Callable[[Any], bytes],
        to_value: Callable[[Any], bytes],
    ) -> None:
        """Apply folds of the changelog.

        A failure ends the process: Faust would log one warning and go on without the rows.
        """
        try:
            wanted = self.app.assignor.assigned_actives() | self.app.assignor.assigned_standbys()
            for event in batch:
                # Folds of a partition that has just been lost may still be in the queue.
                if event.message.tp in wanted:
                    holding = self._host.holdings.hold(event.message.tp.partition)
                    if holding.active:
                        holding.passed_over(event.message.value)
                    else:
                        self.restore(holding, event.message.value)
                    self._host.metrics.progressed()
        except Exception as error:
            end_process(f"the changelog of table {self.table_name} could not be applied", error)

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        """Forget the partitions that are gone; those that stay keep their rows."""
        for tp in revoked:
            if tp.topic == self.table.changelog_topic.get_topic_name():
                self._host.holdings.drop(tp.partition)

    def reset_state(self) -> None:
        """Do nothing: nothing is kept on disk."""

    async def backup_partition(self, *arguments: Any, **options: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise NotImplementedError("rows are restored from their changelog")

    def restore_backup(self, *arguments: Any, **options: Any) -> None:
        """Refuse: the changelog is the backup."""
        raise NotImplementedError("rows are restored from their changelog")

    def __iter__(self) -> Iterator[bytes]:
        for holding in self._host.holdings:
            yield from holding.partition.merchants()

    def __len__(self) -> int:
        return sum(map(len, (holding.partition for holding in self._host.holdings)))

    def __getitem__(self, key: bytes) -> bytes:
        for holding in self._host.holdings:
            row = holding.partition.row_bytes(key)
            if row is not None:
                return bytes(row)
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("rows change by payments only")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("rows change by payments only")


class RowStore(HoldingStore):
    """The merchants' rows and the checkpoint record of each partition."""

    def restore(self, holding: Holding, fold: Fold) -> None:
        """Take rows in."""
        holding.restore_rows(fold)


class LedgerStore(HoldingStore):
    """The books of each partition's ledger."""

    def restore(self, holding: Holding, fold: Fold) -> None:
        """Take entries and marks in."""
        holding.restore_ledger(fold)


class PaymentIdStore(HoldingStore):
    """The pages of payment ids by which duplicates are known."""

    def restore(self, holding: Holding, fold: Fold) -> None:
        """Take pages in."""
        holding.restore_ids(fold)
