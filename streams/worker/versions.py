"""Models and policies as they are published, read by every worker.

Each worker follows both topics. What is newest here takes effect in a partition only at a
checkpoint, which names it; so a replay uses the same model for the same offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorers.catalogue import Catalogue
from scorers.models import Models, load_model
from scorers.partition import Version
from scorers.policy import load_policy
from streams.brokers.clients import client_options
from streams.transport.following import TopicFollower

if TYPE_CHECKING:
    from collections.abc import Callable

    from scorers.policy import Policy
    from streams.contract.topics import Topics
    from streams.settings import Settings
    from streams.state.holding import CheckpointRecord, Holding


class Versions:
    """All models and policies that have been published.

    The built-in ones are always there.

    Args:
        lenders: who may have policies.

    Attributes:
        catalogue: the policies.
    """

    def __init__(self, lenders: tuple[str, ...]) -> None:
        self._models = Models()
        self.catalogue = Catalogue(lenders)

    def takers(self, topics: Topics) -> dict[str, Callable[[bytes, int], None]]:
        """Return for each topic the method that takes one of its records in."""
        return {topics.models.name: self.add_model, topics.policies.name: self.add_policy}

    def add_model(self, raw: bytes, _offset: int) -> None:
        """Take in a published model.

        Raises:
            ValueError: it is malformed or refused; what was there stays.
        """
        self._models.add(load_model(raw))

    def add_policy(self, raw: bytes, offset: int) -> None:
        """Take in a published policy.

        Raises:
            ValueError: it is malformed or refused; what was there stays.
        """
        self.catalogue.add(load_policy(raw), offset)

    def newest(self, at: int) -> Version:
        """Return the newest model and the policies in force at an event time (ms); no stops."""
        return Version(self._models.newest.scorecard, self.catalogue.in_force(at))

    def shadows(self, at: int) -> tuple[Policy, ...]:
        """Return the shadow policies that are counted at an event time (epoch ms)."""
        return self.catalogue.shadows(at)

    def newer_than(self, holding: Holding) -> bool:
        """Tell whether a partition has to take up the newest version, or to record its first."""
        record = holding.checkpoint
        return (
            record is None
            or self._models.newest.version != record.model_version
            or self.catalogue.moves(record.policies, holding.partition.watermark)
        )

    def named_by(self, record: CheckpointRecord) -> Version:
        """Return the version that a checkpoint names.

        Raises:
            LookupError: it has not been published, or not read yet.
        """
        position, at = record.policies
        try:
            return Version(
                self._models[record.model_version].scorecard,
                self.catalogue.in_force(at, position),
                frozenset(record.stops),
            )
        except KeyError:
            raise LookupError(
                f"the checkpoint names model version {record.model_version}, which the topic"
                " `models` does not hold"
            ) from None


async def read_versions(settings: Settings) -> Versions:
    """Return everything that is published on `models` and `policies` now."""
    versions = Versions(settings.lenders)
    reader = TopicFollower(
        versions.takers(settings.topics), client_options(settings), lambda _: None
    )
    await reader.read_to_end()
    await reader.close()
    return versions
