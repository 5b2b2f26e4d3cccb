"""Synthetic borrowers: what they send is what a lender's books can follow, whatever is answered."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.applications.messages import Application, Decision, Outcome, Price
from scorers.loans import ENDS, LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from streams.contract.messages import PaymentEvent, PaymentKind
from streams.demo.lenders import BANK, LENDERS, policies
from streams.synthetic.borrowing import HOUR_MS, ONE_IN, Borrowers, Event
from streams.synthetic.merchants import DAY_MS, make_merchants

MERCHANTS = 45
BEGAN = 1_770_000_000_000 // DAY_MS * DAY_MS
DAYS = 21


def payment_of(merchant: str) -> PaymentEvent:
    return PaymentEvent(merchant, PaymentKind.PAYMENT, merchant, 1_000, "CNY", BEGAN)


def decision(application: Application, outcome: Outcome, amount: int) -> Decision:
    return Decision(
        application_id=application.application_id, lender_id=application.lender_id,
        merchant_id=application.merchant_id, product=application.product, outcome=outcome,
        asked=application.amount, amount=amount, currency="CNY", price=Price(1_500, 90, 0),
        expires_at=None, reasons=(), probability_of_default=0.02, limit=0, limit_version=0,
        available=0, over_limit=0, model_version=0, policy_version=1, as_of=0,
        source_topic="payments", source_partition=0, source_offset=0,
    )  # fmt: skip


def played(outcomes: list[Outcome], seed: int) -> tuple[Borrowers, list[Event], list[Application]]:
    """Three weeks in which applications are answered in turn with some outcomes, each twice.

    Returns:
        The borrowers, all that they sent, and the applications that were approved.
    """
    random = np.random.default_rng(seed)
    merchants = make_merchants(MERCHANTS, random)
    borrowers = Borrowers(merchants, LENDERS, random)
    sent: list[Event] = [*borrowers.consents(BEGAN)]
    approved: list[Application] = []
    answered = 0
    payments = [payment_of(merchant.merchant_id) for merchant in merchants]
    for hour in range(1, 24 * DAYS + 1):
        told = borrowers.hour(BEGAN + hour * HOUR_MS, payments)
        sent += told
        for event in told:
            if isinstance(event, Application):
                outcome = outcomes[answered % len(outcomes)]
                answered += 1
                share = {Outcome.APPROVE: 1.0, Outcome.COUNTER_OFFER: 0.5}.get(outcome, 0.0)
                said = decision(event, outcome, round(share * event.amount))
                for _ in range(2):
                    borrowers.answer(said)
                if outcome is Outcome.APPROVE:
                    approved.append(event)
    return borrowers, sent, approved


@settings(max_examples=40)
@given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=8), st.integers(0, 1000))
def test_loans_follow_approvals_one_at_a_time_and_their_sums_add_up(
    outcomes: list[Outcome], seed: int
) -> None:
    borrowers, sent, approved = played(outcomes, seed)
    asked = {each.application_id: each for each in sent if isinstance(each, Application)}
    assert len(asked) == borrowers.applications
    running: dict[tuple[str, str], str] = {}
    left: defaultdict[str, int] = defaultdict(int)
    drawn, ended = set(), set()
    for event in sent:
        if isinstance(event, MerchantEvent):
            continue
        pair = event.merchant_id, event.lender_id
        if isinstance(event, Application):
            assert pair not in running
            continue
        if event.kind is LoanKind.DRAWN:
            application = asked[str(event.application_id)]
            assert (event.amount, event.lender_id) == (application.amount, application.lender_id)
            assert event.occurred_at >= application.applied_at
            assert pair not in running
            running[pair] = event.loan_id
            drawn.add(event.application_id)
            left[event.loan_id] += event.amount or 0
        assert running[pair] == event.loan_id
        if event.kind is LoanKind.REPAID:
            left[event.loan_id] -= event.amount or 0
        if event.kind in ENDS:
            assert (left[event.loan_id] == 0) == (event.kind is LoanKind.SETTLED)
            ended.add(event.loan_id)
        if event.kind is LoanKind.SETTLED:
            del running[pair]
    # The answers to the applications of the last hour have not been looked at.
    assert drawn <= {each.application_id for each in approved}
    assert borrowers.drawn == len(drawn) >= len(approved) - MERCHANTS // ONE_IN * len(LENDERS)
    assert borrowers.repaid + borrowers.defaulted == len(ended)
    assert borrowers.owed == sum(left.values())


def test_some_loans_are_paid_back_and_some_default() -> None:
    played_by = [played([Outcome.APPROVE], seed) for seed in range(8)]
    repaid, defaulted = (
        sum(getattr(borrowers, name) for borrowers, _, _ in played_by)
        for name in ("repaid", "defaulted")
    )
    assert repaid > defaulted > 0
    for _, sent, _ in played_by:
        ids = [each.event_id for each in sent if isinstance(each, LoanEvent)]
        assert len(set(ids)) == len(ids)


def test_every_third_merchant_consents_to_the_bank_and_none_to_the_platform() -> None:
    borrowers, sent, _ = played([Outcome.DECLINE], 1)
    consents = sent[: MERCHANTS // ONE_IN]
    assert {(each.kind, each.lender_id) for each in borrowers.consents(BEGAN)} == {
        (MerchantKind.ENROLLED, BANK)
    }
    assert [msgspec.json.decode(msgspec.json.encode(each))["merchant_id"] for each in consents] == [
        f"m{n:05d}" for n in range(0, MERCHANTS, ONE_IN)
    ]


def test_nobody_asks_before_its_first_payment() -> None:
    random = np.random.default_rng(3)
    borrowers = Borrowers(make_merchants(MERCHANTS, random), LENDERS, random)
    assert [borrowers.hour(BEGAN + n * HOUR_MS, []) for n in range(24 * DAYS)] == [[]] * 24 * DAYS


def test_the_policies_of_the_demo_can_be_published() -> None:
    assert {policy.lender for policy in policies()} == set(LENDERS)
