"""Three partitions that lend, with everything that can come between."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from scorers.applications.book import Became, Verdict
from scorers.applications.messages import (
    Application,
    BudgetGiven,
    BudgetWanted,
    Decision,
    Outcome,
    Product,
)
from scorers.applications.terms import Band, Standing, Terms
from scorers.loans import Draw, LoanEvent, LoanKind
from tests.scorers.applying import DAY, STANDING, Told


class Record(NamedTuple):
    """A record of a partition's log that concerns applications."""

    what: Any
    offset: int
    clock: int
    standing: Standing
    terms: Terms

    def apply(self, told: Told) -> Any:
        book = told.book
        match self.what:
            case Application():
                return book.decide(self.what, self.offset, self.clock, self.standing, self.terms)
            case LoanEvent():
                if self.offset > book.position.offset:
                    told.loans.apply(self.what, lambda: Draw({}, 0.02, 4))
                return book.drawn(self.what, self.offset, self.clock)
            case BudgetWanted():
                return book.wanted(self.what, self.offset, self.clock, self.terms)
            case BudgetGiven():
                return book.given(self.what, self.offset, self.clock)
            case None:
                return book.advance(self.clock)
        raise AssertionError


class Held(NamedTuple):
    """A reservation, or what is owed of a loan, as the plain model has it."""

    merchant_id: str
    lender_id: str
    amount: int
    expires_at: float
    name: str


PARTITIONS = st.integers(0, 2)
LENDERS = st.sampled_from(["bank", "other"])
CAPACITY = 600
ASKED = st.tuples(
    LENDERS, st.integers(0, 1), st.sampled_from([1, 20, 70, 200, 500]), st.integers(0, 700)
)
BUDGETS = st.sampled_from([0, 100, 1_000, 5_000])
BANDS = st.sampled_from(
    [None, Band(window_ms=120_000, least_answers=4, lowest_share_bps=2_000, largest_sum=900)]
)


class Lending(RuleBasedStateMachine):
    """Three partitions that lend, pay back, and ask each other for budget.

    Each partition runs twice, once without a break and once with every restart. What is reserved
    and owed is counted here a second time, from what was answered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.quiet = [Told(n, 3) for n in range(3)]
        self.broken = [Told(n, 3) for n in range(3)]
        self.logs: list[list[Record]] = [[], [], []]
        self.outcomes: list[list[Any]] = [[], [], []]
        self.clock = [0, 0, 0]
        self.under_way: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self.sent: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self.reserved: list[list[Held]] = [[], [], []]
        self.loans: list[list[Held]] = [[], [], []]
        self.names = 0
        self.budget = 0

    @initialize(budget=BUDGETS, band=BANDS)
    def begin(self, budget: int, band: Band | None) -> None:
        self.budget = budget
        self.band = band

    def terms(self, partition: int) -> Terms:
        return Terms(
            version=1,
            smallest_amount=5,
            step=5,
            reservation_ms=100_000,
            budget=self.budget,
            band=self.band,
        )

    def tell(self, partition: int, what: Any, limit: int = 0) -> Any:
        standing = replace(STANDING, limit=limit, capacity=CAPACITY)
        offset, clock = len(self.logs[partition]), self.clock[partition]
        record = Record(what, offset, clock, standing, self.terms(partition))
        outcome = record.apply(self.quiet[partition])
        assert record.apply(self.broken[partition]) == outcome
        self.logs[partition].append(record)
        self.outcomes[partition].append(outcome)
        return outcome

    def send(self, source: int, target: int, message: Any) -> None:
        self.sent[source, target].append(message)
        self.under_way[source, target].append(message)

    def fresh(self) -> str:
        self.names += 1
        return f"n{self.names}"

    @rule(partition=PARTITIONS, asked=st.lists(ASKED, min_size=1, max_size=6))
    def apply(self, partition: int, asked: list[tuple[str, int, int, int]]) -> None:
        for each in asked:
            self.ask(partition, *each)

    def ask(self, partition: int, lender: str, merchant: int, amount: int, limit: int) -> None:
        who = f"m{partition}{merchant}"
        application = Application(self.fresh(), lender, who, Product.LOAN, "CNY", amount, 0)
        verdict = self.tell(partition, application, limit)
        decision: Decision = verdict.decision
        held = [*self.reserved[partition], *self.loans[partition]]
        own = sum(h.amount for h in held if (h.merchant_id, h.lender_id) == (who, lender))
        everywhere = sum(h.amount for h in held if h.merchant_id == who)
        left = min(limit - own, CAPACITY - everywhere)
        assert decision.available == max(0, left)
        assert decision.over_limit == max(0, own - limit)
        if verdict.wanted is not None:
            assert decision.reasons[0].code == "budget"
            for target in {0, 1, 2} - {partition}:
                self.send(partition, target, verdict.wanted)
        if decision.outcome is Outcome.APPROVE:
            assert decision.amount == amount <= left
            assert decision.expires_at == self.clock[partition] + 100_000
            self.reserved[partition].append(
                Held(who, lender, amount, decision.expires_at, application.application_id)
            )
        elif decision.outcome is Outcome.COUNTER_OFFER:
            assert 5 <= decision.amount < amount
            assert decision.amount % 5 == 0
            assert decision.amount <= left
        elif decision.reasons[0].code in ("limit", "capacity", "over_limit"):
            assert amount > left

    @precondition(lambda self: any(self.reserved))
    @rule(data=st.data(), share=st.integers(1, 3))
    def draw(self, data: st.DataObject, share: int) -> None:
        partition = data.draw(st.sampled_from([n for n in range(3) if self.reserved[n]]))
        held = data.draw(st.sampled_from(self.reserved[partition]))
        amount = -(-held.amount // share)
        name = self.fresh()
        event = LoanEvent(
            name, LoanKind.DRAWN, name, held.lender_id, held.merchant_id, "loan", "CNY", 0,
            amount, held.name,
        )  # fmt: skip
        assert self.tell(partition, event) == amount
        self.reserved[partition].remove(held)
        if amount < held.amount:
            self.reserved[partition].append(held._replace(amount=held.amount - amount))
        self.loans[partition].append(held._replace(amount=amount, name=name))

    @precondition(lambda self: any(self.loans))
    @rule(data=st.data(), amount=st.integers(1, 500))
    def repay(self, data: st.DataObject, amount: int) -> None:
        partition = data.draw(st.sampled_from([n for n in range(3) if self.loans[n]]))
        loan = data.draw(st.sampled_from(self.loans[partition]))
        event = LoanEvent(
            self.fresh(), LoanKind.REPAID, loan.name, loan.lender_id, loan.merchant_id, "loan",
            "CNY", 0, amount,
        )  # fmt: skip
        self.tell(partition, event)
        self.loans[partition].remove(loan)
        if amount < loan.amount:
            self.loans[partition].append(loan._replace(amount=loan.amount - amount))

    @rule(partition=PARTITIONS, ms=st.sampled_from([1, 9_000, 60_000, 100_000, 31 * DAY]))
    def wait(self, partition: int, ms: int) -> None:
        self.clock[partition] += ms
        self.tell(partition, None)
        now = self.clock[partition]
        self.reserved[partition] = [h for h in self.reserved[partition] if h.expires_at > now]

    @precondition(lambda self: any(self.under_way.values()))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Of each source in its order, but of any source."""
        ways = sorted(way for way, messages in self.under_way.items() if messages)
        source, target = data.draw(st.sampled_from(ways))
        message = self.under_way[source, target].pop(0)
        outcome = self.tell(target, message)
        if isinstance(outcome, BudgetGiven):
            assert outcome.amount <= message.amount
            self.send(target, source, outcome)

    @precondition(lambda self: any(self.sent.values()))
    @rule(data=st.data(), last=st.integers(1, 3))
    def send_again(self, data: st.DataObject, last: int) -> None:
        ways = sorted(way for way, messages in self.sent.items() if messages)
        way = data.draw(st.sampled_from(ways))
        self.under_way[way].extend(self.sent[way][-last:])

    @rule(partition=PARTITIONS)
    def restart(self, partition: int) -> None:
        self.broken[partition] = self.broken[partition].restarted()

    @precondition(lambda self: any(self.logs))
    @rule(data=st.data(), partition=PARTITIONS)
    def read_again(self, data: st.DataObject, partition: int) -> None:
        """A prefix of the log again changes nothing, and answers nothing else."""
        log = self.logs[partition]
        end = data.draw(st.integers(0, len(log)))
        after = self.quiet[partition].restarted()
        before = after.state()
        for record, first in zip(log[:end], self.outcomes[partition], strict=False):
            again = record.apply(after)
            if isinstance(first, Verdict):
                assert again[0] is Became.REPLAYED
                assert again[1] in (first.decision, None)
            else:
                assert not again
        assert after.state() == before

    @invariant()
    def what_is_reserved_and_owed_is_what_was_answered(self) -> None:
        for partition, told in enumerate(self.quiet):
            held = [*self.reserved[partition], *self.loans[partition]]
            for lender in ("bank", "other"):
                amount = sum(h.amount for h in held if h.lender_id == lender)
                assert told.used(lender) == amount

    @invariant()
    def no_merchant_is_above_its_capacity(self) -> None:
        sums: dict[str, int] = defaultdict(int)
        for held in (*self.reserved, *self.loans):
            for each in held:
                sums[each.merchant_id] += each.amount
        assert all(amount <= CAPACITY for amount in sums.values())

    @invariant()
    def no_lender_is_above_its_budget(self) -> None:
        for lender in ("bank", "other"):
            assert sum(told.used(lender) for told in self.quiet) <= self.budget

    def teardown(self) -> None:
        for quiet, broken in zip(self.quiet, self.broken, strict=True):
            assert quiet.state() == broken.state() == quiet.restarted().state()


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
