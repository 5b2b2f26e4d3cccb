"""An event that is refused and relayed twice has one dead letter, and leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from faust.types import TP

from scorers.applications import messages as applications
from scorers.claims.events import ClaimEvent
from scorers.funds.events import FundEvent, FundKind
from scorers.loans import LoanEvent, LoanKind
from scorers.merchants import CODES, MerchantEvent, MerchantKind
from scorers.policy import EVERYBODYS, Product
from scorers.profiles import MOST_CODES
from streams.audit.recomputing import part
from streams.contract.messages import PaymentEvent, PaymentKind, Relayed
from streams.observability.metrics import Metrics
from streams.settings import Settings
from streams.state.holding import Holding, place_of
from streams.transport.fetching import FoldDecoder, folds
from streams.wire.encode import Message, encode_messages
from streams.worker.decoding import fold_decoder
from streams.worker.effects import FoldApplier, partition_maker
from streams.worker.handlers import NO_POLICY
from tests.scorers.runs import rows_of

if TYPE_CHECKING:
    from streams.transport.fold import Fold

NOW = 1_760_000_000_000
SETTINGS = Settings(partitions=1)
DECODE = fold_decoder(SETTINGS.partitions)
TOPIC = SETTINGS.topics.merchant_events.name


class Told(NamedTuple):
    """What applying a stretch of the log has led to."""

    reasons: list[str]
    updates: int


class Worker:
    """Applies one log to one partition."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.holding = Holding(0, partition_maker(SETTINGS)())
        self.holding.accounts.begin(place_of(SETTINGS, 0))
        self._applier = FoldApplier(SETTINGS, self.metrics)

    def apply(self, fold: Fold, first: int = 0, last: int | None = None) -> Told:
        end = fold.last_offset if last is None else last
        effects = self._applier.apply(self.holding, part(fold, first, end, DECODE))
        reasons = [letter.reason for letter in effects.outputs.letters]
        return Told(reasons, sum(len(each.row) for each in effects.updates))

    def counted(self, refused: MerchantEvent, reason: str) -> float | None:
        labels = {"kind": str(refused.kind), "outcome": reason}
        return self.metrics.registry.get_sample_value("duoshou_merchant_events_total", labels)

    def known(self, refused: MerchantEvent) -> object:
        """What is on record of the merchant: all of it, or what is not a matter of a row.

        A row takes each event of a code in, whatever the profile says of it.
        """
        profile, partition = self.holding.accounts.profiles.of("m1"), self.holding.partition
        if refused.kind in CODES:
            return profile, partition.limits_of(EVERYBODYS).sum()
        return profile, rows_of(partition)


def log_of(*values: bytes) -> Fold:
    records: list[Message] = [(b"m1", value, [], NOW) for value in values]
    (batch,) = encode_messages(records, compression="none")
    decoder = FoldDecoder({"payments": DECODE}, 1 << 20)
    (fold,) = folds(TP("payments", 0), bytes(batch._build()), (), 0, decoder)
    return fold


def paid(number: int) -> bytes:
    return msgspec.json.encode(
        PaymentEvent(
            payment_id=f"p{number}", kind=PaymentKind.PAYMENT, merchant_id="m1", amount=5_000,
            currency="CNY", occurred_at=NOW + number, code_id="till", payer_id=f"u{number}",
        )
    )  # fmt: skip


def event(kind: MerchantKind, **fields: Any) -> MerchantEvent:
    return MerchantEvent("e1", kind, "m1", NOW, **fields)


def relayed(said: msgspec.Struct, offset: int, partition: int = 0, topic: str = TOPIC) -> bytes:
    raw = msgspec.Raw(msgspec.json.encode(said))
    return msgspec.json.encode(Relayed("m1", topic, partition, offset, raw, NOW, 0))


WITHDRAWN = event(MerchantKind.WITHDRAWN, lender_id="bank", product=Product.LOAN)
PAYMENTS = [paid(number) for number in range(3)]
OTHER_CURRENCY = event(MerchantKind.REGISTERED, currency="USD")
CASES = {
    "stranger": ([], WITHDRAWN, "not_enrolled"),
    "never_registered": (PAYMENTS, WITHDRAWN, "not_enrolled"),
    "registered": ([relayed(event(MerchantKind.REGISTERED), 1)], WITHDRAWN, "not_enrolled"),
    "currency": (PAYMENTS, OTHER_CURRENCY, "other_currency"),
    "not_bound": ([], event(MerchantKind.CODE_UNBOUND, code_id="c"), "not_bound"),
    "codes": (
        [relayed(event(MerchantKind.CODE_BOUND, code_id=f"c{n}"), n) for n in range(MOST_CODES)],
        event(MerchantKind.CODE_BOUND, code_id="more"),
        "too_many_codes",
    ),
}

cases = pytest.mark.parametrize(("before", "refused", "reason"), CASES.values(), ids=CASES)


@pytest.mark.parametrize("between", [[], [paid(8), relayed(WITHDRAWN, 101)]], ids=["now", "later"])
@cases
def test_the_second_gives_nothing(
    before: list[bytes], refused: MerchantEvent, reason: str, between: list[bytes]
) -> None:
    log = log_of(*before, relayed(refused, 100), *between, relayed(refused, 100))
    worker, last = Worker(), log.last_offset
    first = worker.apply(log, 0, last - 1)
    assert first.reasons == [reason] + ["not_enrolled"] * bool(between)
    known, counted = worker.known(refused), worker.counted(refused, reason)
    assert worker.apply(log, last) == Told([], 0)
    assert (worker.known(refused), worker.counted(refused, reason)) == (known, counted)


@cases
def test_the_first_gives_a_letter_and_changes_nothing(
    before: list[bytes], refused: MerchantEvent, reason: str
) -> None:
    log = log_of(*before, relayed(refused, 100))
    worker, last = Worker(), log.last_offset
    if before:
        worker.apply(log, 0, last - 1)
    known = worker.known(refused)
    assert worker.apply(log, last) == Told([reason], 0)
    assert worker.known(refused) == known


SUBSCRIBED = FundEvent("f1", FundKind.SUBSCRIBED, "m1", "bank", "fund", "CNY", 5_000, NOW)
OF_OTHER_TOPICS = {
    "loan_event": (
        SETTINGS.topics.loan_events.name,
        [LoanEvent("e1", LoanKind.REPAID, "l1", "bank", "m1", "loan", "CNY", 5_000, NOW)],
        "unknown_loan",
    ),
    "application": (
        SETTINGS.topics.applications.name,
        [
            applications.Application(
                "a1", "nobody", "m1", applications.Product.LOAN, "CNY", 5_000, NOW
            )
        ],
        NO_POLICY,
    ),
    "fund_event": (
        SETTINGS.topics.fund_events.name,
        [SUBSCRIBED, msgspec.structs.replace(SUBSCRIBED, amount=6_000)],
        "conflict",
    ),
    "claim": (
        SETTINGS.topics.claim_events.name,
        [ClaimEvent("c1", "m1", "bank", "CNY", 5_000, NOW, NOW - 1)],
        "loss_after_claim",
    ),
}


@pytest.mark.parametrize(
    ("topic", "events", "reason"), OF_OTHER_TOPICS.values(), ids=OF_OTHER_TOPICS
)
def test_what_is_refused_of_another_topic_has_one_letter_too(
    topic: str, events: list[msgspec.Struct], reason: str
) -> None:
    begun = [relayed(each, 100 + n, topic=topic) for n, each in enumerate(events)]
    # Sent again by whoever sent it, it has an offset of its own, and a letter of its own.
    again = relayed(events[-1], 200, topic=topic)
    other = relayed(WITHDRAWN, 50)
    log, worker = log_of(*begun, other, *begun, other, again), Worker()
    assert worker.apply(log).reasons == [reason, "not_enrolled", reason]


def test_events_of_strangers_that_are_refused_leave_one_entry_however_many_there_are() -> None:
    worker = Worker()
    said = [msgspec.structs.replace(WITHDRAWN, merchant_id=f"m{n}") for n in range(50)]
    log = log_of(*[relayed(each, n) for n, each in enumerate(said)])
    empty = len(worker.holding.accounts.ledger)
    assert worker.apply(log).reasons == ["not_enrolled"] * 50
    assert len(worker.holding.partition) == 0
    assert len(worker.holding.accounts.ledger) == empty + 1


def test_nothing_is_kept_of_a_partition_that_the_topic_does_not_have() -> None:
    worker = Worker()
    empty = len(worker.holding.accounts.ledger)
    forged = [relayed(WITHDRAWN, 10**9, partition) for partition in range(1, 40)]
    assert worker.apply(log_of(*forged)).reasons == ["not_enrolled"] * 39
    assert len(worker.holding.accounts.ledger) == empty
    assert worker.apply(log_of(relayed(WITHDRAWN, 0))).reasons == []


def whole_log() -> Fold:
    """Events of all kinds, of which the relay has repeated what it had not committed."""
    codes = [event(MerchantKind.CODE_BOUND, code_id=f"c{n}") for n in range(MOST_CODES + 2)]
    said = [WITHDRAWN, *codes, OTHER_CURRENCY, WITHDRAWN]
    begun = [relayed(each, n) for n, each in enumerate(said)]
    return log_of(*PAYMENTS, *begun[:40], paid(5), *begun[30:], *begun[-6:], paid(6), *begun[-3:])


REFUSED = ["not_enrolled", "too_many_codes", "too_many_codes", "other_currency", "not_enrolled"]


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_replay_gives_the_same_letters_however_the_log_is_cut(size: int) -> None:
    log, worker = whole_log(), Worker()
    reasons = []
    for first in range(0, log.last_offset + 1, size):
        reasons += worker.apply(log, first, min(first + size - 1, log.last_offset)).reasons
    assert reasons == REFUSED


@pytest.mark.parametrize("at", range(3, 94, 7))
def test_a_crash_behind_the_mark_gives_the_rest_and_nothing_twice(at: int) -> None:
    """The ledger is durable up to there and no row is: the log is read from its beginning."""
    log, worker = whole_log(), Worker()
    reasons = worker.apply(log, 0, at).reasons
    cut = worker.holding.accounts.ledger.cut(at)
    assert cut.mark is not None
    restored = Worker()
    for key, value in [*cut.entries, cut.mark]:
        restored.holding.accounts.ledger.restore(key, value)
    restored.holding.accounts.begin(place_of(SETTINGS, 0))
    assert reasons + restored.apply(whole_log()).reasons == REFUSED
    quiet = Worker()
    quiet.apply(whole_log())
    assert rows_of(restored.holding.partition) == rows_of(quiet.holding.partition)
