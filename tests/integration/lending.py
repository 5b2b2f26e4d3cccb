"""A worker with several lenders: policies, merchants, applications, loans and funds around it."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

import msgspec
from kafka import KafkaProducer, TopicPartition
from typer.testing import CliRunner, Result

from scorers.applications.messages import Application, Decision
from scorers.applications.messages import Product as Applied
from scorers.applications.terms import Lending
from scorers.claims.events import ClaimAnswer, ClaimEvent
from scorers.funds.events import FundAnswer, FundEvent
from scorers.loans import LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.policy import Policy, Product
from streams.brokers.clients import producer_settings
from streams.brokers.policies import publish_policy
from streams.commands.policies import app as policies
from streams.contract.messages import LimitUpdate, PaymentEvent, PaymentKind, Tick
from tests.integration.watched import POLL_S, SETTLED_WITHIN_S, Record, WatchedWorker, home

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from streams.contract.topics import Topic
    from streams.settings import Settings

YUAN = 100
LENDERS = ("platform", "bank-a", "bank-b", "bank-c")
LOAN, TRADE_CREDIT = Product.LOAN, Product.TRADE_CREDIT

Event = Application | ClaimEvent | FundEvent | LoanEvent | MerchantEvent

_numbers = itertools.count(1)


def flat(version: int, lender: str, yuan: int, product: Product = LOAN, **other: Any) -> Policy:
    """A policy by which whoever collected anything at all has the same limit at once.

    It answers at any time: what is tested must not hang on how fast the machine is.
    """
    usual: dict[str, Any] = {
        "advance_rate": 1e-9, "pd_cut_off": 1.0, "hold_out_share": 0.0,
        "starter_amount": yuan * YUAN, "starter_payments": 1, "starter_payers": 1,
        "starter_days": 1, "cap": yuan * YUAN, "raise_step": max(yuan * YUAN, 2_000_000),
        "dead_band": 0.0, "cool_down_ms": 0, "lending": Lending(answer_within_ms=None),
    }  # fmt: skip
    return Policy(version=version, lender=lender, product=product, **usual | other)


def shops(name: str, count: int, partition: int | None = None, partitions: int = 4) -> list[str]:
    """Ids of merchants, all of one partition if it is given."""
    ids = (f"{name}-{n}" for n in itertools.count())
    fitting = (each for each in ids if partition in (None, home(each.encode(), partitions)))
    return list(itertools.islice(fitting, count))


def enrolled(shop: str, lender: str, product: Product | None = LOAN, **other: Any) -> MerchantEvent:
    """A consent; `kind` makes it something else."""
    usual = MerchantEvent(
        f"e{next(_numbers)}", MerchantKind.ENROLLED, shop, 1_000, lender, product
    )  # fmt: skip
    return msgspec.structs.replace(usual, **other)


def of_merchant(kind: MerchantKind, shop: str, **other: Any) -> MerchantEvent:
    """An event that concerns no lender."""
    return enrolled(shop, "nobody", kind=kind, **{"lender_id": None, "product": None, **other})


def asks(shop: str, lender: str, yuan: float, **other: Any) -> Application:
    """An application for a loan."""
    usual = Application(
        f"a{next(_numbers)}", lender, shop, Applied.LOAN, "CNY", round(yuan * YUAN), 1_000
    )
    return msgspec.structs.replace(usual, **other)


def loan(kind: LoanKind, shop: str, lender: str, loan_id: str, **other: Any) -> LoanEvent:
    """An event of a loan."""
    usual = LoanEvent(
        f"{loan_id}-{kind}", kind, loan_id, lender, shop, LOAN, "CNY", 1_000, amount=1
    )
    return msgspec.structs.replace(usual, **other)


class LendingWorker(WatchedWorker):
    """A worker of several lenders, without ticks, and a clock of event time that tests move.

    What was read is as of the last `settle`, `pay`, `tell` or `publish`.

    Args:
        settings: of the worker; the topics are there.
        folder: for its log.
        read: lenders whose topics are read; all by default.

    Attributes:
        clock: event time of the next payments, epoch ms.
        limits: limit updates by lender, product and merchant, in the order of the topic.
        decisions: by lender, merchant and application_id, in the order of the topic.
        fund_answers: by merchant and event_id, likewise.
        claim_answers: by merchant and claim_id, likewise.
        refused: reason of each dead letter, by its value.
    """

    def __init__(
        self, settings: Settings, folder: Path, read: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(settings, folder)
        self.clock = time.time_ns() // 1_000_000 - 6 * 3_600_000
        self.limits: defaultdict[tuple[str, str, str], list[LimitUpdate]] = defaultdict(list)
        self.decisions: defaultdict[tuple[str, str, str], list[Decision]] = defaultdict(list)
        self.fund_answers: defaultdict[tuple[str, str], list[FundAnswer]] = defaultdict(list)
        self.claim_answers: defaultdict[tuple[str, str], list[ClaimAnswer]] = defaultdict(list)
        self.refused: dict[bytes | None, str] = {}
        self.policies_read = -1
        topics, known = settings.topics, {tp.topic for tp in self._behind}
        self._of_lenders: dict[str, Any] = {}
        for lender in settings.lenders if read is None else read:
            for topic, kind in (
                (topics.limit_updates(lender), LimitUpdate),
                (topics.decisions(lender), Decision),
                (topics.fund_answers(lender), FundAnswer),
                (topics.claim_answers(lender), ClaimAnswer),
            ):
                self._of_lenders[topic.name] = kind
                if topic.name not in known:
                    self._behind += [TopicPartition(topic.name, n) for n in range(topic.partitions)]

    def __enter__(self) -> Self:
        super().__enter__()
        options = producer_settings(self.settings) | {"linger_ms": 0}
        self._producer = KafkaProducer(**options)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._producer.close()
        super().__exit__(kind, error, traceback)

    def _take(self, topic: str, record: Any) -> None:
        if topic == self._letters_topic:
            self.refused[record.value] = dict(record.headers)["duoshou-reason"].decode()
            return
        if topic not in self._of_lenders:
            super()._take(topic, record)
            return
        message: LimitUpdate | Decision | FundAnswer | ClaimAnswer = msgspec.json.decode(
            record.value, type=self._of_lenders[topic]
        )
        assert topic.endswith(f".{message.lender_id}")
        match message:
            case LimitUpdate():
                key = (message.lender_id, message.product, message.merchant_id)
                self.limits[key].append(message)
            case Decision():
                name = (message.lender_id, message.merchant_id, message.application_id)
                self.decisions[name].append(message)
            case FundAnswer():
                self.fund_answers[message.merchant_id, message.event_id].append(message)
            case ClaimAnswer():
                self.claim_answers[message.merchant_id, message.claim_id].append(message)

    def topic_of(self, event: Event) -> Topic:
        """Where an event is told."""
        topics = self.settings.topics
        match event:
            case Application():
                return topics.applications
            case ClaimEvent():
                return topics.claim_events
            case FundEvent():
                return topics.fund_events
            case LoanEvent():
                return topics.loan_events
            case MerchantEvent():
                return topics.merchant_events

    def write(self, *events: Event, timestamp_ms: int | None = None) -> None:
        """Write events, each kind in their order; their records are of now unless it is said."""
        for event in events:
            topic, key = self.topic_of(event).name, event.merchant_id.encode()
            value = msgspec.json.encode(event)
            self._producer.send(topic, value, key, timestamp_ms=timestamp_ms)
        self._producer.flush()

    def tell(self, *events: Event, timestamp_ms: int | None = None) -> None:
        """Write events, and wait until everything has followed."""
        self.write(*events, timestamp_ms=timestamp_ms)
        self.settle_relayed()

    def ask(self, *applications: Application) -> list[Decision]:
        """Apply, and return the newest decision on each."""
        self.tell(*applications)
        return [
            self.decisions[each.lender_id, each.merchant_id, each.application_id][-1]
            for each in applications
        ]

    def pay(self, *merchants: str, amount: int = 10_000, **other: Any) -> None:
        """Have merchants collect a payment at `clock`; `kind` makes it something else."""
        for shop in merchants:
            usual = PaymentEvent(
                payment_id=f"p{next(_numbers)}", kind=PaymentKind.PAYMENT, merchant_id=shop,
                amount=amount, currency="CNY", occurred_at=self.clock, payer_id="payer",
            )  # fmt: skip
            event = msgspec.structs.replace(usual, **other)
            topic = self.settings.topics.payments.name
            self._producer.send(topic, msgspec.json.encode(event), shop.encode())
        self._producer.flush()
        self.settle()

    def tick(self) -> None:
        """Let time pass up to `clock` in every partition."""
        value = msgspec.json.encode(Tick(occurred_at=self.clock))
        self.send([Record(value, partition=n) for n in range(self.settings.partitions)])
        self.settle()

    def publish(self, *policies: Policy) -> None:
        """Publish policies, and wait until every partition has taken them up."""
        for policy in policies:
            publish_policy(self.settings, policy)
        self.await_policies()

    def await_policies(self) -> None:
        """Wait until every partition has taken up the newest policy, which must count."""
        policies = TopicPartition(self.settings.topics.policies.name, 0)
        newest = self._reader.end_offsets([policies])[policies] - 1
        for _ in range(int(SETTLED_WITHIN_S / POLL_S)):
            self._catch_up()
            marks = self.checkpoints.values()
            if len(marks) == self.settings.partitions and all(
                mark.policies[0] == newest for mark in marks
            ):
                return
            self.process.check()
            time.sleep(POLL_S)
        raise AssertionError(f"policies up to {newest} are not taken up: {self.checkpoints}")

    def limit(self, lender: str, shop: str, product: str = "loan") -> int:
        """The limit in force, yuan; 0 before the first."""
        updates = self.limits.get((lender, product, shop))
        return max(updates, key=lambda each: each.version).limit // YUAN if updates else 0


def invoke(worker: LendingWorker, *arguments: str) -> Result:
    """Run `duoshou policies` as an operator would."""
    return CliRunner().invoke(policies, arguments, env=worker.settings.as_environment())


def say(worker: LendingWorker, *arguments: str) -> str:
    """What a command says to a person, in one line."""
    done = invoke(worker, *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return " ".join(done.stdout.split())
