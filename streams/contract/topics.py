"""The one registry of topics: what is on each, who writes and reads it, how long it is kept.

The AsyncAPI document, `duoshou topics plan|apply` and the worker all read this module. A topic is
split off from another where a different party writes it (a lender must not be able to invent
payments) or reads it (a lender sees its own limits only).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import msgspec

from streams.contract.messages import DeadLetterHeaders, LimitUpdate, PaymentEvent, Relayed, Tick

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DEFAULT_PARTITIONS = 4
PLATFORM: Literal["platform"] = "platform"
"""The lender whose policy for loans every merchant has."""

_SEGMENT_BYTES = 64 * 1024 * 1024
_BYTES_BETWEEN_ENTRIES = 4096
_BYTES_OF_AN_ENTRY = 12
SMALL_SEGMENTS = {
    "segment.bytes": str(_SEGMENT_BYTES),
    "segment.index.bytes": str(_SEGMENT_BYTES // _BYTES_BETWEEN_ENTRIES * _BYTES_OF_AN_ENTRY),
}
"""For topics of which there are thousands. A broker maps two indexes of each into its memory, of
10 MB by default, and the file system may fill them with zeros when they are first written to. An
index of this size is full when its segment is: it has an entry, of time 12 bytes, of offsets 8,
for every 4096 bytes at most (`index.interval.bytes`)."""


class Cleanup(StrEnum):
    """What the broker does with old records, in Kafka's own words."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True)
class Topic:
    """One topic as it should be on the broker.

    Attributes:
        name: Full name on the broker, prefix included.
        doc: What is on it, in a sentence.
        key: What a record's key is, in words.
        partitions: Number of partitions.
        cleanup: Whether old records go by age or by key.
        retention_ms: Age at which a record may go, ms; None on compacted topics.
        settings: Further topic configuration, in Kafka's names.
        types: Gives `messages` when asked: some types are dear to import.
        headers: Type of the headers, if they are part of the contract.
        writers: Who writes it, whose topic it is first; what for may stand behind in brackets.
        readers: Who reads it, in the same way. `streams.contract.access` opens a topic to these
            and to nobody else.
        public: Whether anyone outside the workers reads or writes it.
    """

    name: str
    doc: str
    key: str
    partitions: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    cleanup: Cleanup = Cleanup.DELETE
    retention_ms: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    types: Callable[[], tuple[type[msgspec.Struct], ...]] = tuple
    headers: type[msgspec.Struct] | None = None
    public: bool = True

    @property
    def messages(self) -> tuple[type[msgspec.Struct], ...]:
        """Types of the values (JSON); empty where the value is bytes."""
        return self.types()

    @property
    def configuration(self) -> dict[str, str]:
        """Topic configuration for the broker, in Kafka's names."""
        kept = {} if self.retention_ms is None else {"retention.ms": str(self.retention_ms)}
        return {"cleanup.policy": self.cleanup.value, **kept, **self.settings}


def _events() -> tuple[type[msgspec.Struct], ...]:
    return (PaymentEvent, Tick, Relayed)


def _loan_events() -> tuple[type[msgspec.Struct], ...]:
    from scorers.loans import LoanEvent

    return (LoanEvent,)


def _merchant_events() -> tuple[type[msgspec.Struct], ...]:
    from scorers.merchants import MerchantEvent

    return (MerchantEvent,)


def _applications() -> tuple[type[msgspec.Struct], ...]:
    from scorers.applications.messages import Application

    return (Application,)


def _decisions() -> tuple[type[msgspec.Struct], ...]:
    from scorers.applications.messages import Decision

    return (Decision,)


def _fund_events() -> tuple[type[msgspec.Struct], ...]:
    from scorers.funds.events import FundEvent

    return (FundEvent,)


def _fund_answers() -> tuple[type[msgspec.Struct], ...]:
    from scorers.funds.events import FundAnswer

    return (FundAnswer,)


def _claim_events() -> tuple[type[msgspec.Struct], ...]:
    from scorers.claims.events import ClaimEvent

    return (ClaimEvent,)


def _claim_answers() -> tuple[type[msgspec.Struct], ...]:
    from scorers.claims.events import ClaimAnswer

    return (ClaimAnswer,)


def _examples() -> tuple[type[msgspec.Struct], ...]:
    from scorers.loans import Example

    return (Example,)


def _limit_updates() -> tuple[type[msgspec.Struct], ...]:
    return (LimitUpdate,)


def _models() -> tuple[type[msgspec.Struct], ...]:
    from scorers.models import Model

    return (Model,)


def _policies() -> tuple[type[msgspec.Struct], ...]:
    from scorers.policy import Policy

    return (Policy,)


@dataclass(frozen=True)
class Topics:
    """The registry, for a number of partitions, a set of lenders and a name prefix.

    Attributes:
        partitions: Of `payments` and of everything that is keyed by merchant, so that one
            merchant has one writer.
        prefix: Put before every name; lets several installations share a broker.
        application: Faust's application id without the prefix; names the changelog.
        lenders: Who has a `limit-updates` topic.

    Example:
        >>> topics = Topics(partitions=8, prefix="lab.")
        >>> topics.payments.name, topics.limit_updates("platform").name
        ('lab.payments', 'lab.limit-updates.platform')
        >>> topics.rows_changelog.configuration["min.compaction.lag.ms"]
        '3600000'
    """

    partitions: int = DEFAULT_PARTITIONS
    prefix: str = ""
    application: str = "duoshou"
    lenders: tuple[str, ...] = (PLATFORM,)

    @property
    def application_id(self) -> str:
        """Faust's application id and consumer group; its changelogs are named after it."""
        return f"{self.prefix}{self.application}"

    @property
    def trainer_id(self) -> str:
        """The trainer's application id and consumer group."""
        return f"{self.application_id}-trainer"

    @property
    def relay_id(self) -> str:
        """Name under which is kept how far events have been relayed to `payments`."""
        return f"{self.application_id}-relay"

    @property
    def resend_id(self) -> str:
        """Transactional id under which dead letters are resent."""
        return f"{self.application_id}-dead-letters-resend"

    @property
    def payments(self) -> Topic:
        """Every event of every merchant's payment code, and the ticks."""
        return Topic(
            name=f"{self.prefix}payments",
            doc="Every event of every merchant's payment code; ticks, and loan events in their "
            "place among the payments.",
            key="merchant_id (a tick has none, and what is about a whole partition)",
            partitions=self.partitions,
            retention_ms=7 * DAY_MS,
            types=_events,
            writers=(
                "payment system",
                "worker (ticks, loan events, and payments that came with a wrong key)",
                "operator (duoshou replay, duoshou dead-letters resend)",
            ),
            readers=("worker", "operator (duoshou replay, duoshou audit)"),
        )

    @property
    def loan_events(self) -> Topic:
        """What happens to the loans that merchants have drawn."""
        return self._relayed(
            "loan-events", "Draws, repayments and ends of loans", _loan_events, ("lender",)
        )

    @property
    def merchant_events(self) -> Topic:
        """What merchants say of themselves: what they consent to, that they have closed."""
        return self._relayed(
            "merchant-events",
            "Registrations, consents and closures of merchants",
            _merchant_events,
            ("payment system",),
        )

    @property
    def applications(self) -> Topic:
        """What merchants ask lenders for."""
        return self._relayed(
            "applications", "Applications of merchants for credit", _applications, ("lender",)
        )

    @property
    def fund_events(self) -> Topic:
        """What merchants put into funds and want back from them."""
        return self._relayed(
            "fund-events",
            "Subscriptions to funds, and requests to redeem",
            _fund_events,
            ("lender",),
        )

    @property
    def claim_events(self) -> Topic:
        """What merchants claim of their cover."""
        return self._relayed(
            "claim-events", "Claims on insurance cover", _claim_events, ("lender",)
        )

    def _relayed(
        self, name: str, doc: str, types: Callable[[], tuple[type[msgspec.Struct], ...]],
        writers: tuple[str, ...],
    ) -> Topic:  # fmt: skip
        """A topic whose events the worker puts into the merchant's place in the log."""
        return Topic(
            name=f"{self.prefix}{name}",
            doc=f"{doc}; the worker relays them to `payments`.",
            key="merchant_id",
            partitions=self.partitions,
            retention_ms=7 * DAY_MS,
            types=types,
            writers=(*writers, "operator (duoshou dead-letters resend)"),
            readers=("worker",),
        )

    def decisions(self, lender: str) -> Topic:
        """Answers to the applications to one lender.

        Raises:
            KeyError: No such lender here.
        """
        return self._of_lender(
            "decisions", lender, "Answers to the applications to this lender.", _decisions
        )

    def fund_answers(self, lender: str) -> Topic:
        """Answers to the redemptions from one distributor.

        Raises:
            KeyError: No such lender here.
        """
        return self._of_lender(
            "fund-answers", lender, "Answers to redemptions from this distributor.", _fund_answers
        )

    def claim_answers(self, lender: str) -> Topic:
        """Answers to the claims from one insurer.

        Raises:
            KeyError: No such lender here.
        """
        return self._of_lender(
            "claim-answers", lender, "Answers to claims from this insurer.", _claim_answers
        )

    def _of_lender(
        self, name: str, lender: str, doc: str,
        types: Callable[[], tuple[type[msgspec.Struct], ...]],
    ) -> Topic:  # fmt: skip
        """A topic that only one lender reads.

        It has one partition: a thousand lenders must not cost a broker four thousand, and what
        concerns one merchant comes from one writer in its order all the same.
        """
        self._require(lender)
        return Topic(
            name=f"{self.prefix}{name}.{lender}",
            doc=doc,
            key="merchant_id",
            partitions=1,
            retention_ms=7 * DAY_MS,
            settings=SMALL_SEGMENTS,
            types=types,
            writers=("worker",),
            readers=(f"lender {lender}", "operator (duoshou audit)"),
        )

    def _require(self, lender: str) -> None:
        if lender not in self.lenders:
            raise KeyError(f"no lender {lender!r}: there are {', '.join(self.lenders)}")

    @property
    def examples(self) -> Topic:
        """Loans that have ended, to learn from.

        Kept for ever, and not compacted: who learns anew must meet them in their order.
        """
        return Topic(
            name=f"{self.prefix}examples",
            doc="Loans that have ended: what was known of the merchant at the draw, and the "
            "outcome.",
            key="merchant, lender and loan id, as a JSON list",
            partitions=1,
            retention_ms=-1,
            types=_examples,
            writers=("worker", "operator (duoshou dead-letters resend)"),
            readers=("trainer",),
        )

    def limit_updates(self, lender: str) -> Topic:
        """Changes of what merchants may have from one lender.

        Raises:
            KeyError: No such lender here.
        """
        self._require(lender)
        return Topic(
            name=f"{self.prefix}limit-updates.{lender}",
            doc="What each merchant may have from this lender; the latest of each merchant stays.",
            key="merchant_id; of another product than loan, merchant_id/product",
            partitions=self.partitions if lender == PLATFORM else 1,
            cleanup=Cleanup.COMPACT,
            settings=SMALL_SEGMENTS,
            types=_limit_updates,
            writers=("worker",),
            readers=(f"lender {lender}", "operator (duoshou audit)"),
        )

    @property
    def dead_letters(self) -> Topic:
        """Records that could not be applied."""
        return Topic(
            name=f"{self.prefix}dead-letters",
            doc="Records that could not be applied, byte for byte, with the reason in headers.",
            key="the record's own",
            partitions=self.partitions,
            retention_ms=14 * DAY_MS,
            headers=DeadLetterHeaders,
            writers=("worker", "trainer", "operator (marks what was resent)"),
            readers=("operator (duoshou dead-letters)",),
        )

    @property
    def models(self) -> Topic:
        """Models; the newest is the live one."""
        return Topic(
            name=f"{self.prefix}models",
            doc="Models as JSON; the worker takes up the newest at its next checkpoint.",
            key="<version>.<checksum>: a checkpoint may name any, so none replaces another",
            partitions=1,
            cleanup=Cleanup.COMPACT,
            types=_models,
            writers=("trainer", "operator"),
            readers=("worker", "trainer", "operator (duoshou models, explain, audit)"),
        )

    @property
    def policies(self) -> Topic:
        """Policies; the newest of each lender and product is the live one, or the shadow."""
        return Topic(
            name=f"{self.prefix}policies",
            doc="Policies as JSON; the worker takes up a new one at its next checkpoint.",
            key="<lender>.<product>.<version>, of a shadow <lender>.<product>.shadow.<version>: "
            "none replaces another",
            partitions=1,
            cleanup=Cleanup.COMPACT,
            types=_policies,
            writers=("operator",),
            readers=("worker", "operator (duoshou policies, explain, audit)"),
        )

    @property
    def rows_changelog(self) -> Topic:
        """The changed rows of each checkpoint."""
        return self._changelog(
            "rows",
            "What is remembered of each merchant, as of the last checkpoint that changed it.",
            "merchant_id",
            "operator (duoshou explain, duoshou audit)",
        )

    @property
    def ledger_changelog(self) -> Topic:
        """The changed entries of each checkpoint, of all books, and behind them a mark."""
        return self._changelog(
            "ledger",
            "What has been decided one event at a time (loans), as of the last checkpoint that "
            "changed it.",
            "book and key of the entry, as a JSON list",
            "operator (duoshou explain)",
        )

    def _changelog(self, table: str, doc: str, key: str, *readers: str) -> Topic:
        """The changelog of one of the workers' tables, named as Faust names it.

        A former owner that stalled may write an old record late, so none must be compacted away
        before every worker has seen both: compaction waits an hour.
        """
        return Topic(
            name=f"{self.application_id}-{table}-changelog",
            doc=doc,
            key=key,
            partitions=self.partitions,
            cleanup=Cleanup.COMPACT,
            settings={"min.compaction.lag.ms": str(HOUR_MS)},
            writers=("worker",),
            readers=("worker", *readers),
            public=False,
        )

    @property
    def payment_ids(self) -> Topic:
        """Pages of payment ids already counted.

        Ids count as duplicates for 24 hours of event time; kept twice as long, because event
        time may run behind the broker's clock.
        """
        return Topic(
            name=f"{self.application_id}-payment-ids",
            doc="Payment ids already counted, in pages, so that a restart counts none twice.",
            key="none",
            partitions=self.partitions,
            retention_ms=2 * DAY_MS,
            writers=("worker",),
            readers=("worker",),
            public=False,
        )

    def __iter__(self) -> Iterator[Topic]:
        """Every topic, in the order of the path of a payment."""
        yield self.payments
        yield self.merchant_events
        yield self.applications
        yield self.loan_events
        yield self.fund_events
        yield self.claim_events
        for lender in self.lenders:
            yield self.limit_updates(lender)
            yield self.decisions(lender)
            yield self.fund_answers(lender)
            yield self.claim_answers(lender)
        yield self.dead_letters
        yield self.examples
        yield self.models
        yield self.policies
        yield self.rows_changelog
        yield self.ledger_changelog
        yield self.payment_ids
