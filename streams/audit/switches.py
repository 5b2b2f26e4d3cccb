"""Which models and policies were in force at which offset of a partition."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from streams.dead_letters import field
from streams.state.holding import CHECKPOINT_KEY, LONGEST_MERCHANT_ID, CheckpointRecord
from streams.transport.inputs import NOTHING
from streams.transport.reading import fold_consumer, folds_to_end

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.settings import Settings

_decode = msgspec.json.Decoder(CheckpointRecord).decode


class Switches(NamedTuple):
    """The switches of one partition, in their order."""

    records: list[CheckpointRecord]
    """Each names what is in force behind its offset. The first also stands for what is before it,
    if that is not on record."""
    doubt: str | None
    """Why they are not known exactly, a sentence without its full stop; None if they are."""


async def read_switches(settings: Settings, number: int) -> Switches:
    """Return the switches of a partition, as its checkpoints have left them."""
    found: list[tuple[bytes, CheckpointRecord]] = []
    async with fold_consumer(settings, {}) as consumer:
        async for fold in folds_to_end(consumer, settings.topics.rows_changelog.name, number):
            records = fold.records
            for i in np.flatnonzero(records.key_length > LONGEST_MERCHANT_ID):
                key = field(fold, records.key_at[i], records.key_length[i]) or b""
                value = field(fold, records.value_at[i], records.value_length[i]) or b""
                found.append((key, _decode(value)))
    return switches_of(found)


def switches_of(found: Iterable[tuple[bytes, CheckpointRecord]]) -> Switches:
    """Put checkpoint records in order: those of switches, and the newest of all.

    Args:
        found: keys and records, in the order of the changelog.
    """
    newest: CheckpointRecord | None = None
    of_number: dict[int, CheckpointRecord] = {}
    doubt = None
    for key, record in found:
        if newest is None or record.offset >= newest.offset:
            newest = record
        if key == CHECKPOINT_KEY:
            continue
        known = of_number.get(record.switches)
        if known is not None and known != record:
            doubt = f"two workers have made switch {record.switches} in different ways"
        if known is None or record.offset >= known.offset:
            of_number[record.switches] = record
    if newest is None:
        return Switches([], "the partition has no checkpoint")
    records = [of_number[number] for number in sorted(of_number)] or [newest]
    return Switches(records, doubt or _gap(records, newest))


def _gap(records: list[CheckpointRecord], newest: CheckpointRecord) -> str | None:
    """Say what is not on record, or None."""
    first = records[0]
    if first.offset != NOTHING:
        return (
            f"models and policies that were in force up to offset {first.offset} are not on record"
        )
    for before, after in pairwise(records):
        if after.switches != before.switches + 1 or after.offset < before.offset:
            return (
                f"switches {before.switches} and {after.switches} of models and policies, behind "
                f"offsets {before.offset} and {after.offset}, do not follow each other"
            )
    if records[-1].switches != newest.switches:
        return f"the newest switch of models and policies, {newest.switches}, is not on record"
    return None
