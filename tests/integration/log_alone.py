"""What a log leads to, worked out again from the log alone: one record at a time, no crash."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import numpy as np

from features.calendar import load_zone
from scorers.accounts import Accounts
from scorers.applications.book import Place
from scorers.applications.messages import Decision, Outcome, reproducible
from scorers.claims.events import ClaimAnswer, ClaimEvent
from scorers.funds.events import FundAnswer
from scorers.partition import Partition
from scorers.policy import PolicyName, Product
from streams.contract.messages import LimitUpdate
from streams.dead_letters import DeadLetter, dead_letters
from streams.decode.payments import decode_relayed
from streams.observability.metrics import Metrics
from streams.state.holding import CHECKPOINT_KEY, LONGEST_MERCHANT_ID, CheckpointRecord, Holding
from streams.transport.fold import Fold
from streams.wire.records import Records
from streams.worker.decoding import fold_decoder
from streams.worker.handlers import handled
from streams.worker.relayed import Outputs, RelayedEvents
from streams.worker.versions import Versions, read_versions
from tests.faults.outcome import everything

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

    from scorers.evaluation import Updates
    from scorers.ledger import Ledger
    from streams.settings import Settings


class LimitName(NamedTuple):
    """Names one limit update."""

    lender_id: str
    product: str
    merchant_id: str
    version: int


class Limit(NamedTuple):
    """What one limit update says, but for its reasons."""

    limit: int
    previous: int
    as_of: int
    offset: int
    policy_version: int
    probability_of_default: float


ApplicationName = tuple[str, str, str]
"""Lender, merchant, application_id."""

ClaimName = tuple[str, str, str]
"""Insurer, merchant, claim_id."""


@dataclass
class Found:
    """What a log leads to, or what was published."""

    decisions: dict[ApplicationName, bytes] = field(default_factory=dict)
    """Without what was measured."""
    limits: dict[LimitName, Limit] = field(default_factory=dict)
    fund_answers: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By merchant and event_id."""
    claim_answers: dict[ClaimName, bytes] = field(default_factory=dict)
    said: set[tuple[int, int, bytes]] = field(default_factory=set)
    """What partitions say through the log: from which, because of which offset, what."""
    letters: set[tuple[str, int, int, str]] = field(default_factory=set)
    """Topic, partition and offset of each dead letter, and the reason."""
    entries: dict[int, dict[bytes, Any]] = field(default_factory=dict)
    """Of the ledger of each partition."""
    rows: dict[bytes, bytes] = field(default_factory=dict)

    def decided(self) -> list[Decision]:
        """The decisions, decoded."""
        return [msgspec.json.decode(raw, type=Decision) for raw in self.decisions.values()]

    def approved(self, lender_id: str, product: str = "loan") -> int:
        """Sum of what has been approved, minor units."""
        return sum(
            each.amount
            for each in self.decided()
            if (each.lender_id, each.product) == (lender_id, product)
            and each.outcome is Outcome.APPROVE
        )


def same(known: dict[Any, Any], key: Any, value: Any) -> None:
    """Note a value; the same key with another one is a failure."""
    assert known.setdefault(key, value) == value, f"{key} was published with two contents"


def expected(settings: Settings) -> Found:
    """Work out everything that the log of `payments` leads to."""
    log: defaultdict[int, list[ConsumerRecord]] = defaultdict(list)
    for record in everything(settings, settings.topics.payments):
        log[record.partition].append(record)
    versions, found = asyncio.run(read_versions(settings)), Found()
    checkpoints = _checkpoints(settings)
    for number in range(settings.partitions):
        _Run(settings, versions, number, found).over(log[number], checkpoints[number])
    return found


def _checkpoints(settings: Settings) -> defaultdict[int, list[CheckpointRecord]]:
    checkpoints: defaultdict[int, list[CheckpointRecord]] = defaultdict(list)
    for record in everything(settings, settings.topics.rows_changelog):
        if record.key == CHECKPOINT_KEY:
            checkpoints[record.partition].append(
                msgspec.json.decode(record.value, type=CheckpointRecord)
            )
    return checkpoints


class _Run:
    """One partition of the log, from its beginning."""

    def __init__(self, settings: Settings, versions: Versions, number: int, found: Found) -> None:
        self._settings, self._versions, self._found = settings, versions, found
        partition = Partition(
            load_zone(settings.zone),
            skew_ms=int(settings.allowed_skew_s * 1000),
            horizon_ms=int(settings.late_horizon_s * 1000),
        )
        self._holding = Holding(number, partition)
        place = Place(settings.topics.payments.name, number, settings.partitions)
        self._holding.accounts.begin(place)
        self._events = RelayedEvents(handled(settings.topics), Metrics())

    def over(self, log: list[ConsumerRecord], checkpoints: list[CheckpointRecord]) -> None:
        """Apply the log under the policies that the checkpoints name."""
        ahead = iter(checkpoints)
        following = next(ahead, None)
        for record in log:
            while following is not None and following.offset < record.offset:
                self._holding.partition.activate(self._versions.named_by(following))
                following = next(ahead, None)
            self._take(record)
        partition, found = self._holding.partition, self._found
        found.rows |= {key: partition.row_bytes(key) or b"" for key in partition.merchants()}
        found.entries[self._holding.number] = entries_of(self._holding.accounts.ledger)

    def _take(self, record: ConsumerRecord) -> None:
        holding, found = self._holding, self._found
        fold = _fold(record, self._settings.partitions)
        outputs = Outputs.none(self._settings.partitions)
        events, text = fold.decoded.events, fold.decoded.text
        holding.partition.apply(
            events, text, self._note, lambda i: self._events.apply(holding, fold, i, outputs)
        )
        for _, _, decision in outputs.decisions:
            self._check(decision)
            name = (decision.lender_id, decision.merchant_id, decision.application_id)
            same(found.decisions, name, reproducible(decision))
        for answer in outputs.fund_answers:
            key = (answer.merchant_id, answer.event_id)
            same(found.fund_answers, key, msgspec.json.encode(answer))
        for of_claim in outputs.claim_answers:
            same(found.claim_answers, claim_name(of_claim), msgspec.json.encode(of_claim))
        found.said |= {
            (holding.number, each.source_offset, each.event) for each in outputs.messages
        }
        found.letters |= {_named(letter) for letter in (*dead_letters(fold), *outputs.letters)}

    def _note(self, updates: Updates) -> None:
        partition = self._holding.partition
        for i, merchant in enumerate(partition.merchants_of(updates.row)):
            policy = partition.version.policies[int(updates.policy[i])]
            name = LimitName(
                policy.lender, policy.product, merchant.decode(), int(updates.version[i])
            )
            limit = Limit(
                int(updates.limit[i]), int(updates.previous[i]), int(updates.as_of[i]),
                int(updates.offset[i]), policy.version, float(updates.pd[i]),
            )  # fmt: skip
            same(self._found.limits, name, limit)

    def _check(self, decision: Decision) -> None:
        """An approval, just given, must leave what is lent and reserved within its bounds."""
        if decision.outcome is not Outcome.APPROVE or decision.source_offset != self._offset:
            return
        holding, accounts = self._holding, self._holding.accounts
        name = PolicyName(decision.lender_id, Product(decision.product))
        known = holding.partition.known_of(decision.merchant_id.encode(), name)
        policy = holding.partition.version.policies.find(name)
        assert policy is not None
        standing = cast(Any, SimpleNamespace(limit=known.limit, capacity=known.everybodys_limit))
        left = accounts.applications.figures(
            decision.merchant_id, name.lender, name.product, standing, policy.terms
        )
        assert min(left.left_of_limit, left.left_of_capacity, left.left_of_budget or 0) >= 0

    @property
    def _offset(self) -> int:
        return self._holding.accounts.ledger.offset


def _fold(record: ConsumerRecord, partitions: int) -> Fold:
    """Return a record of a topic of so many partitions as a fold of its own."""
    key = record.key or b""
    text = np.frombuffer(key + record.value, np.uint8).copy()
    zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    records = Records(
        offset=one * record.offset,
        timestamp=one * record.timestamp,
        key_at=zero,
        key_length=zero - 1 if record.key is None else one * len(key),
        value_at=one * len(key),
        value_length=one * len(record.value),
        headers_at=zero,
        headers_length=zero,
        header_count=zero,
    )
    fold = Fold(record.topic, record.partition, record.offset, record.offset, text, records)
    fold.decoded = fold_decoder(partitions)(fold)
    return fold


def _named(letter: DeadLetter) -> tuple[str, int, int, str]:
    return _source(dict(letter.headers))


def _source(headers: dict[str, bytes | None]) -> tuple[str, int, int, str]:
    topic, partition, offset, reason = (
        (headers[f"duoshou-{name}"] or b"").decode()
        for name in ("topic", "partition", "offset", "reason")
    )
    return topic, int(partition), int(offset), reason


def entries_of(ledger: Ledger) -> dict[bytes, Any]:
    """Return every entry of a ledger, by its key in the changelog."""
    ledger.repeat(ledger.offset)
    entries = {}
    for key, raw in ledger.cut(ledger.offset + 1).entries:
        value = None if raw is None else msgspec.json.decode(raw)[1]
        if value is not None:
            entries[key] = value
    return entries


def published(settings: Settings) -> Found:
    """Read everything that is on the topics; what is there twice must say the same."""
    found, topics = Found(), settings.topics
    for lender in settings.lenders:
        for record in everything(settings, topics.decisions(lender)):
            decision = msgspec.json.decode(record.value, type=Decision)
            assert (decision.lender_id, decision.merchant_id.encode()) == (lender, record.key)
            name = (lender, decision.merchant_id, decision.application_id)
            same(found.decisions, name, reproducible(decision))
        for record in everything(settings, topics.fund_answers(lender)):
            answer = msgspec.json.decode(record.value, type=FundAnswer)
            same(found.fund_answers, (answer.merchant_id, answer.event_id), record.value)
        for record in everything(settings, topics.claim_answers(lender)):
            of_claim = msgspec.json.decode(record.value, type=ClaimAnswer)
            assert (of_claim.lender_id, of_claim.merchant_id.encode()) == (lender, record.key)
            same(found.claim_answers, claim_name(of_claim), record.value)
        _read_limits(settings, lender, found)
    for record in everything(settings, topics.payments):
        if b'"relayed"' in record.value and b"offset" in record.value:
            envelope = decode_relayed(record.value)
            if envelope.topic == topics.payments.name:
                found.said.add((envelope.partition, envelope.offset, bytes(envelope.event)))
    for record in everything(settings, topics.dead_letters):
        found.letters.add(_source(dict(record.headers)))
    _read_durable(settings, found)
    return found


def claim_name(claim: ClaimEvent | ClaimAnswer) -> ClaimName:
    """Return what names a claim, and its answer."""
    return claim.lender_id, claim.merchant_id, claim.claim_id


def assert_claims_are_dealt_with(settings: Settings, found: Found) -> None:
    """Every claim that was sent must have been answered, or was set aside with a reason."""
    topic = settings.topics.claim_events
    refused = {letter[:3] for letter in found.letters}
    for record in everything(settings, topic):
        name = claim_name(msgspec.json.decode(record.value, type=ClaimEvent))
        place = (topic.name, record.partition, record.offset)
        assert name in found.claim_answers or place in refused, name


def _read_limits(settings: Settings, lender: str, found: Found) -> None:
    whole: dict[LimitName, LimitUpdate] = {}
    for record in everything(settings, settings.topics.limit_updates(lender)):
        each = msgspec.json.decode(record.value, type=LimitUpdate)
        assert each.lender_id == lender
        name = LimitName(lender, each.product, each.merchant_id, each.version)
        same(whole, name, each)
        found.limits[name] = Limit(
            each.limit, each.previous_limit, each.as_of, each.source_offset,
            each.policy_version, each.probability_of_default,
        )  # fmt: skip


def _read_durable(settings: Settings, found: Found) -> None:
    accounts = [Accounts(load_zone(settings.zone)) for _ in range(settings.partitions)]
    for record in everything(settings, settings.topics.ledger_changelog):
        accounts[record.partition].ledger.restore(record.key, record.value)
    found.entries = {number: entries_of(each.ledger) for number, each in enumerate(accounts)}
    partition = Partition(load_zone(settings.zone))
    for record in everything(settings, settings.topics.rows_changelog):
        if len(record.key) <= LONGEST_MERCHANT_ID:
            text = np.frombuffer(record.key + record.value, np.uint8)
            lengths = [np.full(1, len(part), np.int32) for part in (record.key, record.value)]
            at = [np.zeros(1, np.int64), np.full(1, len(record.key), np.int64)]
            partition.restore_rows(text, at[0], lengths[0], at[1], lengths[1])
    found.rows = {key: partition.row_bytes(key) or b"" for key in partition.merchants()}


def assert_same(is_published: Found, is_expected: Found) -> None:
    """Compare what was published, and what is durable, with what the log leads to."""
    for name in Found.__dataclass_fields__:
        there, here = getattr(is_published, name), getattr(is_expected, name)
        if there == here:
            continue
        if isinstance(here, dict) and name != "entries":
            there, here = set(there.items()), set(here.items())
        if name == "entries":
            there, here = (
                {(n, key, repr(value)) for n, each in found.items() for key, value in each.items()}
                for found in (there, here)
            )
        more, less = sorted(there - here)[:5], sorted(here - there)[:5]
        raise AssertionError(f"{name}: only published {more}, only expected {less}")
