"""Shadow policies: what they would give is counted, and nothing else knows of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.catalogue import Catalogue, retired
from scorers.partition import Version
from scorers.policy import BUILT_IN, EVERYBODYS, Cover, Policy, PolicyName, Product, check_policy
from scorers.shadows import Counted
from tests.scorers.limits_model import (
    model_constant,
    model_held_out,
    model_probability,
    model_wanted,
)
from tests.scorers.logs import DAY, MERCHANTS, NOON, Record
from tests.scorers.partition_model import Entry, ModelPartition
from tests.scorers.runs import EAGER, ZONE, in_pieces, rows_of, run
from tests.scorers.test_cover import WITH_COVER, insurance, paid
from tests.scorers.test_cover import enrolled as insured
from tests.scorers.test_cover import relayed as relayed_at
from tests.scorers.test_entitlements import (
    LENDERS,
    MANY,
    enrolled,
    logs_with_events,
    partition_of,
    relayed,
    trade,
)
from tests.scorers.test_recovery import Disk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorers.merchants import MerchantEvent
    from scorers.partition import Partition
    from tests.scorers.partition_model import Merchant


def shadow_of(live: Policy, **changes: object) -> Policy:
    return msgspec.structs.replace(live, shadow=True, version=1, **changes)


def live_of(lender: str) -> Policy:
    return next(policy for policy in MANY.policies if policy.lender == lender)


SHADOWS = (
    shadow_of(MANY.policies.everybodys, advance_rate=2.0, hold_out_share=0.1),
    shadow_of(live_of("bank-a"), pd_cut_off=0.05, starter_amount=200_000),
    shadow_of(live_of("bank-b"), valid_to=NOON + 4 * DAY, cap=100_000),
    shadow_of(live_of("bank-c"), starter_payments=4, currency="USD", valid_to=None),
)


def with_shadows(shadows: tuple[Policy, ...] = SHADOWS, version: Version = MANY) -> Partition:
    partition = partition_of(version)
    partition.follow_shadows(shadows)
    return partition


def durable(partition: Partition) -> object:
    return (
        partition.take_pages(),
        [[column.tobytes() for column in each] for each in partition.take_changed_rows()],
        partition.clock_state(),
    )


class CountingModel(ModelPartition):
    """Evaluates in plain Python, and compares with what each shadow gives.

    It lets time pass more often than need be on a merchant of whom no event has counted: such
    evaluations, which give nothing, are counted as `empty` too.
    """

    def __init__(self, shadows: Sequence[Policy]) -> None:
        super().__init__(ZONE, MANY)
        self.shadows = {shadow.lender: shadow for shadow in shadows}
        self.counted: dict[PolicyName, Counter[str]] = {}

    def _evaluate(
        self, merchant_id: bytes, merchant: Merchant, *, by_time: bool, gone: Sequence[int] = ()
    ) -> None:
        super()._evaluate(merchant_id, merchant, by_time=by_time, gone=gone)
        for place, entry in enumerate([Entry("platform", merchant.limit), *merchant.slots]):
            shadow = self.shadows.get(entry.lender) if entry else None
            if entry is None or shadow is None or shadow.ended(merchant.clock):
                continue
            nothing = merchant.closed or place - 1 in gone
            live = live_of(entry.lender)
            new, old = (
                0 if nothing else self._gives(merchant_id, merchant, policy)
                for policy in (shadow, live)
            )
            compared = "higher" if new > old else "lower" if new < old else "same"
            counted = self.counted.setdefault(shadow.name, Counter())
            counted.update({compared: 1, "shadow": new, "live": old, "in_force": entry.limit})
            counted["empty"] += not merchant.counted

    def _gives(self, merchant_id: bytes, merchant: Merchant, policy: Policy) -> int:
        if merchant.currency != policy.currency or policy.ended(merchant.clock):
            return 0
        features, _ = self._features(merchant)
        pd = model_probability(features, self.version.scorecard)
        gives = model_constant if model_held_out(merchant_id, policy) else model_wanted
        return gives(features, pd, 0, 0, policy)


@settings(max_examples=40)
@given(logs_with_events(), st.lists(st.integers(0, 120), max_size=6))
def test_rows_updates_and_all_that_is_made_durable_are_the_same_with_and_without_shadows(
    drawn: tuple[list[Record], dict[int, MerchantEvent]], cuts: list[int]
) -> None:
    log, amendments = drawn
    without, beside = partition_of(), with_shadows()
    updates = in_pieces(without, log, cuts, amendments)
    assert in_pieces(beside, log, cuts, amendments) == updates
    assert rows_of(beside) == rows_of(without)
    for merchant in MERCHANTS:
        for name in (EVERYBODYS, *(PolicyName(lender, Product.LOAN) for lender in LENDERS)):
            # What applications and claims are answered by.
            assert beside.known_of(merchant, name) == without.known_of(merchant, name)
    assert durable(beside) == durable(without)
    assert without.take_shadow_counts() == {}


@settings(max_examples=40)
@given(logs_with_events(), st.integers(0, 60))
def test_what_is_counted_agrees_with_the_plain_model(
    drawn: tuple[list[Record], dict[int, MerchantEvent]], cut: int
) -> None:
    log, amendments = drawn
    partition, model = with_shadows(), CountingModel(SHADOWS)
    totals: dict[PolicyName, Counter[str]] = {}
    for first, part in ((0, log[:cut]), (len(log[:cut]), log[cut:])):
        run(partition, part, first, amendments)
        for name, counted in partition.take_shadow_counts().items():
            totals.setdefault(name, Counter()).update(counted._asdict())
    for offset, record in enumerate(log):
        if offset in amendments:
            model.amend(offset, amendments[offset])
        model.apply(offset, record)
    for name in totals.keys() | model.counted.keys():
        real, plain = totals.get(name, Counter()), model.counted.get(name, Counter())
        same, most = real.pop("same", 0), plain.pop("same", 0)
        assert most - plain.pop("empty", 0) <= same <= most
        assert +real == +plain


@settings(max_examples=20)
@given(logs_with_events())
def test_a_copy_of_the_live_policy_gives_the_same_whatever_the_limit_in_force_waits_for(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
) -> None:
    log, amendments = drawn
    partition = with_shadows(tuple(shadow_of(live) for live in MANY.policies))
    run(partition, log, amendments=amendments)
    for counted in partition.take_shadow_counts().values():
        assert (counted.higher, counted.lower) == (0, 0)
        assert counted.same > 0
        assert counted.shadow == counted.live


def test_a_shadow_is_counted_for_whom_its_live_policy_is_evaluated() -> None:
    generous = (
        shadow_of(MANY.policies.everybodys, starter_amount=100_000),
        shadow_of(live_of("bank-a"), starter_amount=0),
    )
    partition = with_shadows(generous)
    log = [relayed(), Record(b"m0", "p0", amount=1), Record(b"m0", "p1", amount=1, payer="bo")]
    run(partition, [*log, Record(b"m1", "p2", amount=1)], 0, {0: enrolled("m0", "bank-a")})
    # The second payment of m0 earns the starter amount; the enrolment and the others give nothing.
    assert partition.take_shadow_counts() == {
        generous[0].name: Counted(1, 3, 0, 100_000, 50_000, 50_000),
        generous[1].name: Counted(0, 2, 1, 0, 50_000, 50_000),
    }
    assert partition.take_shadow_counts() == {}, "nothing has happened since"


def test_what_is_applied_already_is_not_counted_again() -> None:
    log = [relayed(), *trade(b"m0", 3), *trade(b"m1", 3, NOON + DAY)]
    amendments = {0: enrolled("m0", "bank-a")}
    partition = with_shadows()
    run(partition, log, 0, amendments)
    assert len(partition.take_shadow_counts()) == 2
    run(partition, log, 0, amendments)
    assert partition.take_shadow_counts() == {}
    # Rows that are durable ahead of the clock, whose log is read again from its beginning.
    disk = Disk(with_shadows)
    disk.checkpoint(partition, until="rows")
    restored = disk.recover()
    run(restored, log, 0, amendments)
    assert rows_of(restored) == rows_of(partition)
    assert restored.take_shadow_counts() == {}


def test_a_cover_is_compared_with_a_cover() -> None:
    live = insurance()
    shadow = shadow_of(live, cover=Cover(rate=0.5))
    partition = with_shadows((shadow,), WITH_COVER)
    run(partition, [relayed_at(NOON), paid(10_000, NOON)], 0, {0: insured()})
    assert partition.take_shadow_counts() == {
        shadow.name: Counted(1, 1, 0, 5_000, 2_900, 2_900),
    }


def test_nothing_is_counted_before_there_is_a_live_policy_or_after_the_shadow_has_ended() -> None:
    shadow = shadow_of(live_of("bank-a"))
    amendments = {0: enrolled("m0", "bank-a")}
    partition = with_shadows((shadow,), EAGER)
    run(partition, [relayed(), Record(b"m0", "p0")], 0, amendments)
    assert partition.take_shadow_counts() == {}
    partition.activate(MANY)
    run(partition, [Record(b"m0", "p1")], 2)
    # What was counted stays when other policies come into force.
    partition.activate(EAGER)
    assert sum(partition.take_shadow_counts()[shadow.name][:3]) == 1
    partition.activate(MANY)
    assert partition.follow_shadows((retired(shadow, NOON + 1),))
    assert not partition.follow_shadows((retired(shadow, NOON + 1),))
    run(partition, [Record(b"m0", "p2"), Record(b"m0", "p3", occurred_at=NOON + 1)], 3)
    assert sum(partition.take_shadow_counts()[shadow.name][:3]) == 1
    partition.follow_shadows(())
    run(partition, [Record(b"m0", "p4", occurred_at=NOON)], 5)
    assert partition.take_shadow_counts() == {}


def policies_published() -> st.SearchStrategy[list[Policy]]:
    """Live policies and shadows as they come, each name with versions that rise."""
    one = st.tuples(
        st.sampled_from(LENDERS), st.booleans(), st.sampled_from([None, 1_000, 2_000]),
        st.sampled_from([None, 3_000]),
    )  # fmt: skip
    return st.lists(one, max_size=8).map(
        lambda drawn: [
            msgspec.structs.replace(
                BUILT_IN, version=n, lender=lender, shadow=shadow, valid_from=start, valid_to=end
            )
            for n, (lender, shadow, start, end) in enumerate(drawn, 1)
        ]
    )


@given(policies_published(), st.sampled_from([0, 1_000, 2_000, 3_000]), st.integers(0, 8))
def test_publishing_a_shadow_moves_nothing_that_checkpoints_name(
    published: list[Policy], at: int, place: int
) -> None:
    whole, live_only = Catalogue(LENDERS), Catalogue(LENDERS)
    moments = []
    for position, policy in enumerate(published):
        whole.add(policy, position)
        if not policy.shadow:
            live_only.add(policy, position)
        moments.append(whole.in_force(at).moment)
        assert whole.in_force(at).moment == live_only.in_force(at).moment
        assert list(whole.in_force(at)) == list(live_only.in_force(at))
    for since in moments[: place + 1]:
        for now in (0, 1_000, 2_000):
            assert whole.moves(since, now) == live_only.moves(since, now)
        assert list(whole.in_force(*since[::-1])) == list(live_only.in_force(*since[::-1]))
    newest = {p.name: p for p in published if p.shadow and (p.valid_from or 0) <= at}
    assert set(whole.shadows(at)) == {p for p in newest.values() if not p.ended(at)}
    assert [policy for policy in whole if not policy.shadow] == list(live_only)


def test_a_shadow_has_versions_of_its_own_and_never_replaces_the_live_policy() -> None:
    catalogue = Catalogue(["bank"])
    live = msgspec.structs.replace(BUILT_IN, lender="bank", version=7)
    shadow = shadow_of(live, cap=20_000_000)
    catalogue.add(live, 0)
    catalogue.add(shadow, 1)
    assert catalogue.in_force(0).find(live.name) == live
    assert (catalogue.newest(live.name), catalogue.newest(shadow.name)) == (live, shadow)
    assert catalogue.shadows(0) == (shadow,)
    with pytest.raises(ValueError, match=r"version 1 of bank, loan \(shadow\) does not follow"):
        catalogue.check(msgspec.structs.replace(shadow, cap=10_000_000))
    assert catalogue.as_live(live) is live
    tried = catalogue.as_live(shadow)
    assert (tried.name, tried.version, tried.cap) == (live.name, 8, shadow.cap)
    catalogue.add(retired(shadow, 1_000), 2)
    assert [len(catalogue.shadows(at)) for at in (999, 1_000)] == [1, 0]
    assert catalogue.in_force(1_000).find(live.name) == live


def test_what_has_no_limit_has_no_shadow() -> None:
    fund = msgspec.structs.replace(BUILT_IN, version=1, shadow=True, product=Product.FUND_SWEEP)
    with pytest.raises(ValueError, match="fund_sweep has no limit that could be compared"):
        check_policy(fund)
