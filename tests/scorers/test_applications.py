from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from scorers.applications.book import Became, Position
from scorers.applications.messages import (
    Application,
    Decision,
    Ground,
    Outcome,
    Product,
    checksum,
    interest,
    reproducible,
)
from scorers.applications.terms import REMEMBERED_MS, Band, check_standing, check_terms
from scorers.exposure import Line
from scorers.loans import LoanEvent, LoanKind
from tests.scorers.applying import ASKED, DAY, STANDING, TERMS, YUAN, Told


@pytest.fixture
def told() -> Told:
    return Told()


def code_of(decision: Decision) -> str:
    return decision.reasons[0].code


def test_an_approval_says_what_it_costs_and_what_it_stands_on(told: Told) -> None:
    told.pass_time(9_000)
    standing = replace(STANDING, reasons=(Ground("payers_28", "Many payers"),))
    decision = told.ask(ASKED, standing, amount=8_000 * YUAN)
    assert decision.outcome is Outcome.APPROVE
    assert (decision.asked, decision.amount, decision.available) == (
        8_000 * YUAN,
        8_000 * YUAN,
        50_000 * YUAN,
    )
    assert [each.code for each in decision.reasons] == ["within_limits", "payers_28"]
    assert decision.expires_at == 9_000 + TERMS.reservation_ms
    assert msgspec.to_builtins(decision.price) == {
        "yearly_rate_bps": 1_500,
        "term_days": 90,
        "interest": 29_589,
    }
    assert (decision.limit_version, decision.model_version, decision.policy_version) == (3, 4, 7)
    assert (decision.as_of, decision.source_partition, decision.source_offset) == (9_000, 0, 0)


@pytest.mark.parametrize(
    ("asked", "standing", "terms", "outcome", "code"),
    [
        ({}, {"enrolled": False, "closed": True}, {}, "decline", "not_enrolled"),
        ({"currency": "USD"}, {"closed": True}, {}, "decline", "closed"),
        ({"currency": "USD"}, {}, {}, "decline", "other_currency"),
        ({}, {"currency": "USD"}, {}, "decline", "other_currency"),
        ({}, {}, {"currency": "USD"}, "decline", "other_currency"),
        ({"product": Product.TRADE_CREDIT}, {}, {}, "decline", "supplier_not_named"),
        (
            {"product": Product.TRADE_CREDIT, "supplier_id": "mill"},
            {},
            {"suppliers": frozenset({"dairy"})},
            "decline",
            "supplier_not_named",
        ),
        (
            {"product": Product.TRADE_CREDIT, "supplier_id": "mill"},
            {},
            {"suppliers": frozenset({"dairy", "mill"})},
            "approve",
            "within_limits",
        ),
        ({"term_days": 91}, {}, {}, "decline", "term_too_long"),
        ({"term_days": 90}, {}, {}, "approve", "within_limits"),
        ({"amount": 99}, {}, {"smallest_amount": 100}, "decline", "amount_too_small"),
        ({}, {"probability_of_default": 0.1}, {"refer_from_pd": 0.1}, "refer", "high_pd"),
        ({}, {"probability_of_default": 0.09}, {"refer_from_pd": 0.1}, "approve", "within_limits"),
        ({}, {"limit": 0}, {}, "decline", "limit"),
        ({}, {"limit": 999 * YUAN}, {}, "counter_offer", "limit"),
        ({}, {"limit": 1_000 * YUAN}, {}, "approve", "within_limits"),
        ({}, {"capacity": 500 * YUAN}, {}, "counter_offer", "capacity"),
        ({}, {"capacity": 99 * YUAN}, {}, "decline", "capacity"),
        ({}, {}, {"budget": 500 * YUAN}, "counter_offer", "budget"),
        ({}, {}, {"budget": 0}, "decline", "budget"),
    ],
)
def test_the_rules_are_asked_in_their_order(
    told: Told,
    asked: dict[str, Any],
    standing: dict[str, Any],
    terms: dict[str, Any],
    outcome: str,
    code: str,
) -> None:
    decision = told.ask(ASKED, replace(STANDING, **standing), replace(TERMS, **terms), **asked)
    assert (decision.outcome, code_of(decision)) == (outcome, code)


def test_what_came_too_late_holds_nothing_back_and_is_remembered(told: Told) -> None:
    decision = told.ask(waited_ms=1_001)
    assert (decision.outcome, code_of(decision)) == (Outcome.REFER, "too_late")
    assert (decision.amount, decision.expires_at, told.used()) == (0, None, 0)
    assert told.judge(waited_ms=0) == (Became.DUPLICATE, decision, None, False)
    assert told.ask(application_id="anew").outcome is Outcome.APPROVE


def test_what_came_too_late_asks_no_other_partition_for_budget() -> None:
    told, terms = Told(0, 2), replace(TERMS, budget=100 * YUAN)
    assert told.judge(ASKED, STANDING, terms, waited_ms=1_001).wanted is None
    assert told.judge(ASKED, STANDING, terms, application_id="in time").wanted is not None


def test_a_currency_that_does_not_match_has_no_figures(told: Told) -> None:
    decision = told.ask(currency="USD")
    assert (decision.limit, decision.available, decision.over_limit) == (0, 0, 0)


def test_an_offer_is_whole_steps_and_holds_nothing_back(told: Told) -> None:
    decision = told.ask(ASKED, replace(STANDING, limit=950 * YUAN))
    assert (decision.amount, decision.expires_at) == (900 * YUAN, None)
    assert told.used() == 0


def test_debt_in_another_currency_is_for_a_person(told: Told) -> None:
    told.draw(1, currency="USD", lender_id="other")
    decision = told.ask()
    assert (decision.outcome, code_of(decision)) == (Outcome.REFER, "debt_in_other_currency")


def test_of_two_lenders_that_are_asked_for_8000_at_40000_of_50000_one_approves(told: Told) -> None:
    told.draw(40_000 * YUAN, lender_id="third")
    decisions = [told.ask(lender_id=each, amount=8_000 * YUAN) for each in ("bank", "other")]
    assert [each.outcome for each in decisions] == [Outcome.APPROVE, Outcome.COUNTER_OFFER]
    assert (decisions[1].amount, code_of(decisions[1])) == (2_000 * YUAN, "capacity")
    told = Told()
    told.draw(40_000 * YUAN, lender_id="third")
    terms = replace(TERMS, smallest_amount=8_000 * YUAN)
    decisions = [
        told.ask(ASKED, STANDING, terms, lender_id=each, amount=8_000 * YUAN)
        for each in ("bank", "other")
    ]
    assert [each.outcome for each in decisions] == [Outcome.APPROVE, Outcome.DECLINE]


def test_of_fifty_that_ask_for_1000_at_40000_of_50000_ten_are_approved(told: Told) -> None:
    told.draw(40_000 * YUAN)
    decisions = [told.ask(application_id=f"a{n}") for n in range(50)]
    outcomes = [each.outcome for each in decisions]
    assert outcomes == [Outcome.APPROVE] * 10 + [Outcome.DECLINE] * 40
    assert told.used() == 50_000 * YUAN


def test_a_limit_cut_below_the_debt_leaves_the_debt_alone(told: Told) -> None:
    told.draw(800)
    before = told.ask(ASKED, replace(STANDING, limit=1_000), amount=201, application_id="before")
    assert (before.available, before.over_limit) == (200, 0)
    for n, (limit, over) in enumerate([(600, 200), (0, 800)]):
        decision = told.ask(ASKED, replace(STANDING, limit=limit), amount=1, application_id=f"a{n}")
        assert (decision.outcome, code_of(decision)) == (Outcome.DECLINE, "over_limit")
        assert (decision.available, decision.over_limit) == (0, over)
        assert told.loans.outstanding("stall") == 800
    told.repay(300)
    decision = told.ask(ASKED, replace(STANDING, limit=0), amount=1, application_id="later")
    assert (decision.available, decision.over_limit) == (0, 500)
    assert told.loans.outstanding("stall") == 500


def test_an_application_is_booked_once_and_its_id_belongs_to_its_content(told: Told) -> None:
    first = told.judge(amount=100)
    again = told.judge(amount=100)
    assert (first.became, again.became) == (Became.ANSWERED, Became.DUPLICATE)
    assert again.decision == first.decision
    assert again.decision is not None
    assert again.decision.source_offset == 0
    before = told.state()[:-1]
    assert told.judge(amount=200) == (Became.CONFLICT, None, None, False)
    assert told.state()[:-1] == before
    assert told.used() == 100
    after = told.restarted()
    assert after.judge(amount=100) == (Became.DUPLICATE, first.decision, None, False)
    assert after.judge(amount=200).became is Became.CONFLICT
    assert after.used() == 100


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 1},
        {"currency": "USD"},
        {"product": Product.TRADE_CREDIT},
        {"applied_at": 5_001},
        {"term_days": 30},
        {"supplier_id": "mill"},
    ],
)
def test_any_other_content_is_a_conflict(told: Told, other: dict[str, Any]) -> None:
    told.ask()
    assert told.judge(**other).became is Became.CONFLICT


@pytest.mark.parametrize("other", [{"merchant_id": "other"}, {"lender_id": "other"}])
def test_an_id_belongs_to_one_merchant_and_one_lender(told: Told, other: dict[str, Any]) -> None:
    told.ask()
    assert told.judge(**other).became is Became.ANSWERED


def test_an_application_without_an_id_is_none() -> None:
    fields = msgspec.to_builtins(ASKED)
    for wrong in (fields | {"application_id": ""}, {k: fields[k] for k in list(fields)[1:]}):
        with pytest.raises(msgspec.ValidationError, match=r"application_id|length"):
            msgspec.convert(wrong, Application)


def test_the_first_answer_stays_although_it_would_be_another_by_now(told: Told) -> None:
    first = told.approved()
    now = told.ask(ASKED, replace(STANDING, limit=0, closed=True))
    assert now == first


def test_an_answer_is_remembered_for_thirty_days_and_then_forgotten(told: Told) -> None:
    told.ask()
    told.pass_time(REMEMBERED_MS - 1)
    assert told.judge().became is Became.DUPLICATE
    told.pass_time(1)
    assert told.answers.values == {}
    assert told.judge().became is Became.ANSWERED


def test_a_reservation_lapses_when_event_time_reaches_its_end(told: Told) -> None:
    told.approved(amount=700)
    told.pass_time(TERMS.reservation_ms - 1)
    assert told.used() == 700
    told.pass_time(1)
    assert told.used() == 0


def test_a_draw_turns_what_was_reserved_into_debt(told: Told) -> None:
    told.approved(amount=700)
    assert told.draw(500, application_id="a1") == 500
    assert (told.used(), told.loans.outstanding("stall")) == (700, 500)
    assert told.draw(300, "l2", application_id="a1") == 200
    assert (told.used(), told.loans.outstanding("stall")) == (800, 800)
    told.pass_time(TERMS.reservation_ms)
    assert told.used() == 800


@pytest.mark.parametrize(
    "other",
    [
        {"application_id": None},
        {"application_id": "a2"},
        {"application_id": "a1", "product": "trade_credit"},
        {"application_id": "a1", "currency": "USD"},
        {"application_id": "a1", "lender_id": "other"},
        {"application_id": "a1", "merchant_id": "other"},
        {"application_id": "a1", "kind": LoanKind.REPAID},
    ],
)
def test_a_draw_on_something_else_leaves_the_reservation(told: Told, other: dict[str, Any]) -> None:
    told.approved(amount=700)
    assert told.draw(500, **other) == 0
    assert told.book._answers.reserved.of_line(Line("bank", "loan", "CNY")) == 700


def test_a_draw_that_is_refused_or_repeated_takes_nothing_more(told: Told) -> None:
    told.draw(100)
    told.approved(amount=700)
    assert told.draw(100, application_id="a1") == 0
    assert told.draw(50, "l2", application_id="a1") == 50
    assert told.draw(50, "l2", application_id="a1") == 0
    assert told.used() == 100 + 700


def test_a_draw_after_the_reservation_has_lapsed_is_a_fact(told: Told) -> None:
    told.approved(amount=700)
    told.pass_time(TERMS.reservation_ms)
    assert told.draw(700, application_id="a1") == 0
    assert told.used() == 700


def test_a_record_that_is_read_again_gets_its_answer_and_changes_nothing(told: Told) -> None:
    first = told.approved()
    told.draw(300, application_id="a1")
    before = told.state()
    assert told.judge(offset=0) == (Became.REPLAYED, first, None, False)
    assert told.judge(offset=0, amount=1) == (Became.REPLAYED, None, None, False)
    assert told.state() == before


def test_a_decision_is_the_same_bytes_whatever_was_measured(told: Told) -> None:
    decision = told.ask()
    measured = replace(decision, stages={"decide": 0.07})
    assert msgspec.json.encode(measured) != msgspec.json.encode(decision)
    assert reproducible(measured) == reproducible(decision) == msgspec.json.encode(decision)
    assert msgspec.json.decode(msgspec.json.encode(measured), type=Decision) == measured


def test_interest_is_rounded_down() -> None:
    assert [interest(amount, 1, 365) for amount in (9_999, 10_000, 19_999)] == [0, 1, 1]


def test_equal_applications_have_one_checksum() -> None:
    assert checksum(ASKED) == checksum(
        msgspec.json.decode(msgspec.json.encode(ASKED), type=Application)
    )


def test_reservations_come_back_from_the_store_alone(told: Told) -> None:
    told.approved(amount=700)
    told.draw(300, application_id="a1")
    told.approved(amount=50, application_id="a2", lender_id="other")
    after = told.restarted()
    assert after.state() == told.state()
    after.pass_time(TERMS.reservation_ms)
    assert (after.used(), after.used("other")) == (300, 0)


def test_terms_that_cannot_be_are_refused_with_everything_that_is_wrong() -> None:
    check_terms(replace(TERMS, band=Band()))
    wrong = replace(
        TERMS,
        version=-1,
        currency="yuan",
        step=0,
        smallest_amount=0,
        budget=-1,
        refer_from_pd=0.0,
        answer_within_ms=0,
        reservation_ms=31 * DAY,
        longest_term_days=0,
        yearly_rate_bps=-1,
        suppliers=frozenset({""}),
        band=Band(lowest_share_bps=9_000, highest_share_bps=8_000, window_ms=11, largest_limits=-1),
    )
    with pytest.raises(ValueError, match="terms refused") as refused:
        check_terms(wrong)
    for part in (
        "version is -1",
        "three capital",
        "step is 0",
        "smallest_amount is 0",
        "budget is -1",
        "refer_from_pd is 0.0",
        "answer_within_ms is 0",
        "reservation_ms is 2678400000",
        "longest_term_days is 0",
        "yearly_rate_bps is -1",
        "suppliers has an empty name",
        "band.window_ms is 11",
        "band.largest_limits is -1",
        "band.lowest_share_bps is above",
    ):
        assert part in str(refused.value)


def test_a_standing_that_cannot_be_is_refused_with_everything_that_is_wrong() -> None:
    check_standing(STANDING)
    wrong = replace(STANDING, limit=-1, capacity=-2, probability_of_default=1.5, currency="")
    with pytest.raises(ValueError, match=r"limit is -1.*capacity is -2.*1\.5.*currency"):
        check_standing(wrong)


def test_what_is_owed_is_kept_by_line(told: Told) -> None:
    told.draw(500)
    told.draw(200, "l2", lender_id="other")
    told.repay(100)
    told.tell(
        LoanEvent("end", LoanKind.SETTLED, "l2", "other", "stall", "loan", "CNY", 7_000), told.next
    )
    owed = told.loans.owed
    assert dict(owed.of_merchant("stall")) == {Line("bank", "loan", "CNY"): 400}
    assert owed.of_line(Line("other", "loan", "CNY")) == 0


def test_a_book_starts_before_the_first_record() -> None:
    assert Told().book.position == Position(-1, -1)
