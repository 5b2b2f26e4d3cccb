"""Merchants and lenders that do everything they may, some of it twice, while workers die."""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from scorers.applications.messages import Application, Decision, Outcome, Product
from scorers.claims.events import ClaimAnswer, ClaimEvent
from scorers.funds.events import FundEvent, FundKind
from scorers.loans import LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.policy import Product as Offered
from streams.brokers.clients import consumer_settings, producer_settings
from tests.faults.ledger import DAY_MS, DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from streams.contract.topics import Topic
    from streams.settings import Settings

YUAN = 100
PAUSE_S = 0.01
MET_WITHIN_S = 90.0
PATIENT = "bank-b"
"""A lender that waits for ever: what it approves is drawn, and nothing of it ever paid back."""
INSURER = "bank-a"
"""Who insures as well as lends."""


class Market:
    """Applies, draws, repays, enrols, closes, sweeps and claims, until the end of a `with` block.

    Args:
        settings: say where to.
        merchants: who takes part.

    Attributes:
        sent: events of each kind, repetitions included.
        decided: lender, policy version and outcome of the decisions that came back.
        late: lenders in whose name it was too late to decide.
        claim_reasons: codes of the answers to claims.
    """

    def __init__(self, settings: Settings, merchants: list[str]) -> None:
        self._settings, self._merchants = settings, merchants
        self._dice = random.Random(7)
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._asked: list[Application] = []
        self._approved: list[Decision] = []
        self._running: list[LoanEvent] = []
        self._funds: list[FundEvent] = []
        self._claims: list[ClaimEvent] = []
        self._now = time.time_ns() // 1_000_000
        self.sent: dict[str, int] = {}
        self.decided: set[tuple[str, int, Outcome]] = set()
        self.late: set[str] = set()
        self.claim_reasons: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def await_until(self, met: Callable[[], bool], what: str) -> None:
        """Trade on until something has been met.

        Raises:
            AssertionError: it was not for a minute and a half.
            Exception: what kept events from being sent.
        """
        deadline = time.monotonic() + MET_WITHIN_S
        while not met():
            if self._error is not None:
                raise self._error
            assert time.monotonic() < deadline, f"never met: {what}"
            time.sleep(0.1)

    def finish(self) -> None:
        """Wait until the broker has everything.

        Raises:
            Exception: what kept it from being sent.
        """
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            producer = KafkaProducer(**producer_settings(self._settings) | {"linger_ms": 0})
            reader = KafkaConsumer(**consumer_settings(self._settings))
            try:
                self._trade(producer, reader)
            finally:
                reader.close()
                producer.close()
        except Exception as error:  # noqa: BLE001  (whoever waits for the end gets it)
            self._error = error

    def _trade(self, producer: KafkaProducer, reader: KafkaConsumer) -> None:
        topics = self._settings.topics
        claims = topics.claim_answers(INSURER)
        answers = [topics.decisions(lender) for lender in self._settings.lenders]
        reader.assign(
            [
                TopicPartition(topic.name, number)
                for topic in [*answers, claims]
                for number in range(topic.partitions)
            ]
        )
        reader.seek_to_beginning()
        moves: list[tuple[Topic, Callable[[], Any], int]] = [
            (topics.applications, self._apply, 40),
            (topics.loan_events, self._draw, 20),
            (topics.loan_events, self._serve, 15),
            (topics.fund_events, self._sweep, 15),
            (topics.claim_events, self._claim, 15),
            (topics.merchant_events, self._decide, 10),
        ]
        chances = [chance for _, _, chance in moves]
        welcome = self._welcome()
        while not self._stopping.is_set():
            topic, move, _ = self._dice.choices(moves, chances)[0]
            event = next(welcome, None)
            if event is not None:
                topic = topics.merchant_events
            else:
                event = move()
            if event is None:
                continue
            # Relayed twice, an event counts once.
            for _ in range(1 + (self._dice.random() < 0.15)):
                producer.send(topic.name, msgspec.json.encode(event), event.merchant_id.encode())
                self.sent[topic.name] = self.sent.get(topic.name, 0) + 1
            if next(self._numbers) % 10 == 0:
                self._listen(reader, claims.name)
            time.sleep(PAUSE_S)
        producer.flush()

    def _listen(self, reader: KafkaConsumer, claims: str) -> None:
        for records in reader.poll(timeout_ms=0).values():
            for record in records:
                if record.topic == claims:
                    answer = msgspec.json.decode(record.value, type=ClaimAnswer)
                    self.claim_reasons.update(reason.code for reason in answer.reasons)
                    continue
                decision = msgspec.json.decode(record.value, type=Decision)
                lender = decision.lender_id
                self.decided.add((lender, decision.policy_version, decision.outcome))
                if decision.reasons[0].code == "too_late":
                    self.late.add(lender)
                if decision.outcome is Outcome.APPROVE:
                    self._approved.append(decision)

    def _some(self) -> str:
        return self._dice.choice(self._merchants)

    def _welcome(self) -> Iterator[MerchantEvent]:
        """Every merchant enrols with the patient lender, every other one with bank-a; most are
        insured."""
        for number, merchant in enumerate(self._merchants):
            yield self._consent(MerchantKind.ENROLLED, merchant, PATIENT)
            if number % 2:
                yield self._consent(MerchantKind.ENROLLED, merchant, "bank-a")
            if number % 5:
                yield self._consent(MerchantKind.ENROLLED, merchant, INSURER, Offered.INSURANCE)

    def _consent(
        self, kind: MerchantKind, merchant: str, lender: str, product: Offered = Offered.LOAN
    ) -> MerchantEvent:
        name = f"e{next(self._numbers)}"
        return MerchantEvent(name, kind, merchant, self._now, lender, product)

    def _decide(self) -> MerchantEvent:
        """Withdraw, enrol, close or reopen; not all of it is allowed."""
        kinds = [MerchantKind.ENROLLED] * 3 + [MerchantKind.WITHDRAWN, MerchantKind.CLOSED]
        kind = self._dice.choice([*kinds, MerchantKind.REOPENED, MerchantKind.REOPENED])
        if kind in (MerchantKind.ENROLLED, MerchantKind.WITHDRAWN):
            return self._consent(kind, self._some(), self._dice.choice(["bank-a", PATIENT]))
        return MerchantEvent(f"e{next(self._numbers)}", kind, self._some(), self._now)

    def _apply(self) -> Application:
        dice = self._dice.random()
        if self._asked and dice < 0.15:
            again = self._dice.choice(self._asked)
            return again if dice < 0.1 else msgspec.structs.replace(again, amount=again.amount + 1)
        lender = self._dice.choice(["platform", "bank-a", PATIENT, PATIENT])
        application = Application(
            f"a{next(self._numbers)}", lender, self._some(), Product.LOAN, "CNY",
            self._dice.randrange(100, 2_500) * YUAN, self._now,
        )  # fmt: skip
        self._asked.append(application)
        return application

    def _draw(self) -> LoanEvent | None:
        """Draw all or a part of what was approved; now and then nothing was."""
        if self._approved:
            decision = self._approved.pop(self._dice.randrange(len(self._approved)))
            share = self._dice.choice([1, 1, 2])
            drawn = self._loan(decision, decision.amount // share, decision.application_id)
        elif self._dice.random() < 0.1:
            drawn = msgspec.structs.replace(
                self._loan(None, 20_000, None), lender_id="bank-a", merchant_id=self._some()
            )
        else:
            return None
        if drawn.lender_id != PATIENT:
            self._running.append(drawn)
        return drawn

    def _loan(self, decision: Decision | None, amount: int, application: str | None) -> LoanEvent:
        # The same decision may come twice: it is one loan.
        name = f"l{next(self._numbers)}" if application is None else f"l-{application}"
        return LoanEvent(
            f"{name}-drawn", LoanKind.DRAWN, name, decision.lender_id if decision else "",
            decision.merchant_id if decision else "", "loan", "CNY", self._now, amount, application,
        )  # fmt: skip

    def _serve(self) -> LoanEvent | None:
        """What becomes of a loan: paid back in parts, late, settled, or lost."""
        if not self._running:
            return None
        at = self._dice.randrange(len(self._running))
        drawn = self._running[at]
        kinds = [LoanKind.REPAID, LoanKind.OVERDUE] * 2 + [LoanKind.SETTLED] * 3
        kind = self._dice.choice([*kinds, LoanKind.DEFAULTED])
        if kind in (LoanKind.SETTLED, LoanKind.DEFAULTED):
            self._running.pop(at)
        return msgspec.structs.replace(
            drawn, event_id=f"{drawn.loan_id}-{next(self._numbers)}", kind=kind,
            amount=max(1, (drawn.amount or 0) // 3), application_id=None,
        )  # fmt: skip

    def _sweep(self) -> FundEvent:
        dice = self._dice.random()
        if self._funds and dice < 0.1:
            again = self._dice.choice(self._funds)
            return again if dice < 0.07 else msgspec.structs.replace(again, amount=again.amount + 1)
        kind = FundKind.SUBSCRIBED if dice < 0.5 else FundKind.REDEMPTION_REQUESTED
        event = FundEvent(
            f"f{next(self._numbers)}", kind, self._dice.choice(self._merchants[:20]),
            self._dice.choice(["bank-a", PATIENT]), "daily", "CNY",
            self._dice.randrange(1, 12_000) * YUAN, self._now - self._dice.randrange(3) * DAY_MS,
            self._dice.choice(["icbc", "icbc", "wallet"]),
        )  # fmt: skip
        self._funds.append(event)
        return event

    def _claim(self) -> ClaimEvent:
        """Claim for losses of these weeks, of those who collect most; now and then once more."""
        dice = self._dice.random()
        if self._claims and dice < 0.2:
            again = self._dice.choice(self._claims)
            return again if dice < 0.15 else msgspec.structs.replace(again, amount=again.amount + 1)
        lost_at = self._now - self._dice.randrange(DAYS // 2, DAYS) * DAY_MS
        claim = ClaimEvent(
            f"c{next(self._numbers)}", self._dice.choice(self._merchants[:20]), INSURER,
            "USD" if dice > 0.95 else "CNY", self._dice.randrange(1, 400) * YUAN, lost_at,
            self._now,
        )  # fmt: skip
        self._claims.append(claim)
        return claim
