"""What a merchant owes, what is reserved for it, and what that leaves, by lender and product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from scorers.applications.messages import Product as Lent
from scorers.applications.terms import Standing, Terms
from scorers.exposure import Line
from scorers.loans import line_of
from scorers.policy import PolicyName, Product

if TYPE_CHECKING:
    from scorers.accounts import Accounts
    from scorers.catalogue import Policies
    from scorers.explanation import Explanation
    from scorers.policy import Policy

LENT: Final = frozenset(each.value for each in Lent)
"""Products that are lent; of the others nothing is ever drawn."""


class Outstanding(msgspec.Struct, frozen=True):
    """What a merchant has with one lender for one product, as of the ledger's newest mark.

    Attributes:
        lender: the lender's id.
        product: for example `loan`.
        currency: ISO 4217 code of all amounts.
        limit: the limit in force, minor units; 0 when the merchant is not enrolled.
        loans: how many are not paid back.
        drawn: principal of these that is still owed, minor units.
        overdue: part of it that should have been paid by now, minor units.
        reserved: what approvals hold back, minor units.
        available: what could be lent on top, minor units: of the limit, and of what all lenders
            together may lend. A lender's budget may leave less.
    """

    lender: str
    product: str
    currency: str
    limit: int
    loans: int
    drawn: int
    overdue: int
    reserved: int
    available: int


def outstanding(
    merchant_id: str, known: Explanation, currency: str, policies: Policies, accounts: Accounts
) -> list[Outstanding]:
    """Return a merchant's lines: enrolled for, owed or reserved, in the order of their names.

    Args:
        merchant_id: whose.
        known: of its row.
        currency: ISO 4217 code of the row's amounts.
        policies: those in force.
        accounts: of its partition; they have begun.
    """
    limits = _limits(known, policies)
    capacity = limits[_line(policies.everybodys)]
    standing = Standing(
        enrolled=True,
        closed=False,
        currency=currency,
        limit=0,
        limit_version=known.limit_version,
        capacity=capacity,
        probability_of_default=known.probability_of_default,
        model_version=known.model_version,
    )
    found = []
    for line in sorted(limits.keys() | accounts.applications.lines_of(merchant_id)):
        limit = limits.get(line, 0) if line.currency == currency else 0
        figures = accounts.applications.figures(
            merchant_id,
            line.lender_id,
            line.product,
            msgspec.structs.replace(standing, limit=limit),
            Terms(version=0, currency=line.currency),
        )
        owing = [
            loan
            for key, loan in accounts.loans.of(merchant_id)
            if loan.outstanding > 0 and line_of(key, loan) == line
        ]
        found.append(
            Outstanding(
                lender=line.lender_id,
                product=line.product,
                currency=line.currency,
                limit=limit,
                loans=len(owing),
                drawn=figures.drawn,
                overdue=sum(loan.overdue for loan in owing),
                reserved=figures.reserved,
                available=figures.available,
            )
        )
    return found


def _limits(known: Explanation, policies: Policies) -> dict[Line, int]:
    """Return the limit of everybody's policy and of each other that the merchant may draw on."""
    limits = [(policies.everybodys, known.limit)]
    for each in known.entitlements:
        if each.lender is not None and each.product in LENT:
            policy = policies.find(PolicyName(each.lender, Product(each.product)))
            if policy is not None:
                limits.append((policy, each.limit))
    # A policy that has just ended may not have met the merchant yet.
    return {_line(policy): 0 if policy.ended(known.as_of) else limit for policy, limit in limits}


def _line(policy: Policy) -> Line:
    return Line(policy.lender, policy.product.value, policy.currency)
