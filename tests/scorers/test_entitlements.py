"""Several lenders' policies beside everybody's: who is enrolled has a limit of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Outcome
from scorers.catalogue import Policies
from scorers.entitlements import ENTITLEMENTS, FULL
from scorers.merchants import Enrolment, MerchantEvent, MerchantKind
from scorers.partition import Partition, Version
from scorers.policy import Policy, Product
from scorers.reasons import reason_code
from tests.scorers.logs import DAY, HOUR, MERCHANTS, NOON, Record, columns, logs, tick
from tests.scorers.partition_model import ModelPartition
from tests.scorers.runs import EAGER, ZONE, run
from tests.scorers.test_recovery import (
    assert_crashes_change_nothing,
    assert_splits_change_nothing,
    stops,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorers.entitlements import Draft, Entitled
    from scorers.evaluation import Updates
    from scorers.partition import Amendment

LENDERS = ("bank-a", "bank-b", "bank-c")


def policy_of(lender: str, **changes: object) -> Policy:
    everybodys = msgspec.to_builtins(EAGER.policies.everybodys)
    return msgspec.convert(everybodys | {"lender": lender, "version": 3} | changes, Policy)


MANY = Version(
    EAGER.scorecard,
    Policies(
        [
            EAGER.policies.everybodys,
            policy_of("bank-a", advance_rate=1.0, cool_down_ms=HOUR),
            policy_of("bank-b", pd_cut_off=0.1, hold_out_share=0.0),
            policy_of("bank-c", valid_to=NOON + 6 * DAY),
        ]
    ),
)

# `bank-x` has published nothing: a merchant may consent before it does.
events = st.builds(
    MerchantEvent,
    event_id=st.just("e"),
    kind=st.sampled_from(
        [MerchantKind.ENROLLED] * 4
        + [MerchantKind.WITHDRAWN, MerchantKind.CLOSED, MerchantKind.REOPENED]
    ),
    merchant_id=st.sampled_from([merchant.decode() for merchant in MERCHANTS]),
    occurred_at=st.just(NOON),
    lender_id=st.sampled_from([*LENDERS, "bank-x"]),
    product=st.just(Product.LOAN),
)


@st.composite
def logs_with_events(draw: st.DrawFn) -> tuple[list[Record], dict[int, MerchantEvent]]:
    log: list[Record] = []
    amendments: dict[int, MerchantEvent] = {}
    for record in draw(logs(min_size=5)):
        for event in draw(st.lists(events, max_size=2)):
            amendments[len(log)] = event
            log.append(replace(tick(record.occurred_at), outcome=Outcome.RELAYED))
        log.append(record)
    return log, amendments


def partition_of(version: Version = MANY, updates_at_once: int = 64) -> Partition:
    return Partition(ZONE, version, updates_at_once=updates_at_once)


def enrolled(
    merchant: str, lender: str, kind: MerchantKind = MerchantKind.ENROLLED
) -> MerchantEvent:
    return MerchantEvent("e", kind, merchant, NOON, lender, Product.LOAN)


def relayed(at: int = NOON) -> Record:
    return replace(tick(at), outcome=Outcome.RELAYED)


def beside_the_model(
    log: list[Record], amendments: dict[int, MerchantEvent]
) -> tuple[Partition, ModelPartition]:
    """Apply a log to a partition and to the plain model, which agree on all updates."""
    partition, model = partition_of(), ModelPartition(ZONE, MANY)
    _, updates = run(partition, log, amendments=amendments)
    for offset, record in enumerate(log):
        if offset in amendments:
            model.amend(offset, amendments[offset])
        model.apply(offset, record)
    assert updates == model.updates
    return partition, model


@settings(max_examples=40)
@given(logs_with_events())
def test_limits_of_all_lenders_agree_with_the_plain_model(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
) -> None:
    beside_the_model(*drawn)


@settings(max_examples=40)
@given(logs_with_events(), st.lists(st.integers(0, 120), max_size=6))
def test_any_split_gives_the_same_rows_and_updates(
    drawn: tuple[list[Record], dict[int, MerchantEvent]], cuts: list[int]
) -> None:
    log, amendments = drawn
    whole, split = partition_of(), partition_of(updates_at_once=1)
    assert_splits_change_nothing(whole, split, log, cuts, amendments)


@settings(max_examples=40)
@given(logs_with_events(), st.lists(stops, max_size=6))
def test_crashes_leave_limits_and_enrolments_as_in_a_quiet_run(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
    script: list[tuple[int, str, bool, int]],
) -> None:
    assert_crashes_change_nothing(partition_of, *drawn, script)


@settings(max_examples=40)
@given(logs_with_events())
def test_versions_rise_and_limits_stay_within_their_bounds(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
) -> None:
    log, amendments = drawn
    _, updates = run(partition_of(), log, amendments=amendments)
    versions: dict[tuple[bytes, str], int] = {}
    for update in updates:
        name = update.merchant, update.lender
        assert update.version > versions.get(name, 0)
        versions[name] = update.version
        assert 0 <= update.limit <= EAGER.policies.everybodys.cap


def trade(merchant: bytes, days: int, start: int = NOON) -> list[Record]:
    return [
        Record(merchant, f"{merchant!r}{day}-{i}", occurred_at=start + day * DAY + i, payer=f"p{i}")
        for day in range(days)
        for i in range(8)
    ]


def relay(
    partition: Partition, amendments: Sequence[Amendment], first: int = 0
) -> tuple[list[str | None], list[list[str]]]:
    """Apply amendments to `m0`; return why each was refused, and the reasons of the updates."""
    refusals: list[str | None] = []
    reasons: list[list[str]] = []

    def note(updates: Updates) -> None:
        reasons.extend(
            [reason_code(int(reason)) for reason in each if reason >= 0] for each in updates.reason
        )

    def amend(i: int) -> None:
        refused = partition.amend(b"m0", amendments[i], offset=first + i)
        refusals.append(refused)

    events_, text = columns([relayed()] * len(amendments), first)
    partition.apply(events_, text, note, amend)
    return refusals, reasons


def record_of(partition: Partition) -> Entitled:
    record = partition.entitled(b"m0")
    assert record is not None
    return record


class Standing:
    """Sets the standing of the first policy that a merchant is enrolled for."""

    currency = None

    def __init__(self, standing: int) -> None:
        self.standing = standing

    def change(self, record: Draft) -> None:
        record.standing[0] = self.standing


def test_a_closed_merchant_has_no_limit_at_once_and_gets_it_back_from_what_is_remembered() -> None:
    partition = partition_of()
    log = [relayed(), *trade(b"m0", 5)]
    run(partition, log, amendments={0: enrolled("m0", "bank-a")})
    assert record_of(partition).limit[0] > 0
    at = len(log)
    close = Enrolment(enrolled("m0", "bank-a", MerchantKind.CLOSED), (0, at))
    assert relay(partition, [close], at) == ([None], [["closed"], ["closed"]])
    assert record_of(partition).limit[0] == 0
    _, updates = run(partition, trade(b"m0", 1, NOON + 5 * DAY), at + 1)
    assert updates == []
    reopen = enrolled("m0", "bank-a", MerchantKind.REOPENED)
    _, updates = run(partition, [relayed()], at + 20, {at + 20: reopen})
    assert {(update.lender, update.limit > 0) for update in updates} == {
        ("platform", True), ("bank-a", True),
    }  # fmt: skip


def test_who_withdraws_has_no_limit_there_and_none_elsewhere_moves() -> None:
    partition = partition_of()
    log = [relayed(), relayed(), *trade(b"m0", 5)]
    run(partition, log, amendments={0: enrolled("m0", "bank-a"), 1: enrolled("m0", "bank-b")})
    at = len(log)
    gone = Enrolment(enrolled("m0", "bank-a", MerchantKind.WITHDRAWN), (0, at))
    assert relay(partition, [gone], at) == ([None], [["withdrawn"]])
    floor = int(record_of(partition).version_floor)
    assert np.count_nonzero(record_of(partition).key) == 1
    again = enrolled("m0", "bank-a")
    _, [back] = run(partition, [relayed(), relayed()], at + 1, {at + 1: again, at + 2: again})
    assert (back.lender, back.version) == ("bank-a", 1 + floor)


def test_a_policy_that_is_no_longer_valid_ends_limits_without_a_payment() -> None:
    partition = partition_of()
    log = [relayed(), *trade(b"m0", 5)]
    run(partition, log, amendments={0: enrolled("m0", "bank-c")})
    _, updates = run(partition, [tick(NOON + 6 * DAY + HOUR)], len(log))
    [end] = [update for update in updates if update.lender == "bank-c"]
    assert (end.limit, end.by_time) == (0, True)


@pytest.mark.parametrize("standing", [5_000, 0, 15_000])
def test_standing_is_the_share_of_the_limit_that_is_left(standing: int) -> None:
    """A cut comes at once, a raise when its cool-down ends."""
    partition = partition_of()
    log = [relayed(), *trade(b"m0", 12)]
    run(partition, log, amendments={0: enrolled("m0", "bank-b")})
    limit, at = int(record_of(partition).limit[0]), len(log)
    _, reasons = relay(partition, [Standing(standing)], at)
    if standing > FULL:
        assert reasons == []
        run(partition, [tick(NOON + 12 * DAY + HOUR)], at + 1)
    else:
        assert [names[0] for names in reasons] == ["standing"]
    step = EAGER.policies.everybodys.step
    wanted = standing * limit / FULL
    assert abs(int(record_of(partition).limit[0]) - wanted) <= 2 * step + limit * 0.1


def test_nobody_is_enrolled_for_more_than_eight_policies() -> None:
    many = [Enrolment(enrolled("m0", f"lender-{i}"), (0, i)) for i in range(ENTITLEMENTS + 1)]
    refusals, _ = relay(partition_of(), many)
    assert refusals == [None] * ENTITLEMENTS + ["too_many_enrolments"]


@pytest.mark.parametrize(
    ("event", "refused"),
    [
        (enrolled("m0", "platform"), "everybodys_policy"),
        (enrolled("m0", "bank-a", MerchantKind.WITHDRAWN), "not_enrolled"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    event: MerchantEvent, refused: str
) -> None:
    partition = partition_of()
    assert relay(partition, [Enrolment(event, (0, 5))]) == ([refused], [])
    assert list(partition.merchants()) == []


def test_an_event_that_is_relayed_twice_counts_once() -> None:
    partition = partition_of()
    leave = enrolled("m0", "bank-a", MerchantKind.WITHDRAWN)
    sources = [(enrolled("m0", "bank-a"), 7), (leave, 8), (enrolled("m0", "bank-a"), 7)]
    relay(partition, [Enrolment(event, (2, offset)) for event, offset in sources])
    assert np.count_nonzero(record_of(partition).key) == 0


def test_events_of_a_merchant_that_come_from_two_partitions_all_count() -> None:
    partition = partition_of()
    sources = [(enrolled("m0", "bank-a"), (0, 100)), (enrolled("m0", "bank-b"), (1, 5))]
    relay(partition, [Enrolment(event, source) for event, source in sources])
    assert np.count_nonzero(record_of(partition).key) == 2
