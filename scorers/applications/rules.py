"""The rules that answer an application, in their order; docs/decisions.md has worked figures."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from scorers.applications.messages import Ground, Outcome, Product

if TYPE_CHECKING:
    from scorers.applications.messages import Application
    from scorers.applications.terms import Standing, Terms


class Rule(StrEnum):
    """What may decide, in the order in which it is asked; the last four name what binds."""

    NOT_ENROLLED = "not_enrolled"
    CLOSED = "closed"
    OTHER_CURRENCY = "other_currency"
    SUPPLIER_NOT_NAMED = "supplier_not_named"
    TERM_TOO_LONG = "term_too_long"
    AMOUNT_TOO_SMALL = "amount_too_small"
    TOO_LATE = "too_late"
    CIRCUIT_BREAKER = "circuit_breaker"
    HIGH_PD = "high_pd"
    DEBT_IN_OTHER_CURRENCY = "debt_in_other_currency"
    WITHIN_LIMITS = "within_limits"
    OVER_LIMIT = "over_limit"
    LIMIT = "limit"
    CAPACITY = "capacity"
    BUDGET = "budget"


GROUNDS = {
    rule: Ground(str(rule), sentence)
    for rule, sentence in {
        Rule.NOT_ENROLLED: "The merchant is not enrolled with this lender",
        Rule.CLOSED: "The merchant has closed or was excluded",
        Rule.OTHER_CURRENCY: "Merchant, policy and application do not share one currency",
        Rule.SUPPLIER_NOT_NAMED: "The supplier is not among those the policy names",
        Rule.TERM_TOO_LONG: "The term is longer than the policy's longest",
        Rule.AMOUNT_TOO_SMALL: "The amount is below the policy's smallest",
        Rule.TOO_LATE: "The application has waited longer than the policy answers within: a person"
        " decides",
        Rule.CIRCUIT_BREAKER: "Approvals have left the ordinary: a person decides for now",
        Rule.HIGH_PD: "The probability of default is one at which a person decides",
        Rule.DEBT_IN_OTHER_CURRENCY: "The merchant owes or has reserved in a currency that cannot"
        " be added up: a person decides",
        Rule.WITHIN_LIMITS: "Limit, capacity and budget have room for the amount",
        Rule.OVER_LIMIT: "Debt and reservations are above the limit",
        Rule.LIMIT: "The limit with this lender has no room for the amount",
        Rule.CAPACITY: "What all lenders together may lend has no room for the amount",
        Rule.BUDGET: "The lender's budget has no room for the amount",
    }.items()
}
"""Code and sentence of each rule."""

AFTER_THE_BREAKER = frozenset(list(Rule)[list(Rule).index(Rule.CIRCUIT_BREAKER) + 1 :])
"""Rules whose answers the circuit breaker counts."""


class Figures(NamedTuple):
    """What is lent and reserved, and what is left, in minor units of the policy's currency."""

    drawn: int
    """Debt with this lender for this product."""
    reserved: int
    """Reserved with this lender for this product."""
    left_of_limit: int
    """Negative when debt and reservations are above the limit."""
    left_of_capacity: int
    """Over all lenders; negative when above."""
    left_of_budget: int | None
    """Of this partition's share; None without a budget, negative after it was cut."""
    elsewhere: bool = False
    """Whether something is owed or reserved in another currency."""

    @property
    def available(self) -> int:
        """What limit and capacity leave, never below 0."""
        return max(0, min(self.left_of_limit, self.left_of_capacity))

    @property
    def over_limit(self) -> int:
        """By how much debt and reservations are above the limit, never below 0."""
        return max(0, -self.left_of_limit)

    @property
    def lendable(self) -> int:
        """What limit, capacity and budget leave, never below 0."""
        if self.left_of_budget is None:
            return self.available
        return max(0, min(self.available, self.left_of_budget))

    def lacks_of_budget(self, amount: int) -> int:
        """Return how much more budget would approve what limit and capacity have room for."""
        if self.left_of_budget is None:
            return 0
        return max(0, min(amount, self.available) - self.left_of_budget)


class Ruling(NamedTuple):
    """The answer of the rules."""

    outcome: Outcome
    amount: int
    """Approved or offered, minor units; 0 otherwise."""
    rule: Rule
    """What decided; of an offer, what binds."""


def judge(
    application: Application,
    standing: Standing,
    terms: Terms,
    figures: Figures,
    *,
    waited_ms: int,
    tripped: bool,
) -> Ruling:
    """Return the answer to an application.

    Args:
        application: what is asked.
        standing: what is known of the merchant.
        terms: of the lender's policy.
        figures: what is lent, reserved and left.
        waited_ms: how long the application has waited for its answer, as far as the log says.
        tripped: whether the circuit breaker is open.
    """
    if (rule := _refusal(application, standing, terms)) is not None:
        # What no delay changes: nobody has to look at it.
        return Ruling(Outcome.DECLINE, 0, rule)
    if terms.answer_within_ms is not None and waited_ms > terms.answer_within_ms:
        return Ruling(Outcome.REFER, 0, Rule.TOO_LATE)
    if tripped:
        return Ruling(Outcome.REFER, 0, Rule.CIRCUIT_BREAKER)
    if terms.refer_from_pd is not None and standing.probability_of_default >= terms.refer_from_pd:
        return Ruling(Outcome.REFER, 0, Rule.HIGH_PD)
    if figures.elsewhere:
        return Ruling(Outcome.REFER, 0, Rule.DEBT_IN_OTHER_CURRENCY)
    lendable = figures.lendable
    if application.amount <= lendable:
        return Ruling(Outcome.APPROVE, application.amount, Rule.WITHIN_LIMITS)
    offer = lendable // terms.step * terms.step
    if offer >= terms.smallest_amount:
        return Ruling(Outcome.COUNTER_OFFER, offer, binding(figures))
    return Ruling(Outcome.DECLINE, 0, binding(figures))


def binding(figures: Figures) -> Rule:
    """Return which of limit, capacity and budget leaves least; of equals the first."""
    if figures.left_of_limit < 0:
        return Rule.OVER_LIMIT
    least = min(figures.left_of_limit, figures.left_of_capacity)
    if figures.left_of_budget is not None and figures.left_of_budget < max(0, least):
        return Rule.BUDGET
    return Rule.LIMIT if figures.left_of_limit == least else Rule.CAPACITY


def _refusal(application: Application, standing: Standing, terms: Terms) -> Rule | None:
    if not standing.enrolled:
        return Rule.NOT_ENROLLED
    if standing.closed:
        return Rule.CLOSED
    if not application.currency == terms.currency == standing.currency:
        return Rule.OTHER_CURRENCY
    if application.product is Product.TRADE_CREDIT and (
        application.supplier_id is None or application.supplier_id not in terms.suppliers
    ):
        return Rule.SUPPLIER_NOT_NAMED
    if (application.term_days or 0) > terms.longest_term_days:
        return Rule.TERM_TOO_LONG
    if application.amount < terms.smallest_amount:
        return Rule.AMOUNT_TOO_SMALL
    return None
