"""Runs a log through a partition, and gathers what came of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from features.calendar import load_zone
from scorers.catalogue import Policies
from scorers.entitlements import RECORD, Entitled
from scorers.evaluation import BY_TIME
from scorers.merchants import Enrolment
from scorers.partition import Partition, Version
from scorers.policy import BUILT_IN as BUILT_IN_POLICY
from scorers.prior import BUILT_IN as BUILT_IN_SCORECARD
from tests.scorers.logs import columns
from tests.scorers.partition_model import Update

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scorers.evaluation import Updates
    from scorers.merchants import MerchantEvent
    from tests.scorers.logs import Record

ZONE = load_zone("Asia/Shanghai")

# Quick to grant, so that short logs have limits that rise and fall.
EAGER = Version(
    BUILT_IN_SCORECARD,
    Policies(
        [
            msgspec.structs.replace(
                BUILT_IN_POLICY,
                starter_payments=2,
                starter_payers=1,
                starter_days=1,
                advance_rate=0.5,
            )
        ]
    ),
)


def by(version: Version, /, **changes: Any) -> Version:
    """Return a version with changes in everybody's policy."""
    policies = Policies([msgspec.structs.replace(version.policies.everybodys, **changes)])
    return Version(version.scorecard, policies)


def new_partition(*, updates_at_once: int = 64) -> Partition:
    return Partition(ZONE, EAGER, updates_at_once=updates_at_once)


def run(
    partition: Partition,
    log: Sequence[Record],
    first_offset: int = 0,
    amendments: Mapping[int, MerchantEvent] | None = None,
) -> tuple[list[int], list[Update]]:
    """Apply one batch; return the outcomes and the updates.

    The merchant events stand at the offsets of relayed records; each is its own source.
    """
    events, text = columns(log, first_offset)
    gathered: list[Update] = []

    def gather(updates: Updates) -> None:
        gathered.extend(
            Update(
                partition.merchants_of(updates.row[i : i + 1])[0],
                int(updates.version[i]),
                int(updates.previous[i]),
                int(updates.limit[i]),
                int(updates.as_of[i]),
                int(updates.offset[i]),
                bool(updates.cause[i] == BY_TIME),
                partition.version.policies[int(updates.policy[i])].lender,
            )
            for i in range(len(updates.row))
        )

    def relayed(i: int) -> None:
        offset = first_offset + i
        event = (amendments or {})[offset]
        partition.amend(event.merchant_id.encode(), Enrolment(event, (0, offset)), offset=offset)

    partition.apply(events, text, gather, relayed)
    return events.outcome.tolist(), gathered


def in_pieces(
    partition: Partition,
    log: Sequence[Record],
    cuts: Sequence[int],
    amendments: Mapping[int, MerchantEvent],
) -> list[Update]:
    """Apply a log in batches that end at the cuts; return the updates."""
    bounds = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    pieces = [run(partition, log[a:b], a, amendments) for a, b in pairwise(bounds)]
    return [update for _, part in pieces for update in part]


def rows_of(partition: Partition) -> dict[bytes, bytes | None]:
    """Return every merchant's row, as the changelog would carry it."""
    return {merchant: partition.row_bytes(merchant) for merchant in partition.merchants()}


def blank_record() -> Entitled:
    """Return a record of its own, to write to."""
    return cast(Entitled, np.zeros(1, np.dtype((np.record, RECORD)))[0])
