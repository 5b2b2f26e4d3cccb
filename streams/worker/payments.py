"""What a worker does with a fold of payments: apply, publish, set aside what cannot count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from features.events import Outcome
from scorers.loans import key_of
from streams.dead_letters import DeadLetter, dead_letters, field
from streams.decode.routing import home_of
from streams.wire.records import headers
from streams.worker.effects import FoldApplier
from streams.worker.relayed import publish_to_log

if TYPE_CHECKING:
    from scorers.loans import Example
    from streams.state.holding import Holding
    from streams.transport.fold import Fold
    from streams.worker.app import App
    from streams.worker.relayed import Decided, Outputs

logger = logging.getLogger(__name__)

TURNS_TO_SOCKET = 4
"""Turns of the event loop in which a batch comes from the producer to its socket, at most."""


class PaymentProcessor:
    """Applies folds of the topic `payments` to their partitions.

    Args:
        app: the worker's app.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._applier = FoldApplier(app.settings, app.metrics)

    async def process(self, fold: Fold, generation: int) -> None:
        """Apply a fold and publish what follows from it.

        A fold of a partition that is not owned any more, not recovered, or fetched under an
        earlier assignment is dropped: the partition's next owner reads it again.
        """
        holding = self._app.holdings.get(fold.partition)
        if holding is None:
            return
        if holding.active and holding.checkpoint is None:
            # Names the models for the first offsets, before anything is published by them.
            await self._app.checkpointer.take(holding)
        async with holding.lock:
            if not holding.active or generation != self._app.consumer_generation_id:
                return
            if not await self._app.inputs.next_in_line(fold):
                return
            awaited = await self._apply(holding, fold)
            self._app.inputs.passed(fold)
            holding.applied = max(holding.applied, fold.last_offset)
            if len(fold):
                holding.newest_timestamp = int(fold.records.timestamp[-1])
        if awaited:
            # Before the next fold, which would otherwise be applied in between these turns.
            for _ in range(TURNS_TO_SOCKET):
                await asyncio.sleep(0)

    async def _apply(self, holding: Holding, fold: Fold) -> bool:
        """Apply a fold and publish what follows; tell whether anybody waits for that."""
        metrics = self._app.metrics
        events, text = fold.decoded.events, fold.decoded.text
        began, began_at = time.perf_counter(), time.time() * 1000.0
        effects = self._applier.begin()
        for _ in self._applier.stretches(holding, fold, effects):
            # Thousands of relayed events take seconds: the heart must go on beating.
            await asyncio.sleep(0)
        moved, outputs = effects
        applied = time.perf_counter()
        metrics.stage_done("decode", fold.decode_seconds)
        metrics.stage_done("wait", began - fold.decoded_at)
        metrics.stage_done("apply", applied - began)

        for updates in moved:
            await self._app.updates.publish(holding, fold, updates)
        if fold.decoded.misrouted:
            await self._send_home(holding, fold, events, text, self._app.settings.partitions)
        if outputs.examples:
            await self._publish_examples(holding, outputs.examples)
        answered = outputs.decisions or outputs.fund_answers or outputs.claim_answers
        if answered:
            await self._publish_answers(holding, outputs, began_at)
        await publish_to_log(self._app, holding, outputs.messages)
        await self._set_aside(holding, fold, outputs.letters)
        metrics.batch_applied(events.kind, events.outcome)
        metrics.input_read(fold.partition, fold.last_offset + 1)
        metrics.stage_done("publish", time.perf_counter() - applied)
        return bool(moved or answered)

    async def _send_home(
        self, holding: Holding, fold: Fold, events: Any, text: Any, partitions: int
    ) -> None:
        """Send payments on to the partition of their merchant, as they came."""
        records = fold.records
        homes: dict[int, list[Any]] = {}
        for i in np.flatnonzero(events.outcome == Outcome.MISROUTED):
            at, length = int(events.merchant_at[i]), int(events.merchant_length[i])
            key = text[at : at + length].tobytes()
            homes.setdefault(home_of(key, partitions), []).append(
                (
                    key,
                    field(fold, records.value_at[i], records.value_length[i]),
                    headers(fold.text, int(records.headers_at[i]), int(records.headers_length[i])),
                    int(records.timestamp[i]),
                )
            )
        for home, messages in homes.items():
            await self._app.outbox.publish(holding.number, self._app.payments_topic, home, messages)
            self._app.metrics.misrouted(len(messages))

    async def _publish_examples(self, holding: Holding, examples: list[Example]) -> None:
        messages = [(key_of(each).encoded(), msgspec.json.encode(each)) for each in examples]
        await self._app.outbox.publish(holding.number, self._app.examples_topic, 0, messages)

    async def _publish_answers(self, holding: Holding, outputs: Outputs, began_at: float) -> None:
        """Publish decisions and answers, each on the topic of its lender.

        `began_at` is when their fold began to be applied, by the wall clock, epoch ms.
        """
        answers: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        for each in outputs.decisions:
            decision, stages = each.decision, stages_of(each, began_at, time.time() * 1000.0)
            self._app.metrics.decided(stages["total"] / 1000.0)
            timed = msgspec.structs.replace(decision, stages=stages)
            topic = self._app.decisions_topics.get(decision.lender_id)
            if topic is not None:
                answers[topic].append((decision.merchant_id.encode(), msgspec.json.encode(timed)))
        for topics, of_lenders in (
            (self._app.fund_answers_topics, outputs.fund_answers),
            (self._app.claim_answers_topics, outputs.claim_answers),
        ):
            for answer in of_lenders:
                topic = topics.get(answer.lender_id)
                if topic is not None:
                    message = (answer.merchant_id.encode(), msgspec.json.encode(answer))
                    answers[topic].append(message)
        for name, messages in answers.items():
            await self._app.outbox.publish(holding.number, name, 0, messages)

    async def _set_aside(self, holding: Holding, fold: Fold, of_relayed: list[DeadLetter]) -> None:
        letters = [*dead_letters(fold), *of_relayed]
        if not letters:
            return
        messages = [letter.message for letter in letters]
        await self._app.outbox.publish(
            holding.number, self._app.dead_letters_topic, holding.number, messages
        )
        for letter in letters:
            self._app.metrics.dead_lettered(letter.reason)


def stages_of(decided: Decided, began_at: float, now: float) -> dict[str, float]:
    """Return how long each stage of a decision has taken, ms; `total` is the sum of the others.

    Clocks of several machines stand behind it, so a stage may be negative. A stage is left out
    where the envelope does not say when it was put into the log.

    Args:
        decided: the decision and its way.
        began_at: when its fold began to be applied, epoch ms.
        now: when it is written, epoch ms.
    """
    relayed_at = decided.relayed.relayed_at
    stages = {} if relayed_at is None else {
        "to_log": float(relayed_at - decided.sent_at),
        "in_log": began_at - relayed_at,
        "apply": now - began_at,
    }  # fmt: skip
    return {name: round(ms, 3) for name, ms in (stages | {"total": now - decided.sent_at}).items()}
