from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from scorers.applications.budgets import WANT_AGAIN_MS, base_share
from scorers.applications.messages import BudgetGiven, BudgetWanted, Outcome
from scorers.applications.terms import Terms
from scorers.exposure import Line
from tests.scorers.applying import ASKED, STANDING, TERMS, Told


def terms_of(budget: int | None, **fields: Any) -> Terms:
    return replace(TERMS, step=1, budget=budget, **fields)


@pytest.fixture
def two() -> tuple[Told, Told]:
    return Told(0, 2), Told(1, 2)


@given(st.integers(0, 10**15), st.integers(1, 64))
def test_shares_are_the_budget_and_differ_by_one_at_most(budget: int, partitions: int) -> None:
    shares = [base_share(budget, n, partitions) for n in range(partitions)]
    assert sum(shares) == budget
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= 1


def test_a_partition_that_lacks_budget_offers_what_it_has_and_asks(two: tuple[Told, Told]) -> None:
    verdict = two[0].judge(ASKED, STANDING, terms_of(1_001), amount=800)
    assert verdict.decision is not None
    assert (verdict.decision.outcome, verdict.decision.amount) == (Outcome.COUNTER_OFFER, 501)
    assert verdict.decision.reasons[0].code == "budget"
    assert verdict.wanted == BudgetWanted("bank", "loan", "CNY", 0, 299, 0)


def test_what_limit_and_capacity_refuse_anyway_is_not_asked_for(two: tuple[Told, Told]) -> None:
    standing = replace(STANDING, limit=600)
    wanted = two[0].judge(ASKED, standing, terms_of(1_001), amount=800).wanted
    assert wanted is not None
    assert wanted.amount == 99
    standing = replace(STANDING, limit=300)
    assert two[1].judge(ASKED, standing, terms_of(1_001), amount=800).wanted is None


def test_half_of_what_is_free_is_given_and_then_approved(two: tuple[Told, Told]) -> None:
    terms = terms_of(1_000)
    two[1].approved(ASKED, STANDING, terms, amount=101)
    wanted = two[0].judge(ASKED, STANDING, terms, amount=800).wanted
    assert wanted is not None
    gift = two[1].give(wanted, terms)
    assert gift == BudgetGiven("bank", "loan", "CNY", 1, 0, 199, 1)
    assert two[0].take(gift)
    assert two[0].ask(ASKED, STANDING, terms, amount=800, application_id="a2").amount == 699
    assert two[1].ask(ASKED, STANDING, terms, amount=800, application_id="a2").amount == 200


def test_no_more_is_given_than_is_asked_for(two: tuple[Told, Told]) -> None:
    gift = two[1].give(BudgetWanted("bank", "loan", "CNY", 0, 7, 3), terms_of(1_000))
    assert gift is not None
    assert gift.amount == 7


def test_messages_count_once(two: tuple[Told, Told]) -> None:
    wanted, terms = BudgetWanted("bank", "loan", "CNY", 0, 100, 5), terms_of(1_000)
    gift = two[1].give(wanted, terms)
    assert gift is not None
    assert two[1].give(wanted, terms) is None
    assert two[1].give(replace(wanted, source_offset=4), terms) is None
    assert two[1].give(replace(wanted, source_offset=6), terms) is not None
    assert [two[0].take(gift), two[0].take(gift)] == [True, False]
    assert two[0].take(replace(gift, source_offset=gift.source_offset + 1))


def test_messages_for_others_and_from_oneself_change_nothing(two: tuple[Told, Told]) -> None:
    assert two[1].give(BudgetWanted("bank", "loan", "CNY", 1, 100, 5), terms_of(1_000)) is None
    assert not two[1].take(BudgetGiven("bank", "loan", "CNY", 1, 0, 100, 5))
    assert two[1].shares.values == {}


@pytest.mark.parametrize("terms", [None, terms_of(None), terms_of(1_000, currency="USD")])
def test_nothing_is_given_without_a_budget_in_the_currency(
    two: tuple[Told, Told], terms: Terms | None
) -> None:
    assert two[1].give(BudgetWanted("bank", "loan", "CNY", 0, 100, 5), terms) is None


def test_a_request_is_repeated_after_a_minute_or_an_answer(two: tuple[Told, Told]) -> None:
    told, terms = two[0], terms_of(0)

    def wanted(name: str) -> bool:
        return told.judge(ASKED, STANDING, terms, application_id=name).wanted is not None

    assert [wanted("a"), wanted("b")] == [True, False]
    told.pass_time(WANT_AGAIN_MS - 1)
    assert not wanted("c")
    told.pass_time(1)
    assert [wanted("d"), wanted("e")] == [True, False]
    assert told.take(BudgetGiven("bank", "loan", "CNY", 1, 0, 1, 5))
    assert [wanted("f"), wanted("g")] == [True, False]


def test_a_single_partition_has_nobody_to_ask() -> None:
    assert Told().judge(ASKED, STANDING, terms_of(0)).wanted is None


def test_a_budget_cut_to_nothing_ends_lending_also_where_much_was_given(
    two: tuple[Told, Told],
) -> None:
    two[0].take(BudgetGiven("bank", "loan", "CNY", 1, 0, 250, 5))
    assert two[0].ask(ASKED, STANDING, terms_of(0)).outcome is Outcome.DECLINE


def test_debt_above_the_share_gives_nothing_and_asks_for_what_it_lacks_too(
    two: tuple[Told, Told],
) -> None:
    told = two[0]
    told.draw(700)
    assert told.give(BudgetWanted("bank", "loan", "CNY", 1, 100, 5), terms_of(1_000)) is None
    wanted = told.judge(ASKED, STANDING, terms_of(1_000), amount=50).wanted
    assert wanted is not None
    assert wanted.amount == 250


LINE = Line("bank", "loan", "CNY")
PARTITIONS = st.integers(0, 2)


class Sharing(RuleBasedStateMachine):
    """Three partitions that lend to whoever asks, as far as the budget goes."""

    def __init__(self) -> None:
        super().__init__()
        self.told = [Told(n, 3) for n in range(3)]
        self.budgets = [0, 0, 0]
        self.largest = 0
        self.under_way: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self.sent: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self.names = 0

    @initialize(budget=st.integers(0, 90))
    def begin(self, budget: int) -> None:
        self.budgets = [budget] * 3
        self.largest = budget

    def send(self, source: int, target: int, message: Any) -> None:
        self.sent[source, target].append(message)
        self.under_way[source, target].append(message)

    @rule(partition=PARTITIONS, amount=st.integers(1, 90))
    def ask(self, partition: int, amount: int) -> None:
        self.names += 1
        verdict = self.told[partition].judge(
            ASKED,
            STANDING,
            terms_of(self.budgets[partition]),
            merchant_id=f"m{self.names}",
            amount=amount,
        )
        if verdict.wanted is not None:
            for target in {0, 1, 2} - {partition}:
                self.send(partition, target, verdict.wanted)

    @precondition(lambda self: any(self.under_way.values()))
    @rule(data=st.data(), most=st.integers(1, 4))
    def deliver(self, data: st.DataObject, most: int) -> None:
        """Of each source in its order, but of any source."""
        for _ in range(most):
            ways = sorted(way for way, messages in self.under_way.items() if messages)
            if not ways:
                return
            source, target = data.draw(st.sampled_from(ways))
            message = self.under_way[source, target].pop(0)
            told = self.told[target]
            if isinstance(message, BudgetGiven):
                told.take(message)
                continue
            gift = told.give(message, terms_of(self.budgets[target]))
            if gift is not None:
                self.send(target, source, gift)

    @precondition(lambda self: any(self.sent.values()))
    @rule(data=st.data(), last=st.integers(1, 4))
    def send_again(self, data: st.DataObject, last: int) -> None:
        ways = sorted(way for way, messages in self.sent.items() if messages)
        way = data.draw(st.sampled_from(ways))
        self.under_way[way].extend(self.sent[way][-last:])

    @rule(partition=PARTITIONS)
    def wait(self, partition: int) -> None:
        self.told[partition].pass_time(WANT_AGAIN_MS)

    @rule(partition=PARTITIONS)
    def lapse(self, partition: int) -> None:
        self.told[partition].pass_time(TERMS.reservation_ms)
        assert self.told[partition].used() == 0

    @rule(partition=PARTITIONS)
    def restart(self, partition: int) -> None:
        self.told[partition] = self.told[partition].restarted()

    @invariant()
    def no_more_is_lent_than_the_largest_budget_so_far(self) -> None:
        assert sum(told.used() for told in self.told) <= self.largest

    @invariant()
    def nobody_lends_more_than_its_share_and_the_shares_are_no_more_than_the_budget(self) -> None:
        if self.budgets == [self.largest] * 3:
            shares = [told.book._budgets.share(LINE, self.largest) for told in self.told]
            assert sum(shares) <= self.largest
            assert all(t.used() <= share for t, share in zip(self.told, shares, strict=True))


class SharingWhatChanges(Sharing):
    """Each partition hears of a new budget in its own time: the largest so far holds."""

    @rule(partition=PARTITIONS, budget=st.integers(0, 90))
    def change(self, partition: int, budget: int) -> None:
        self.budgets[partition] = budget
        self.largest = max(self.largest, budget)


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSharingWhatChanges = SharingWhatChanges.TestCase
TestSharingWhatChanges.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
