"""Several lenders on one worker: policies, consents, applications, loans and funds, end to end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from typer.testing import CliRunner

from scorers.applications.messages import BudgetWanted, Outcome, Product
from scorers.applications.messages import Product as Applied
from scorers.applications.terms import Lending
from scorers.funds.events import FundEvent, FundKind
from scorers.funds.terms import FundTerms
from scorers.loans import LoanKind
from scorers.merchants import MerchantKind
from scorers.policy import Product as Offered
from scorers.policy import Servicing, dump_policy
from scorers.servicing import StandingChanged
from streams.brokers.provision import apply_topics
from streams.commands.explain import app as explain
from streams.contract.messages import Relayed
from streams.errors import OperatorError
from streams.settings import load_settings
from tests.integration.lending import (
    LENDERS,
    TRADE_CREDIT,
    YUAN,
    LendingWorker,
    asks,
    enrolled,
    flat,
    invoke,
    loan,
    of_merchant,
    say,
    shops,
)
from tests.integration.log_alone import assert_same, expected, published
from tests.integration.watched import Record
from tests.streams.wire import foreign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scorers.applications.messages import Decision
    from streams.brokers.apache import ApacheKafka

MINUTE = 60_000
SHANGHAI = ZoneInfo("Asia/Shanghai")
LENDING = Lending(smallest_amount=500 * YUAN, step=100 * YUAN, answer_within_ms=None)


@pytest.fixture(scope="module")
def worker(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LendingWorker]:
    """One worker for all of these tests, each of which has merchants of its own.

    Everybody may owe 50,000, and as much to bank-a or bank-b alone.
    """
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="lenders.", lenders=LENDERS,
        ticks=False, session_timeout_s=6.0, checkpoint_interval_s=0.2,
    )  # fmt: skip
    apply_topics(settings)
    with LendingWorker(settings, tmp_path_factory.mktemp("lenders")) as worker:
        names = ("platform", "bank-a", "bank-b")
        worker.publish(*(flat(1, name, 50_000, lending=LENDING) for name in names))
        yield worker


def outcome(decision: Decision) -> tuple[str, int, str]:
    """Answer, amount in yuan and what decided."""
    return str(decision.outcome), decision.amount // YUAN, decision.reasons[0].code


def borrow(worker: LendingWorker, shop: str, lender: str, yuan: int) -> str:
    """Apply, and draw what was approved; returns the id of the loan."""
    application = asks(shop, lender, yuan)
    (decision,) = worker.ask(application)
    assert outcome(decision) == ("approve", yuan, "within_limits")
    loan_id = f"loan-{application.application_id}"
    worker.tell(
        loan(
            LoanKind.DRAWN, shop, lender, loan_id, amount=yuan * YUAN,
            application_id=application.application_id,
        )
    )  # fmt: skip
    return loan_id


def test_a_policy_is_taken_up_whole_or_not_at_all_and_ends_when_it_is_retired(
    worker: LendingWorker,
) -> None:
    (shop,), (bystander,) = shops("policy", 1), shops("bystander", 1)
    worker.tell(enrolled(shop, "bank-c"), enrolled(bystander, "bank-a"))
    worker.pay(shop, bystander)
    assert worker.limit("bank-c", shop) == 0
    worker.publish(flat(1, "bank-c", 5_000))
    worker.pay(shop)
    (update,) = worker.limits["bank-c", "loan", shop]
    assert (update.limit, update.version, update.policy_version) == (5_000 * YUAN, 1, 1)

    before = {key: list(updates) for key, updates in worker.limits.items()}
    broken = [
        b"{",
        b"",
        None,
        dump_policy(flat(9, "bank-of-nowhere", 1_000)),
        dump_policy(flat(1, "bank-c", 9_000)),
        dump_policy(flat(2, "bank-c", 9_000)).replace(b'"cap":900000', b'"cap":-1'),
    ]
    data = foreign.batch(
        [(b"%d" % n, each, [], worker.clock) for n, each in enumerate(broken)],
        foreign.CODECS["none"],
    )
    worker.send_batches([(0, data, len(broken))], worker.settings.topics.policies.name)
    worker.publish(flat(2, "bank-c", 6_000))
    worker.pay(shop, bystander)
    assert [each.limit for each in worker.limits["bank-c", "loan", shop]] == [
        5_000 * YUAN, 6_000 * YUAN,
    ]  # fmt: skip
    del before["bank-c", "loan", shop]
    assert {key: worker.limits[key] for key in before} == before
    assert worker.process.log.read_bytes().count(b"what was in force stays") == len(broken) - 1

    done = run_policies(worker, "retire", "bank-c", "loan", "--at", str(worker.clock), "--json")
    assert (done["version"], done["valid_to"]) == (3, worker.clock)
    worker.await_policies()
    # No time has passed yet: its limit is still what was published.
    (decision,) = worker.ask(asks(shop, "bank-c", 1_000))
    assert outcome(decision) == ("decline", 0, "limit")
    assert worker.limit("bank-c", shop) == 6_000
    worker.tick()
    last = worker.limits["bank-c", "loan", shop][-1]
    assert (last.limit, last.reasons[0].code, last.policy_version) == (0, "policy_ended", 3)


def test_a_limit_follows_consent_and_closing_at_once_and_only_of_whom_it_concerns(
    worker: LendingWorker,
) -> None:
    shop, neighbour = shops("consent", 2)
    worker.pay(shop, neighbour)
    worker.tell(enrolled(shop, "bank-a"))
    assert [worker.limit(lender, shop) for lender in LENDERS] == [50_000, 50_000, 0, 0]
    assert [worker.limit(lender, neighbour) for lender in LENDERS] == [50_000, 0, 0, 0]

    def newest(lender: str) -> tuple[int, str, int]:
        update = worker.limits[lender, "loan", shop][-1]
        return update.limit // YUAN, update.reasons[0].code, update.version

    worker.tell(enrolled(shop, "bank-a", kind=MerchantKind.WITHDRAWN))
    assert newest("bank-a") == (0, "withdrawn", 2)
    assert worker.limit("platform", shop) == 50_000
    (decision,) = worker.ask(asks(shop, "bank-a", 1_000))
    assert outcome(decision) == ("decline", 0, "not_enrolled")

    worker.tell(enrolled(shop, "bank-a"))
    assert newest("bank-a")[::2] == (50_000, 3)
    worker.tell(of_merchant(MerchantKind.CLOSED, shop))
    assert newest("bank-a") == (0, "closed", 4)
    assert newest("platform") == (0, "closed", 2)
    (decision,) = worker.ask(asks(shop, "bank-a", 1_000))
    assert outcome(decision) == ("decline", 0, "closed")
    worker.tell(of_merchant(MerchantKind.REOPENED, shop))
    assert newest("bank-a")[::2] == (50_000, 5)
    assert newest("platform")[::2] == (50_000, 3)
    assert len(worker.limits["platform", "loan", neighbour]) == 1


def test_what_a_merchant_may_not_say_is_set_aside_with_its_reason_and_changes_nothing(
    worker: LendingWorker,
) -> None:
    (shop,) = shops("refused", 1)
    worker.pay(shop)
    registered = of_merchant(MerchantKind.REGISTERED, shop, currency="CNY", zone="Asia/Shanghai")
    many = [enrolled(shop, f"bank-{n}") for n in range(9)]
    refused = {
        enrolled(shop, "bank-b", kind=MerchantKind.WITHDRAWN): "not_enrolled",
        enrolled(shop, "platform"): "everybodys_policy",
        msgspec.structs.replace(registered, event_id="r2", currency="USD"): "other_currency",
        msgspec.structs.replace(registered, event_id="r3", zone="Asia/Tokio"): "unknown_zone",
        of_merchant(MerchantKind.CODE_UNBOUND, shop, code_id="counter-9"): "not_bound",
        many[-1]: "too_many_enrolments",
    }
    incomplete = enrolled(shop, "bank-b", product=None)
    worker.tell(registered, *list(refused)[:-1], incomplete)
    worker.tell(*many)
    found = {raw: reason for raw, reason in worker.refused.items() if shop.encode() in (raw or b"")}
    assert found == {msgspec.json.encode(each): reason for each, reason in refused.items()} | {
        msgspec.json.encode(incomplete): "missing_field"
    }
    assert worker.limit("bank-b", shop) == 0


def test_a_merchant_in_another_zone_has_days_of_its_own(worker: LendingWorker) -> None:
    here, there = shops("zoned", 2)
    worker.tell(of_merchant(MerchantKind.REGISTERED, there, zone="America/New_York"))
    worker.pay(here, there)
    explanations = [explained(worker, shop) for shop in (here, there)]
    assert [each["zone"] for each in explanations] == ["Asia/Shanghai", "America/New_York"]
    for each in explanations:
        local = datetime.fromtimestamp(worker.clock / 1000, ZoneInfo(each["zone"]))
        since = local.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        assert each["remembered"]["day"] == since // timedelta(days=1)
        assert each["remembered"]["hour"] == since // timedelta(hours=1)
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert explanations[1]["remembered"]["due_at"] == round(midnight.timestamp() * 1000)


def explained(worker: LendingWorker, shop: str) -> dict[str, Any]:
    """What `duoshou explain --json` says of a merchant."""
    done = CliRunner().invoke(explain, [shop, "--json"], env=worker.settings.as_environment())
    assert done.exit_code == 0, (done.output, done.exception)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_an_application_is_answered_once_and_held_to_what_is_left(worker: LendingWorker) -> None:
    shop, stranger = shops("asking", 2)
    worker.pay(shop, stranger)
    worker.tell(enrolled(shop, "bank-a"), enrolled(shop, "bank-b"))
    first = asks(shop, "bank-a", 42_000)
    (decision,) = worker.ask(first)
    assert outcome(decision) == ("approve", 42_000, "within_limits")
    assert (decision.available, decision.over_limit) == (50_000 * YUAN, 0)
    assert decision.price.interest == 42_000 * YUAN * 1_500 * 90 // 10_000 // 365

    (offer,) = worker.ask(asks(shop, "bank-b", 8_050))
    assert outcome(offer) == ("counter_offer", 8_000, "capacity")
    approved = worker.process.metric("duoshou_approved_minor_units_total")
    (again,) = worker.ask(first)
    assert worker.process.metric("duoshou_approved_minor_units_total") == approved
    answers = worker.decisions["bank-a", shop, first.application_id]
    assert len(answers) == 2
    assert msgspec.structs.replace(again, stages={}) == msgspec.structs.replace(decision, stages={})
    other = msgspec.structs.replace(first, amount=41_000 * YUAN)
    worker.tell(other)
    assert worker.refused[msgspec.json.encode(other)] == "conflict"
    assert len(answers) == 2

    worker.tell(
        loan(
            LoanKind.DRAWN, shop, "bank-a", "asked", amount=42_000 * YUAN,
            application_id=first.application_id,
        )
    )  # fmt: skip
    # Debt now, and no reservation beside it.
    (offer,) = worker.ask(asks(shop, "bank-a", 8_050))
    assert (outcome(offer), offer.available) == (("counter_offer", 8_000, "limit"), 8_000 * YUAN)
    unknown = asks(shop, "bank-of-nowhere", 1_000)
    (decision,) = worker.ask(asks(stranger, "bank-a", 1_000))
    assert outcome(decision) == ("decline", 0, "not_enrolled")
    worker.tell(unknown)
    assert worker.refused[msgspec.json.encode(unknown)] == "no_policy"


def test_two_lenders_together_never_go_above_the_capacity(worker: LendingWorker) -> None:
    both, fifty = shops("capacity", 2)
    worker.pay(both, fifty)
    for shop in (both, fifty):
        worker.tell(enrolled(shop, "bank-a"), enrolled(shop, "bank-b"))
        borrow(worker, shop, "bank-a", 40_000)
    decisions = worker.ask(asks(both, "bank-a", 8_000), asks(both, "bank-b", 8_000))
    assert [each.outcome for each in decisions] == [Outcome.APPROVE, Outcome.COUNTER_OFFER]
    decisions = worker.ask(*(asks(fifty, ("bank-a", "bank-b")[n % 2], 1_000) for n in range(50)))
    approved = [each for each in decisions if each.outcome is Outcome.APPROVE]
    assert [each.amount for each in approved] == [1_000 * YUAN] * 10
    assert {each.lender_id for each in approved} == {"bank-a", "bank-b"}
    assert {outcome(each) for each in decisions if each not in approved} <= {
        ("decline", 0, "capacity"), ("decline", 0, "limit"),
    }  # fmt: skip


def test_a_limit_that_is_cut_below_the_debt_leaves_the_debt(worker: LendingWorker) -> None:
    (shop,) = shops("cut", 1)
    lending = msgspec.structs.replace(LENDING, suppliers=frozenset({"mill"}))
    worker.publish(flat(1, "bank-b", 5_000, TRADE_CREDIT, lending=lending))
    worker.pay(shop)
    worker.tell(enrolled(shop, "bank-b", TRADE_CREDIT))
    application = asks(
        shop, "bank-b", 800, product=Applied.TRADE_CREDIT, supplier_id="mill"
    )  # fmt: skip
    assert outcome(*worker.ask(application)) == ("approve", 800, "within_limits")
    drawn = loan(
        LoanKind.DRAWN, shop, "bank-b", "cut", product="trade_credit", amount=800 * YUAN,
        application_id=application.application_id,
    )  # fmt: skip
    worker.tell(drawn)
    worker.publish(flat(2, "bank-b", 600, TRADE_CREDIT, lending=lending))
    worker.pay(shop)
    assert worker.limit("bank-b", shop, "trade_credit") == 600
    (decision,) = worker.ask(msgspec.structs.replace(application, application_id="after"))
    assert outcome(decision) == ("decline", 0, "over_limit")
    assert (decision.limit, decision.available, decision.over_limit) == (
        600 * YUAN, 0, 200 * YUAN,
    )  # fmt: skip
    durable = published(worker.settings).entries
    (debt,) = (
        entry
        for entries in durable.values()
        for key, entry in entries.items()
        if key == msgspec.json.encode(["loans", shop, "bank-b", "cut"])
    )
    assert debt["outstanding"] == 800 * YUAN


def test_a_budget_over_all_partitions_is_used_up_and_never_exceeded(
    worker: LendingWorker,
) -> None:
    budget = 100_000 * YUAN
    lending = msgspec.structs.replace(LENDING, suppliers=frozenset({"mill"}), budget=budget)
    worker.publish(flat(1, "platform", 50_000, TRADE_CREDIT, lending=lending))
    # Most of the demand comes from one partition.
    counts = (4, 1, 1, 1)
    asking = [shop for n, count in enumerate(counts) for shop in shops("budget", count, n)]
    worker.pay(*asking)
    worker.tell(*(enrolled(shop, "platform", TRADE_CREDIT) for shop in asking))
    total, asked, quiet = 0, 3_000, 0
    while quiet < 3:
        decisions = worker.ask(
            *(
                asks(shop, "platform", asked, product=Product.TRADE_CREDIT, supplier_id="mill")
                for shop in asking
                for _ in range(2)
            )
        )
        approved = sum(each.amount for each in decisions if each.outcome is Outcome.APPROVE)
        # Whoever is offered less takes it.
        offered = [
            asks(
                each.merchant_id, "platform", each.amount / YUAN,
                product=Product.TRADE_CREDIT, supplier_id="mill",
            )
            for each in decisions
            if each.outcome is Outcome.COUNTER_OFFER
        ]  # fmt: skip
        if offered:
            taken = worker.ask(*offered)
            approved += sum(each.amount for each in taken if each.outcome is Outcome.APPROVE)
        total += approved
        assert total <= budget
        quiet = 0 if approved else quiet + 1
        asked = asked if approved else 500
        # Time passes, so that whoever got nothing may ask the others again.
        worker.clock += 2 * MINUTE
        worker.pay(*asking)
    # Of each share less is left than the smallest amount.
    assert total > budget - 4 * 500 * YUAN


def test_overdue_cuts_one_lenders_limit_at_once_and_repayment_gives_it_back(
    worker: LendingWorker,
) -> None:
    shop, neighbour = shops("overdue", 2)
    worker.pay(shop, neighbour)
    for each in (shop, neighbour):
        worker.tell(enrolled(each, "bank-a"), enrolled(each, "bank-b"))
    owed = borrow(worker, shop, "bank-a", 10_000)

    def limits() -> list[int]:
        return [
            worker.limit(lender, each) // 1_000
            for each in (shop, neighbour)
            for lender in ("platform", "bank-a", "bank-b")
        ]

    worker.tell(loan(LoanKind.OVERDUE, shop, "bank-a", owed, amount=2_000 * YUAN))
    assert limits() == [50, 25, 50, 50, 50, 50]
    update = worker.limits["bank-a", "loan", shop][-1]
    assert (update.reasons[0].code, update.reasons[0].effect) == ("standing", -0.5)
    worker.tell(
        loan(LoanKind.OVERDUE, shop, "bank-a", owed, event_id="more", amount=5_000 * YUAN)
    )  # fmt: skip
    assert limits() == [50, 0, 50, 50, 50, 50]
    worker.tell(loan(LoanKind.REPAID, shop, "bank-a", owed, amount=5_000 * YUAN))
    assert limits() == [50, 50, 50, 50, 50, 50]


def test_trade_credit_grows_with_loans_paid_back_on_time(worker: LendingWorker) -> None:
    (shop,) = shops("grown", 1)
    worker.publish(
        flat(
            1, "bank-a", 10_000, TRADE_CREDIT, cap=12_000 * YUAN,
            servicing=Servicing(bonus_of_a_loan=1_000, most_bonus=5_000),
        )
    )  # fmt: skip
    worker.pay(shop)
    worker.tell(enrolled(shop, "bank-a", TRADE_CREDIT))
    found = [worker.limit("bank-a", shop, "trade_credit")]
    for number in range(3):
        name = f"grown-{number}"
        worker.tell(
            loan(LoanKind.DRAWN, shop, "bank-a", name, product="trade_credit"),
            loan(LoanKind.SETTLED, shop, "bank-a", name, product="trade_credit"),
        )
        found.append(worker.limit("bank-a", shop, "trade_credit"))
    # A tenth each, up to the cap.
    assert found == [10_000, 11_000, 12_000, 12_000]


def test_a_day_of_shanghai_has_ten_thousand_yuan_at_once_and_not_a_fen_more(
    worker: LendingWorker,
) -> None:
    (shop,) = shops("fund", 1)
    fund = FundTerms(qualified_banks=("icbc",))
    worker.publish(flat(1, "bank-a", 0, Offered.FUND_SWEEP, fund=fund))
    midnight = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    today = round(midnight.timestamp() * 1000)
    yesterday = round((midnight - timedelta(days=1)).timestamp() * 1000)

    def event(name: str, amount: int, at: int) -> FundEvent:
        kind = FundKind.SUBSCRIBED if name == "in" else FundKind.REDEMPTION_REQUESTED
        return FundEvent(name, kind, shop, "bank-a", "daily", "CNY", amount, at, "icbc")

    worker.tell(event("in", 5_000_000, yesterday))
    asked = [
        event("most", 999_999, yesterday + 1),
        event("last fen", 1, yesterday + 2),
        event("a fen more", 1, yesterday + 3),
        event("last millisecond", 100, today - 1),
        event("midnight", 1_000_000, today),
    ]
    worker.tell(*asked)
    answers = [worker.fund_answers[shop, each.event_id][0] for each in asked]
    assert [(each.t_plus_0, each.t_plus_1, each.refused) for each in answers] == [
        (999_999, 0, 0), (1, 0, 0), (0, 1, 0), (0, 100, 0), (1_000_000, 0, 0),
    ]  # fmt: skip
    assert [[reason.code for reason in each.reasons] for each in answers] == [
        [], [], ["daily_limit"], ["daily_limit"], [],
    ]  # fmt: skip
    worker.tell(asked[0])
    assert worker.fund_answers[shop, "most"] == [answers[0]] * 2
    done = run_policies(
        worker, "retire", "bank-a", "fund_sweep", "--at", str(worker.clock), "--json"
    )
    assert done["version"] == 2
    worker.await_policies()
    worker.pay(shop)
    worker.tell(event("retired", 1, today + 1))
    (answer,) = worker.fund_answers[shop, "retired"]
    assert [reason.code for reason in answer.reasons] == ["no_policy"]


def test_everything_is_known_again_after_a_crash(worker: LendingWorker) -> None:
    (shop,) = shops("crash", 1)
    worker.pay(shop)
    worker.tell(enrolled(shop, "bank-a"), enrolled(shop, "bank-b"))
    owed = borrow(worker, shop, "bank-a", 20_000)
    worker.tell(loan(LoanKind.OVERDUE, shop, "bank-a", owed, amount=2_000 * YUAN))
    held = asks(shop, "bank-b", 25_000)
    (before,) = worker.ask(held)
    worker.restart(kill=True)
    (after,) = worker.ask(held)
    assert msgspec.structs.replace(after, stages={}) == msgspec.structs.replace(before, stages={})
    # 20,000 owed and 25,000 reserved of a capacity of 50,000; 25,000 of the limit here is left.
    (offer,) = worker.ask(asks(shop, "bank-b", 6_000))
    assert outcome(offer) == ("counter_offer", 5_000, "capacity")
    (offer,) = worker.ask(asks(shop, "bank-a", 6_000))
    assert (outcome(offer), offer.limit) == (("counter_offer", 5_000, "limit"), 25_000 * YUAN)
    worker.tell(loan(LoanKind.REPAID, shop, "bank-a", owed, amount=2_000 * YUAN))
    assert worker.limit("bank-a", shop) == 50_000


def test_the_commands_say_what_they_would_do_and_what_they_did(
    worker: LendingWorker, tmp_path: Path
) -> None:
    few = shops("preview", 4)
    file = tmp_path / "next.toml"

    def write(version: int, yuan: int) -> None:
        file.write_text(
            f'version = {version}\nlender = "bank-c"\nproduct = "trade_credit"\n'
            f"cap = {yuan * YUAN}\nstarter_amount = {yuan * YUAN}\nraise_step = 2_000_000\n"
            "advance_rate = 1e-9\npd_cut_off = 1.0\nhold_out_share = 0.0\ncool_down_ms = 0\n"
            "dead_band = 0.0\nstarter_payments = 1\nstarter_payers = 1\nstarter_days = 1\n"
        )

    write(1, 5_000)
    assert run_policies(worker, "validate", str(file), "--json")["cap"] == 5_000 * YUAN
    # Of whom nobody is enrolled.
    said = run_policies(worker, "preview", str(file), "--json")
    assert (said["merchants"], said["total"], said["total_would_be"]) == (0, 0, 0)
    assert run_policies(worker, "publish", str(file), "--json")["version"] == 1
    worker.await_policies()
    worker.pay(*few)
    worker.tell(*(enrolled(shop, "bank-c", TRADE_CREDIT) for shop in few[:3]))

    write(1, 7_000)
    for command in ("preview", "publish"):
        assert "does not follow version 1" in refusal(worker, command, str(file))
    write(2, 7_000)
    said = run_policies(worker, "preview", str(file), "--json")
    movers = sorted(said.pop("movers"), key=lambda each: each["merchant_id"])
    assert movers == [
        {"merchant_id": shop, "limit": 5_000 * YUAN, "would_be": 7_000 * YUAN} for shop in few[:3]
    ]
    assert said.pop("bounds")[5:7] == [0.2, 0.5]
    assert said == {
        "merchants": 3, "raised": 3, "cut": 0, "ended": 0, "total": 15_000 * YUAN,
        "total_would_be": 21_000 * YUAN, "histogram": [0, 0, 0, 0, 0, 0, 3, 0, 0],
    }  # fmt: skip
    words = say(worker, "preview", str(file))
    assert "raise 3 and cut 0 of 3 limits" in words
    assert "from 15,000.00 CNY to 21,000.00 CNY" in words
    write(2, 0)
    said = run_policies(worker, "preview", str(file), "--json")
    assert (said["cut"], said["ended"], said["total_would_be"]) == (3, 3, 0)
    # Nothing of it was published.
    worker.pay(*few)
    assert {worker.limit("bank-c", shop, "trade_credit") for shop in few[:3]} == {5_000}

    at = str(worker.clock)
    words = say(worker, "retire", "bank-c", "trade_credit", "--at", at)
    assert words.startswith("Published bank-c, trade_credit, version 2.")
    worker.await_policies()
    worker.pay(*few)
    assert {worker.limit("bank-c", shop, "trade_credit") for shop in few[:3]} == {0}
    assert "no policy of bank-b for insurance" in refusal(worker, "retire", "bank-b", "insurance")
    listed = run_policies(worker, "list", "--json")["policies"]
    versions = [
        each["version"]
        for each in listed
        if (each["lender"], each.get("product")) == ("bank-c", "trade_credit")
    ]
    assert versions == [1, 2]
    assert "trade_credit │ 2 │ 5,000.00 CNY" in say(worker, "list")
    file.write_text('version = 3\nlender = "bank-c"\nceiling = 7\n')
    assert "ceiling" in refusal(worker, "validate", str(file))


def run_policies(worker: LendingWorker, *arguments: str) -> dict[str, Any]:
    """What a command says as JSON."""
    said: dict[str, Any] = json.loads(say(worker, *arguments))
    return said


def refusal(worker: LendingWorker, *arguments: str) -> str:
    """Why a command refused to do what it was told."""
    done = invoke(worker, *arguments)
    assert isinstance(done.exception, OperatorError), done.output
    return str(done.exception)


def test_all_of_it_follows_from_the_log_alone(worker: LendingWorker) -> None:
    found = published(worker.settings)
    # The relay refused one event: it never came into the log.
    found.letters = {each for each in found.letters if each[-1] != "missing_field"}
    assert_same(found, expected(worker.settings))


def test_what_nobody_but_a_worker_should_say_through_the_log_is_set_aside(
    worker: LendingWorker,
) -> None:
    (shop,) = shops("forged", 1)
    topics = worker.settings.topics
    own, merchants = topics.payments.name, topics.merchant_events.name
    wanted = BudgetWanted("bank-a", "loan", "CNY", 77, 100, 5)
    standing = StandingChanged(shop, "bank-a", Offered.LOAN, 5_000)
    forged = [
        (own, msgspec.json.encode(wanted), "out_of_range"),
        (own, msgspec.json.encode(wanted).replace(b"loan", b"luck"), "out_of_range"),
        (own, msgspec.json.encode(standing).replace(b"loan", b"luck"), "wrong_type"),
        (own, msgspec.json.encode(standing).replace(b"5000", b"5000000000"), "wrong_type"),
        (merchants, msgspec.json.encode(enrolled(shop, "bank-a", product=None)), "missing_field"),
    ]
    worker.send(
        [
            Record(msgspec.json.encode(Relayed(shop, topic, 0, 9, msgspec.Raw(raw))), shop.encode())
            for topic, raw, _ in forged
        ]
    )
    worker.settle()
    assert {raw: worker.refused.get(raw) for _, raw, _ in forged} == {
        raw: reason for _, raw, reason in forged
    }
    assert worker.process.returncode() is None
