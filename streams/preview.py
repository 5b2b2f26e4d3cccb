"""What a policy would do to the limits of the merchants that there are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from features.calendar import load_zone
from scorers.partition import Partition, Version
from streams.state.lookup import whole_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scorers.catalogue import Catalogue
    from scorers.evaluation import Updates
    from scorers.policy import Policy
    from streams.settings import Settings
    from streams.worker.versions import Versions

BOUNDS = (-0.5, -0.2, -0.1, 0.0, 0.1, 0.2, 0.5, 1.0)
"""Where the histogram parts changes, as shares of the limit."""


class Mover(msgspec.Struct, frozen=True):
    """A merchant whose limit would move.

    Attributes:
        merchant_id: the merchant.
        limit: limit now, minor units.
        would_be: limit at once with the policy, minor units.
    """

    merchant_id: str
    limit: int
    would_be: int


class Preview(msgspec.Struct, frozen=True):
    """What a policy would do at once, to the merchants enrolled for it.

    Raises come one raise step at a time, so what they lead to in the end may be more. A circuit
    breaker may hold them back for a while: that is left out.

    Attributes:
        merchants: enrolled for the policy (all, of everybody's).
        raised: whose limit would be raised.
        cut: whose limit would be cut.
        ended: of those cut, whose limit would be 0.
        total: sum of the limits now, minor units.
        total_would_be: sum of the limits with the policy, minor units.
        histogram: merchants whose limit would move, by the change as a share of it (1 of one that
            had none): below the first of `bounds`, between each two, and from the last on.
        bounds: of the histogram.
        movers: the largest changes.
    """

    merchants: int
    raised: int
    cut: int
    ended: int
    total: int
    total_would_be: int
    histogram: list[int]
    bounds: list[float]
    movers: list[Mover]


def preview(
    settings: Settings, versions: Versions, catalogue: Catalogue, policy: Policy, most: int = 20
) -> Preview:
    """Try a policy out on everything that is durable now; nothing is published.

    Args:
        settings: Where the state is.
        versions: What is in force.
        catalogue: The policies, the new one among them, as if it had just been published.
        policy: The new one; no shadow (`Catalogue.as_live`).
        most: Movers to name.
    """
    new_partition = partial(Partition, load_zone(settings.zone))
    before: list[NDArray[np.int64]] = []
    after: list[NDArray[np.int64]] = []
    movers: list[Mover] = []
    for holding in asyncio.run(whole_state(settings, new_partition)):
        partition = holding.partition
        if holding.checkpoint is None:
            continue
        current = replace(versions.named_by(holding.checkpoint), stops=frozenset())
        partition.activate(current)
        partition.evaluate_all(lambda _: None)
        before.append(partition.limits_of(policy.name))
        at = max(partition.watermark, policy.valid_from or 0)
        partition.activate(Version(current.scorecard, catalogue.in_force(at)))

        places = [p for p, each in enumerate(partition.version.policies) if each == policy]

        def note(
            updates: Updates, partition: Partition = partition, places: list[int] = places
        ) -> None:
            mine = np.isin(updates.policy, places)
            movers.extend(
                Mover(merchant.decode(), int(limit), int(would_be))
                for merchant, limit, would_be in zip(
                    partition.merchants_of(updates.row[mine]),
                    updates.previous[mine], updates.limit[mine], strict=True,
                )
            )  # fmt: skip

        partition.evaluate_all(note)
        after.append(partition.limits_of(policy.name))
    now, then = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (before, after))
    moved = then != now
    shares = ((then - now) / np.maximum(np.where(now > 0, now, then), 1))[moved]
    return Preview(
        merchants=len(now),
        raised=int(np.count_nonzero(then > now)),
        cut=int(np.count_nonzero(then < now)),
        ended=int(np.count_nonzero((then == 0) & (now > 0))),
        total=int(now.sum()),
        total_would_be=int(then.sum()),
        histogram=np.bincount(np.digitize(shares, BOUNDS), minlength=len(BOUNDS) + 1).tolist(),
        bounds=list(BOUNDS),
        movers=sorted(movers, key=lambda each: -abs(each.would_be - each.limit))[:most],
    )
