"""Workers are killed while loans are drawn and end, and while a new model comes in."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Self

import msgspec
from kafka import KafkaProducer

from scorers.loans import Key, LoanEvent, LoanKind, key_of
from scorers.models import Model, Origin
from scorers.prior import BUILT_IN
from streams.brokers.clients import producer_settings
from streams.brokers.models import publish_model
from tests.faults.crew import Crew
from tests.faults.ledger import Writer, make_log
from tests.faults.outcome import await_committed, await_relayed, read_outcome
from tests.integration.loan_log import durable_loans, expected_examples, published_examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from scorers.loans import Example
    from streams.settings import Settings
    from tests.faults.conftest import MakeSettings

EVENTS, MERCHANTS, RATE = 24_000, 200, 400.0
KILLS = 2
PAUSE_S = 0.03
MODEL_WITHIN_S = 30.0


class Lender:
    """Draws loans and ends them, some events twice, until the end of a `with` block.

    Attributes:
        ended: loans whose end was told.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.ended: set[Key] = set()
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Tell what is left to tell, and wait until the broker has it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        dice = random.Random(5)
        producer = KafkaProducer(**producer_settings(self._settings) | {"linger_ms": 0})
        running: list[LoanEvent] = []
        number = 0
        while not self._stopping.is_set() or running:
            if len(running) < 40 and not self._stopping.is_set():
                number += 1
                event = _event(LoanKind.DRAWN, f"l{number}", f"m{dice.randrange(MERCHANTS):05d}")
                running.append(event)
            else:
                drawn = running.pop(dice.randrange(len(running)))
                end = dice.choice([LoanKind.SETTLED, LoanKind.DEFAULTED, LoanKind.WRITTEN_OFF])
                event = _event(end, drawn.loan_id, drawn.merchant_id)
                self.ended.add(Key(drawn.merchant_id, drawn.lender_id, drawn.loan_id))
            for _ in range(1 + (dice.random() < 0.2)):
                key = event.merchant_id.encode()
                topic = self._settings.topics.loan_events.name
                producer.send(topic, msgspec.json.encode(event), key)
                self.sent += 1
            time.sleep(PAUSE_S)
        producer.flush()
        producer.close()


def _event(kind: LoanKind, loan: str, merchant: str) -> LoanEvent:
    return LoanEvent(
        event_id=f"{loan}-{kind}",
        kind=kind,
        loan_id=loan,
        lender_id="bank",
        merchant_id=merchant,
        product="loan",
        currency="CNY",
        occurred_at=time.time_ns() // 1_000_000,
        amount=100_000,
    )


def scored_by_any(examples: dict[int, list[Example]]) -> dict[int, list[Example]]:
    """The examples without what depends on which model was live at the draw."""
    return {
        number: [
            msgspec.structs.replace(each, probability_of_default=0.0, model_version=0)
            for each in found
        ]
        for number, found in examples.items()
        if found
    }


def await_model(settings: Settings, version: int, meanwhile: Callable[[], None]) -> None:
    """Wait until limits have moved, and loans that have ended were drawn, under a model."""
    deadline = time.monotonic() + MODEL_WITHIN_S
    while version not in models_of(settings):
        assert time.monotonic() < deadline, f"model {version} is not in use"
        meanwhile()
        time.sleep(1.0)


def models_of(settings: Settings) -> set[int]:
    """The versions of models that are behind both a limit update and an example."""
    updates = read_outcome(settings).updates.values()
    examples = published_examples(settings).values()
    return {each.model_version for found in updates for each in found.values()} & {
        each.model_version for found in examples for each in found
    }


def test_each_loan_leaves_one_example_as_of_its_draw_whatever_is_killed(
    settings_of: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_of(log_level="DEBUG")
    log = make_log(EVENTS, MERCHANTS, settings.partitions)
    dice = random.Random(11)
    with (
        Crew(settings, tmp_path) as crew,
        Writer(settings, log, RATE) as writer,
        Lender(settings) as lender,
    ):
        for worker in [crew.start(), crew.start()]:
            worker.await_ready()
        for number in range(KILLS):
            crew.workers[0].await_ready()
            if number == KILLS // 2:
                scorecard = msgspec.structs.replace(BUILT_IN, version=1, bias=BUILT_IN.bias - 0.5)
                publish_model(settings, Model(scorecard, Origin.PUBLISHED))
            if number % 2:
                crew.kill_in_a_checkpoint(crew.workers[0], dice.uniform(0.0, 0.004))
            else:
                time.sleep(dice.uniform(0.5, 3.0))
                crew.kill(crew.workers[0])
            crew.start()
            crew.check()
        await_model(settings, 1, crew.check)
        assert writer.writing(), "the kills must fall under load: lower the rate"
        lender.stop()
        writer.finish()
        await_relayed(settings, crew.check)
        await_committed(settings)
        crew.check()
    published = published_examples(settings)
    expected = expected_examples(settings)
    assert scored_by_any(published) == scored_by_any(expected)
    examples = [each for found in published.values() for each in found]
    of_loans = [key_of(each) for each in examples]
    assert len(of_loans) == len(lender.ended)
    assert set(of_loans) == lender.ended
    loans = durable_loans(settings)
    assert {key for key, loan in loans.items() if loan.ended_at is not None} == lender.ended
    # A replay under another model would have published a version of a limit with two contents.
    assert models_of(settings) == {0, 1}
