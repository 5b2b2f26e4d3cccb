from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from features.calendar import load_zone
from scorers.accounts import Accounts
from scorers.applications.book import Place
from scorers.catalogue import Policies
from scorers.explanation import Entitlement, Explanation
from scorers.loans import Draw, LoanEvent, LoanKind
from scorers.outstanding import Outstanding, outstanding
from scorers.policy import Policy, Product
from tests.scorers.applying import ASKED, STANDING, TERMS, YUAN
from tests.scorers.test_loans import event

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACE = Place("payments", 0, 1)
ZONE = load_zone("Asia/Shanghai")
DRAWN = event(LoanKind.DRAWN, "e1", amount=800 * YUAN)
KNOWN = Explanation(
    as_of=10_000,
    zone="Asia/Shanghai",
    offset=7,
    probability_of_default=0.02,
    limit=2_000 * YUAN,
    limit_version=3,
    held_out=False,
    stopped=False,
    target=2_000 * YUAN,
    cap=300_000 * YUAN,
    features=[],
    levers=[],
    model_version=0,
    policy_version=0,
    entitlements=[
        Entitlement("bank", "loan", 1_500 * YUAN, 1, 1.0),
        Entitlement("shop", "trade_credit", 400 * YUAN, 1, 1.0),
        Entitlement("insurer", "insurance", 9_000 * YUAN, 1, 1.0),
        Entitlement(None, None, 0, 0, 1.0),
    ],
)
POLICIES = [
    Policy(version=1, lender="bank"),
    Policy(version=1, lender="shop", product=Product.TRADE_CREDIT),
]


@pytest.fixture
def accounts() -> Accounts:
    accounts = Accounts(ZONE)
    accounts.begin(PLACE)
    return accounts


def tell(accounts: Accounts, events: Iterable[LoanEvent]) -> None:
    for offset, each in enumerate(events):
        assert accounts.ledger.takes(offset)
        accounts.loans.apply(each, lambda: Draw({}, 0.02, 0))
        accounts.applications.drawn(each, offset, each.occurred_at)
    accounts.keep_clock()


def restored(accounts: Accounts) -> Accounts:
    """What another process reads back from the ledger's changelog."""
    after = Accounts(ZONE)
    entries, mark = accounts.ledger.cut(99)
    for key, value in entries:
        after.ledger.restore(key, value)
    assert mark is not None
    after.ledger.restore(*mark)
    after.begin(PLACE)
    return after


def lines(
    accounts: Accounts, policies: list[Policy] = POLICIES
) -> dict[tuple[str, str, str], Outstanding]:
    found = outstanding("stall", KNOWN, "CNY", Policies(policies), restored(accounts))
    return {(each.lender, each.product, each.currency): each for each in found}


def test_with_nothing_lent_each_limit_is_available_and_what_is_not_lent_is_left_out(
    accounts: Accounts,
) -> None:
    accounts.ledger.takes(0)
    found = lines(accounts)
    assert {key: each.available for key, each in found.items()} == {
        ("bank", "loan", "CNY"): 1_500 * YUAN,
        ("platform", "loan", "CNY"): 2_000 * YUAN,
        ("shop", "trade_credit", "CNY"): 400 * YUAN,
    }
    assert all(each.loans == each.drawn == each.reserved == 0 for each in found.values())


def test_what_is_drawn_late_and_reserved_leaves_less_to_every_lender(accounts: Accounts) -> None:
    change = msgspec.structs.replace
    tell(
        accounts,
        [
            DRAWN,
            change(DRAWN, event_id="e2", kind=LoanKind.REPAID, amount=300 * YUAN),
            change(DRAWN, event_id="e3", kind=LoanKind.OVERDUE, amount=120 * YUAN),
            change(DRAWN, event_id="e4", loan_id="l2", amount=100 * YUAN),
            change(DRAWN, event_id="e5", loan_id="paid"),
            change(DRAWN, event_id="e6", loan_id="paid", kind=LoanKind.SETTLED),
            change(DRAWN, event_id="e7", merchant_id="neighbour"),
        ],
    )
    assert accounts.ledger.takes(7)
    accounts.applications.decide(change(ASKED, amount=250 * YUAN), 7, 6_000, STANDING, TERMS)
    accounts.keep_clock()
    found = lines(accounts)
    bank = found["bank", "loan", "CNY"]
    assert (bank.loans, bank.drawn, bank.overdue) == (2, 600 * YUAN, 120 * YUAN)
    assert bank.reserved == 250 * YUAN
    assert bank.available == (1_500 - 600 - 250) * YUAN
    # Everybody's limit is what all lenders together may lend.
    assert found["platform", "loan", "CNY"].available == (2_000 - 600 - 250) * YUAN
    assert found["shop", "trade_credit", "CNY"].available == 400 * YUAN


@pytest.mark.parametrize(("later", "reserved"), [(0, ASKED.amount), (TERMS.reservation_ms, 0)])
def test_a_reservation_holds_back_until_its_time_is_over(
    accounts: Accounts, later: int, reserved: int
) -> None:
    assert accounts.ledger.takes(0)
    accounts.applications.decide(ASKED, 0, 6_000, STANDING, TERMS)
    accounts.applications.advance(6_000 + later)
    accounts.keep_clock()
    bank = lines(accounts)["bank", "loan", "CNY"]
    assert (bank.reserved, bank.available) == (reserved, 1_500 * YUAN - reserved)


def test_what_is_owed_outside_of_any_policy_is_shown_with_nothing_available(
    accounts: Accounts,
) -> None:
    change = msgspec.structs.replace
    tell(
        accounts,
        [
            change(DRAWN, lender_id="former"),
            change(DRAWN, currency="USD"),
        ],
    )
    ended = [msgspec.structs.replace(POLICIES[0], valid_to=KNOWN.as_of), POLICIES[1]]
    found = lines(accounts, ended)
    assert found["former", "loan", "CNY"].drawn == 800 * YUAN
    assert found["bank", "loan", "USD"].drawn == 800 * YUAN
    for key in (("former", "loan", "CNY"), ("bank", "loan", "USD"), ("bank", "loan", "CNY")):
        assert (found[key].limit, found[key].available) == (0, 0)
    assert found["platform", "loan", "CNY"].available == 1_200 * YUAN
