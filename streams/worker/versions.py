"""Models and policies as they are published, read by every worker.

Each worker reads the whole of both topics with a plain consumer outside the group. What is
newest here takes effect in a partition only at a checkpoint, which names it; so a replay uses
the same model for the same offsets.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiokafka

from scorers.models import Models, load_model
from scorers.partition import Version
from scorers.policy import load_policy
from streams.brokers.clients import client_options
from streams.worker.ending import end_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.contract.topics import Topics
    from streams.settings import Settings
    from streams.state.holding import CheckpointRecord, Holding

logger = logging.getLogger(__name__)


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


class VersionReader:
    """Keeps `Versions` up to date from the topics `models` and `policies`.

    Args:
        topics: for each topic the function that takes a record in (`Versions.takers`).
        client: settings of the Kafka client (servers, security).
        refused: called with the topic for each record that was refused.
    """

    def __init__(
        self,
        topics: Mapping[str, Callable[[bytes], None]],
        client: Mapping[str, Any],
        refused: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._client = client
        self._refused = refused
        self._consumer: aiokafka.AIOKafkaConsumer | None = None

    async def read_to_end(self) -> None:
        """Read everything published so far."""
        consumer = aiokafka.AIOKafkaConsumer(
            **self._client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=500,
        )
        await consumer.start()
        self._consumer = consumer
        partitions = [
            aiokafka.TopicPartition(topic, partition)
            for topic in self._topics
            for partition in consumer.partitions_for_topic(topic) or await self._partitions(topic)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        for tp in partitions:
            await consumer.seek_to_beginning(tp)
            while begins[tp] < ends[tp] and await consumer.position(tp) < ends[tp]:
                self._take(await consumer.getmany(tp, timeout_ms=500))

    async def _partitions(self, topic: str) -> set[int]:
        if self._consumer is None:
            return set()
        await self._consumer._client._wait_on_metadata(topic)
        return self._consumer.partitions_for_topic(topic) or set()

    async def run(self) -> None:
        """Go on reading, for ever."""
        if self._consumer is None:
            raise RuntimeError("read_to_end comes first")
        try:
            while True:
                self._take(await self._consumer.getmany(timeout_ms=1000))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end_process("models and policies can no longer be read", error)
        finally:
            await self.close()

    async def catch_up(self) -> None:
        """Wait until everything that is published now has been read; `run` must be running."""
        if self._consumer is None:
            raise RuntimeError("read_to_end comes first")
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        for tp, end in ends.items():
            while await self._consumer.position(tp) < end:  # noqa: ASYNC110  (only it knows)
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Hang up."""
        if self._consumer is not None:
            await self._consumer.stop()

    def _take(self, fetched: Mapping[Any, list[Any]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                if record.value is None:
                    continue
                try:
                    self._topics[tp.topic](record.value)
                except ValueError as error:
                    self._refused(tp.topic)
                    logger.error(
                        "refused %s-%d at offset %d, what was in force stays: %s",
                        tp.topic, tp.partition, record.offset, error,
                    )  # fmt: skip


async def read_versions(settings: Settings) -> Versions:
    """Return everything that is published on `models` and `policies` now."""
    versions = Versions()
    reader = VersionReader(
        versions.takers(settings.topics), client_options(settings), lambda _: None
    )
    await reader.read_to_end()
    await reader.close()
    return versions
