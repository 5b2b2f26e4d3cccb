"""Models and policies as they are published, read by every worker.

Each worker follows both topics. What is newest here takes effect in a partition only at a
checkpoint, which names it; so a replay uses the same model for the same offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorers.models import Models, load_model
from scorers.partition import Version
from scorers.policy import load_policy
from streams.brokers.clients import client_options
from streams.transport.following import TopicFollower

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.contract.topics import Topics
    from streams.settings import Settings
    from streams.state.holding import CheckpointRecord, Holding


class Versions:
    """All models and policies that have been published, by version.

    The built-in ones are always there.
    """

    def __init__(self) -> None:
        built_in = Version()
        self._models = Models()
        self._policies = {built_in.policy.version: built_in.policy}

    def takers(self, topics: Topics) -> dict[str, Callable[[bytes], None]]:
        """Return for each topic the method that takes one of its records in."""
        return {topics.models.name: self.add_model, topics.policies.name: self.add_policy}

    def add_model(self, raw: bytes) -> None:
        """Take in a published model.

        Raises:
            ValueError: it is malformed or refused; what was there stays.
        """
        self._models.add(load_model(raw))

    def add_policy(self, raw: bytes) -> None:
        """Take in a published policy.

        Raises:
            ValueError: it is malformed; what was there stays.
        """
        policy = load_policy(raw)
        self._policies[policy.version] = policy

    def newest(self) -> Version:
        """Return the model and the policy with the highest versions."""
        return Version(self._models.newest.scorecard, self._policies[max(self._policies)])

    def newer_than(self, holding: Holding) -> bool:
        """Tell whether a partition has to take up the newest version, or to record its first."""
        if holding.checkpoint is None:
            return True
        newest = self.newest()
        return (newest.scorecard.version, newest.policy.version) != (
            holding.checkpoint.model_version,
            holding.checkpoint.policy_version,
        )

    def named_by(self, record: CheckpointRecord) -> Version:
        """Return the version that a checkpoint names.

        Raises:
            LookupError: it has not been published, or not read yet.
        """
        try:
            return Version(
                self._models[record.model_version].scorecard,
                self._policies[record.policy_version],
            )
        except KeyError:
            raise LookupError(
                f"the checkpoint names model version {record.model_version} and policy version "
                f"{record.policy_version}, which the topics `models` and `policies` do not hold"
            ) from None


async def read_versions(settings: Settings) -> Versions:
    """Return everything that is published on `models` and `policies` now."""
    versions = Versions()
    reader = TopicFollower(
        versions.takers(settings.topics), client_options(settings), lambda _: None
    )
    await reader.read_to_end()
    await reader.close()
    return versions
