"""Reads what is durable of merchants out of the changelogs, without being a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from features.calendar import load_zone
from scorers.partition import Partition
from streams.decode.routing import home_of
from streams.state.holding import CHECKPOINT_KEY, CheckpointRecord, Holding, place_of
from streams.transport.reading import fold_consumer, folds_to_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from scorers.accounts import Accounts
    from streams.settings import Settings
    from streams.transport.fold import Fold


async def find_row(
    settings: Settings, merchant_id: str
) -> tuple[bytes | None, CheckpointRecord | None]:
    """Return a merchant's newest durable row and its partition's newest checkpoint record.

    The row is at most one checkpoint old; None when the merchant has none.
    """
    key = merchant_id.encode()
    number = home_of(key, settings.partitions)
    topic = settings.topics.rows_changelog.name
    row: bytes | None = None
    record: CheckpointRecord | None = None
    async with fold_consumer(settings, {}) as consumer:
        async for fold in folds_to_end(consumer, topic, number):
            row = _last(fold, key, row)
            mark = _last(fold, CHECKPOINT_KEY, None)
            if mark is not None:
                record = msgspec.json.decode(mark, type=CheckpointRecord)
    return row, record


async def find_accounts(settings: Settings, merchant_id: str) -> Accounts:
    """Return the accounts of a merchant's partition as of the ledger's newest mark.

    That is at most one checkpoint ago.
    """
    number = home_of(merchant_id.encode(), settings.partitions)
    holding = Holding(number, Partition(load_zone(settings.zone)))
    async with fold_consumer(settings, {}) as consumer:
        async for fold in folds_to_end(consumer, settings.topics.ledger_changelog.name, number):
            holding.restore_ledger(fold)
    holding.accounts.begin(place_of(settings, number))
    return holding.accounts


async def whole_state(settings: Settings, new_partition: Callable[[], Partition]) -> list[Holding]:
    """Return every partition's merchants as they are durable now: rows and checkpoint record."""
    topic = settings.topics.rows_changelog.name
    holdings = [Holding(number, new_partition()) for number in range(settings.partitions)]
    async with fold_consumer(settings, {}) as consumer:
        for holding in holdings:
            async for fold in folds_to_end(consumer, topic, holding.number):
                holding.restore_rows(fold)
    return holdings


def _last(fold: Fold, key: bytes, before: bytes | None) -> bytes | None:
    """Return the value of the last record with a key in a fold; `before` when it has none."""
    records = fold.records
    for i in np.flatnonzero(records.key_length == len(key))[::-1]:
        at = int(records.key_at[i])
        if fold.text[at : at + len(key)].tobytes() == key:
            value, length = int(records.value_at[i]), int(records.value_length[i])
            return None if length < 0 else fold.text[value : value + length].tobytes()
    return before
