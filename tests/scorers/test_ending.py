"""Policies that end: whoever still has a limit loses it soon, without a payment of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.catalogue import Policies, retired
from scorers.partition import Version
from scorers.policy import EVERYBODYS, PolicyName, Product
from tests.scorers.logs import DAY, HOUR, MINUTE, NOON, Record, tick
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
from tests.scorers.test_recovery import Disk, gone_on, stops

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scorers.merchants import MerchantEvent
    from scorers.partition import Partition

BANK_A = PolicyName("bank-a", Product.LOAN)


def ended(name: PolicyName, at: int) -> Version:
    """What is in force after one policy has been retired as of an event time, epoch ms."""
    policies = [retired(each, at) if each.name == name else each for each in MANY.policies]
    return Version(MANY.scorecard, Policies(policies))


def lending(merchant: bytes = b"m0") -> tuple[Partition, int]:
    """A partition in which bank-a and the platform lend to a merchant, and its next offset."""
    partition = partition_of()
    log = [relayed(), *trade(merchant, 5)]
    run(partition, log, amendments={0: enrolled(merchant.decode(), "bank-a")})
    return partition, len(log)


def ends(updates: list[Update]) -> list[tuple[str, int, bool]]:
    return [(each.lender, each.limit, each.by_time) for each in updates]


@pytest.mark.parametrize("name", [BANK_A, EVERYBODYS])
def test_the_limits_of_a_policy_that_is_retired_end_at_the_next_tick(name: PolicyName) -> None:
    partition, at = lending()
    partition.activate(ended(name, partition.watermark))
    _, updates = run(partition, [tick(partition.watermark + MINUTE)], at)
    assert ends(updates) == [(name.lender, 0, True)]
    _, updates = run(partition, [tick(partition.watermark + MINUTE)], at + 1)
    assert updates == []


def test_a_policy_that_ends_later_ends_at_the_first_tick_behind_its_end() -> None:
    partition, at = lending()
    now = partition.watermark
    partition.activate(ended(BANK_A, now + 2 * MINUTE))
    _, updates = run(partition, [tick(now + 2 * MINUTE - 1)], at)
    assert updates == []
    _, updates = run(partition, [tick(now + 2 * MINUTE)], at + 1)
    assert ends(updates) == [("bank-a", 0, True)]


def test_the_limits_of_a_policy_that_is_retired_as_of_an_hour_ago_end_with_the_next_hour() -> None:
    partition, at = lending()
    now = partition.watermark
    partition.activate(ended(BANK_A, now - HOUR))
    _, updates = run(partition, [tick(now + MINUTE)], at)
    assert updates == []
    other = Record(b"m1", "other", occurred_at=now + HOUR)
    _, updates = run(partition, [other], at + 1)
    assert ends(updates) == [("bank-a", 0, True)]


def test_who_has_no_limit_of_a_policy_that_ends_is_left_alone() -> None:
    partition, at = lending()
    run(partition, trade(b"m1", 1, NOON + 5 * DAY), at)
    before = rows_of(partition)
    partition.activate(ended(BANK_A, partition.watermark))
    run(partition, [tick(partition.watermark + MINUTE)], at + 8)
    after = rows_of(partition)
    assert {merchant for merchant in before if before[merchant] != after[merchant]} == {b"m0"}


@st.composite
def logs_with_an_end(
    draw: st.DrawFn,
) -> tuple[list[Record], dict[int, MerchantEvent], int, Version]:
    """A log with merchant events, the offset before which a policy is retired, and what then is."""
    log, amendments = draw(logs_with_events())
    switch = draw(st.integers(1, len(log)))
    now = max(record.occurred_at for record in log[:switch])
    name = draw(st.sampled_from([BANK_A, EVERYBODYS]))
    end = now + draw(st.sampled_from([-5 * HOUR, -HOUR, -MINUTE, 0, MINUTE, 5 * HOUR]))
    last = max(now, *(record.occurred_at for record in log))
    log += [tick(last + MINUTE), tick(last + HOUR)]
    return log, amendments, switch, ended(name, end)


def switched(
    log: Sequence[Record], amendments: Mapping[int, MerchantEvent], switch: int, later: Version
) -> tuple[Partition, list[Update]]:
    partition = partition_of()
    _, before = run(partition, log[:switch], 0, amendments)
    partition.activate(later)
    _, after = run(partition, log[switch:], switch, amendments)
    return partition, before + after


@settings(max_examples=60)
@given(logs_with_an_end())
def test_limits_before_and_after_an_end_agree_with_the_plain_model(
    drawn: tuple[list[Record], dict[int, MerchantEvent], int, Version],
) -> None:
    log, amendments, switch, later = drawn
    _, updates = switched(log, amendments, switch, later)
    model = ModelPartition(ZONE, MANY)
    for offset, record in enumerate(log):
        if offset == switch:
            model.version = later
        if offset in amendments:
            model.amend(offset, amendments[offset])
        model.apply(offset, record)
    assert updates == model.updates


@settings(max_examples=60)
@given(logs_with_an_end(), st.lists(stops, max_size=4), st.lists(stops, max_size=4))
def test_crashes_around_an_end_leave_rows_and_updates_as_in_a_quiet_run(
    drawn: tuple[list[Record], dict[int, MerchantEvent], int, Version],
    before: list[tuple[int, str, bool, int]],
    after: list[tuple[int, str, bool, int]],
) -> None:
    log, amendments, switch, later = drawn
    quiet, expected = switched(log, amendments, switch, later)
    disk = Disk(partition_of)
    partition, published = gone_on(disk, partition_of(), log[:switch], amendments, before)
    # A policy comes into force at a checkpoint whose record names it.
    disk.checkpoint(partition, until="all")
    partition.activate(later)
    disk.new_partition = lambda: partition_of(later)
    partition, more = gone_on(disk, partition, log, amendments, after)
    assert rows_of(partition) == rows_of(quiet)
    assert published | more == set(expected)
