"""While a policy is outside its band its limits do not rise, and cuts go on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Kind
from scorers.accounts import Accounts
from scorers.applications.book import Place
from scorers.applications.terms import Band
from scorers.catalogue import Policies
from scorers.partition import Partition
from scorers.policy import EVERYBODYS, Policy, PolicyName, Product
from scorers.raises import RESUME_BPS, Cause, Stop, stops
from tests.scorers import test_cover as covers
from tests.scorers.applying import ASKED, STANDING
from tests.scorers.logs import DAY, HOUR, NOON, Record, tick
from tests.scorers.partition_model import ModelPartition, Update
from tests.scorers.runs import ZONE, rows_of, run
from tests.scorers.test_entitlements import (
    MANY,
    enrolled,
    logs_with_events,
    partition_of,
    relayed,
    trade,
)
from tests.scorers.test_recovery import Disk
from tests.scorers.test_recovery import stops as crashes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scorers.merchants import MerchantEvent
    from scorers.partition import Version

Logged = tuple[list[Record], dict[int, "MerchantEvent"]]
Switches = list[tuple[int, frozenset[Stop]]]
"""Behind which offsets which stops are in force."""

BANK_A = PolicyName("bank-a", Product.LOAN)
NAMES = [policy.name for policy in MANY.policies]


def stop_of(name: PolicyName, cause: Cause = Cause.LIMITS) -> Stop:
    return Stop(name.lender, name.product, cause)


def stopping(*names: PolicyName, version: Version = MANY) -> Version:
    return replace(version, stops=frozenset(stop_of(name) for name in names))


def banded(policy: Policy, **band: Any) -> Policy:
    lending = msgspec.structs.replace(policy.lending, band=Band(**band))
    return msgspec.structs.replace(policy, lending=lending)


def with_bands(largest_limits: Mapping[PolicyName, int], **band: Any) -> Version:
    policies = [
        banded(policy, largest_limits=largest_limits[policy.name], **band)
        if policy.name in largest_limits
        else policy
        for policy in MANY.policies
    ]
    return replace(MANY, policies=Policies(policies))


def accounts() -> Accounts:
    begun = Accounts(ZONE)
    begun.begin(Place("payments", 0, 1))
    return begun


def by_stretches(
    partition: Partition,
    log: Sequence[Record],
    amendments: Mapping[int, MerchantEvent],
    switches: Switches,
) -> list[Update]:
    """Apply a log with other stops in force behind some offsets; return the updates."""
    updates: list[Update] = []
    at = 0
    for offset, in_force in [*switches, (len(log) - 1, partition.version.stops)]:
        updates += run(partition, log[at : offset + 1], at, amendments)[1]
        at = max(at, offset + 1)
        partition.activate(replace(partition.version, stops=in_force))
    return updates


def in_force_at(switches: Switches, offset: int) -> frozenset[PolicyName]:
    found = frozenset[Stop]()
    for behind, in_force in switches:
        if behind < offset:
            found = in_force
    return frozenset(stop.policy for stop in found)


some_stops = st.frozensets(st.sampled_from([stop_of(name) for name in NAMES]))


@settings(max_examples=40)
@given(logs_with_events(), st.lists(st.tuples(st.integers(0, 60), some_stops), max_size=5))
def test_limits_under_stops_agree_with_the_plain_model_and_never_rise(
    drawn: Logged, switches: Switches
) -> None:
    (log, amendments), switches = drawn, sorted(switches, key=lambda each: each[0])
    model = ModelPartition(ZONE, MANY)
    for offset, record in enumerate(log):
        for behind, in_force in switches:
            if behind < offset:
                model.version = replace(MANY, stops=in_force)
        if offset in amendments:
            model.amend(offset, amendments[offset])
        model.apply(offset, record)
    partition = partition_of()
    updates = by_stretches(partition, log, amendments, switches)
    assert updates == model.updates
    assert partition.take_held_back() == model.held_back
    assert partition.take_held_back() == {}
    for update in updates:
        if PolicyName(update.lender, Product.LOAN) in in_force_at(switches, update.offset):
            assert update.limit < update.previous


BOUNDS = with_bands({EVERYBODYS: 100_000, BANK_A: 60_000})


def bounded() -> Partition:
    return partition_of(BOUNDS)


def interrupted(
    log: Sequence[Record],
    amendments: Mapping[int, MerchantEvent],
    script: Sequence[tuple[int, str, bool, int]],
) -> tuple[Partition, set[Update], Switches, Counter[PolicyName]]:
    """Apply a log with checkpoints, which may change the stops, and crashes.

    As a worker does: what a complete checkpoint names is in force behind it, and nothing else is
    decided before all has been read again that the life before can have published from.
    """
    disk, partition, at, furthest = Disk(bounded), bounded(), 0, 0
    published: set[Update] = set()
    switches: Switches = []
    held_back: Counter[PolicyName] = Counter()
    for count, stage, dies, some in script:
        batch = log[at : at + count]
        published.update(run(partition, batch, at, amendments)[1])
        at += len(batch)
        stage = stage if dies else "all"
        disk.checkpoint(partition, until=stage, some=some)
        if stage == "all":
            held_back.update(partition.take_held_back())
        if stage == "all" and at >= furthest:
            switches.append((at - 1, stops(partition, accounts(), BOUNDS.policies)))
            partition.activate(replace(BOUNDS, stops=switches[-1][1]))
        furthest = max(furthest, at)
        if dies:
            partition = disk.recover()
            partition.activate(replace(BOUNDS, stops=switches[-1][1] if switches else frozenset()))
            at = partition.offset + 1
    published.update(run(partition, log[at:], at, amendments)[1])
    held_back.update(partition.take_held_back())
    return partition, published, switches, held_back


@settings(max_examples=60)
@given(logs_with_events(), st.lists(crashes, max_size=8))
def test_crashes_leave_what_the_recorded_stops_give_in_a_quiet_run(
    drawn: Logged, script: list[tuple[int, str, bool, int]]
) -> None:
    log, amendments = drawn
    partition, published, switches, held_back = interrupted(log, amendments, script)
    quiet = bounded()
    expected = by_stretches(quiet, log, amendments, switches)
    assert rows_of(partition) == rows_of(quiet)
    assert published == set(expected)
    # What a complete checkpoint holds is counted once; what a crash cuts off may not be.
    if any(dies for _, _, dies, _ in script):
        assert held_back <= Counter(quiet.take_held_back())
    else:
        assert held_back == quiet.take_held_back()


@settings(max_examples=40)
@given(logs_with_events(), st.lists(st.integers(0, 120), max_size=4))
def test_sums_that_follow_the_updates_are_those_of_the_limits(
    drawn: Logged, cuts: list[int]
) -> None:
    log, amendments = drawn
    partition, at = partition_of(), 0
    for cut in [0, *sorted(cuts), len(log)]:
        run(partition, log[at:cut], at, amendments)
        at = max(at, min(cut, len(log)))
        for name in NAMES:
            assert partition.sum_of_limits(name) == partition.limits_of(name).sum()


def asked_before() -> Partition:
    partition = partition_of()
    assert partition.sum_of_limits(BANK_A) == 0
    return partition


def test_sums_are_those_of_what_was_restored() -> None:
    disk, partition = Disk(partition_of), partition_of()
    run(partition, [relayed(), *trade(b"m0", 5)], amendments={0: enrolled("m0", "bank-a")})
    disk.checkpoint(partition, until="all")
    disk.new_partition = asked_before
    recovered = disk.recover()
    for name in (EVERYBODYS, BANK_A):
        assert recovered.sum_of_limits(name) == partition.sum_of_limits(name) > 0


def held_back() -> tuple[Partition, list[Record], int]:
    """A partition in which no limit may rise, payments that would raise two, and the offset."""
    partition, log = partition_of(), [relayed(), *trade(b"m0", 5)]
    run(partition, log, amendments={0: enrolled("m0", "bank-a")})
    partition.activate(stopping(*NAMES))
    large = [
        replace(each, payment_id=f"large-{n}", amount=200_000)
        for n, each in enumerate(trade(b"m0", 1, NOON + 5 * DAY))
    ]
    assert run(partition, large, len(log))[1] == []
    return partition, large, len(log) + len(large)


def test_cuts_go_on_while_raises_are_stopped() -> None:
    partition, large, at = held_back()
    back = [
        replace(
            each, payment_id=f"back-{n}", kind=Kind.REFUND, original_at=each.occurred_at,
            occurred_at=NOON + 6 * DAY,
        )
        for n, each in enumerate(large)
    ]  # fmt: skip
    partition.take_held_back()
    updates = []
    for n, each in enumerate(back):
        _, cuts = run(partition, [each], at + n)
        held = {name.lender for name in partition.take_held_back()}
        assert held.isdisjoint(cut.lender for cut in cuts)
        updates += cuts
    assert {each.lender for each in updates} == {"platform", "bank-a"}
    assert all(each.limit < each.previous for each in updates)


def test_a_merchant_counts_again_with_every_payment_that_would_raise_its_limit() -> None:
    partition, large, _ = held_back()
    counts = partition.take_held_back()
    assert set(counts) == {EVERYBODYS, BANK_A}, "nobody is enrolled for the other policies"
    assert 1 < counts[EVERYBODYS] <= len(large)


def test_only_raises_of_a_policy_that_is_stopped_count_as_held_back() -> None:
    partition = partition_of(stopping(BANK_A))
    run(partition, [relayed(), *trade(b"m0", 5)], amendments={0: enrolled("m0", "bank-a")})
    counts = partition.take_held_back()
    assert set(counts) == {BANK_A}
    assert partition.sum_of_limits(BANK_A) == 0 < partition.sum_of_limits(EVERYBODYS)


def test_a_raise_that_was_held_back_comes_at_midnight_without_a_payment() -> None:
    partition, _, at = held_back()
    partition.activate(stopping(BANK_A))
    _, updates = run(partition, [tick(NOON + 6 * DAY)], at)
    assert [(each.lender, each.limit > each.previous, each.by_time) for each in updates] == [
        ("platform", True, True)
    ]


def test_covers_do_not_grow_while_their_sum_is_too_large() -> None:
    insurer = covers.INSURANCE
    partition = covers.partition_of(stopping(insurer, version=covers.WITH_COVER))
    log = [covers.relayed(), covers.paid(100_000, NOON), covers.paid(100_000, NOON + HOUR)]
    _, updates = run(partition, log, amendments={0: covers.enrolled()})
    assert covers.covers(updates) == []
    partition.activate(covers.WITH_COVER)
    _, updates = run(partition, [covers.paid(1_000, NOON + 2 * HOUR)], len(log))
    assert covers.covers(updates) == [(covers.plain_cover(201_000, 0), False)]
    assert partition.sum_of_limits(insurer) == covers.plain_cover(201_000, 0)


def test_a_sum_above_the_band_stops_raises_until_it_is_well_below() -> None:
    partition = partition_of()
    run(partition, [relayed(), *trade(b"m0", 5)], amendments={0: enrolled("m0", "bank-a")})
    total = partition.sum_of_limits(BANK_A)
    assert total > 100
    stop = stop_of(BANK_A)

    def found(bound: int, in_force: frozenset[Stop] = frozenset()) -> frozenset[Stop]:
        partition.activate(replace(MANY, stops=in_force))
        return stops(partition, accounts(), with_bands({BANK_A: bound}).policies)

    assert found(total) == frozenset()
    assert found(total - 1) == {stop}
    assert found(total, frozenset({stop})) == {stop}
    low = -(-total * 10_000 // RESUME_BPS)
    assert found(low, frozenset({stop})) == frozenset()
    assert found(low - 2, frozenset({stop})) == {stop}
    # What the breaker has stopped need not come below the band of the limits first.
    assert found(total, frozenset({stop_of(BANK_A, Cause.APPROVALS)})) == frozenset()


def test_an_open_breaker_stops_raises_until_it_closes() -> None:
    partition, kept = partition_of(), accounts()
    version = with_bands({BANK_A: 10**12}, largest_sum=5, cool_off_ms=HOUR)
    policy = version.policies.find(BANK_A)
    assert policy is not None
    run(partition, [tick(NOON)])
    asked = msgspec.structs.replace(
        ASKED, lender_id="bank-a", amount=policy.lending.smallest_amount
    )
    verdict = kept.applications.decide(asked, 1, partition.watermark, STANDING, policy.terms)
    assert verdict.opened
    assert stops(partition, kept, version.policies) == {stop_of(BANK_A, Cause.APPROVALS)}
    run(partition, [tick(NOON + HOUR - 1)], 1)
    assert stops(partition, kept, version.policies) == {stop_of(BANK_A, Cause.APPROVALS)}
    run(partition, [tick(NOON + HOUR)], 2)
    assert stops(partition, kept, version.policies) == frozenset()


@pytest.mark.parametrize("cause", Cause)
def test_one_cause_is_enough(cause: Cause) -> None:
    partition = partition_of(replace(MANY, stops=frozenset({stop_of(EVERYBODYS, cause)})))
    assert run(partition, trade(b"m0", 5))[1] == []
    assert np.array_equal(partition.limits_of(EVERYBODYS), [0])
