"""The figures of docs/decisions.md hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from scorers.applications.budgets import WANT_AGAIN_MS, base_share
from scorers.applications.messages import Outcome, interest
from scorers.applications.rules import Rule
from scorers.applications.terms import REMEMBERED_MS, SLICES, Band, Terms
from tests.scorers.applying import ASKED, DAY, STANDING, TERMS, YUAN, Told

PAGE = (Path(__file__).parents[2] / "docs" / "decisions.md").read_text("utf-8")
HERE = replace(TERMS, smallest_amount=500 * YUAN, step=100 * YUAN)


def rows_of(header: str) -> list[list[str]]:
    """Return the cells of the table whose header begins with these words."""
    lines = PAGE.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def fen(cell: str) -> int:
    return round(float(cell.replace(",", "")) * YUAN)


def test_the_page_has_every_rule_in_its_order() -> None:
    assert [row[0] for row in rows_of("rule")] == [str(rule) for rule in Rule]


@pytest.mark.parametrize("row", rows_of("rule"), ids=lambda row: row[0])
def test_the_page_gives_each_rule_an_answer_that_there_is(row: list[str]) -> None:
    assert set(row[1].split(" or ")) <= {str(outcome) for outcome in Outcome}


@pytest.mark.parametrize("row", rows_of("case"), ids=lambda row: row[0])
def test_a_case_is_answered_as_the_page_says(row: list[str]) -> None:
    _, limit, capacity, here, elsewhere, left, asks, answer, amount, reason, available, over = row
    told, terms = Told(), HERE
    if fen(here):
        told.draw(fen(here))
    if fen(elsewhere):
        told.draw(fen(elsewhere), "l2", lender_id="other")
    if left != "none":
        used = 5_000 * YUAN
        told.draw(used, "l3", merchant_id="other")
        terms = replace(HERE, budget=used + fen(left) + fen(here))
    standing = replace(STANDING, limit=fen(limit), capacity=fen(capacity))
    decision = told.ask(ASKED, standing, terms, amount=fen(asks))
    assert (decision.outcome, decision.amount) == (answer, fen(amount))
    assert decision.reasons[0].code == reason
    assert (decision.available, decision.over_limit) == (fen(available), fen(over))


ELSE: dict[str, dict[str, Any]] = {
    "all has room": {},
    "the limit has no room": {"limit": 0},
    "the merchant has closed": {"closed": True},
}
"""What is known of the merchant, by the words of the page."""


@pytest.mark.parametrize("row", rows_of("waited, ms"), ids=" ".join)
def test_an_application_that_has_waited_is_answered_as_the_page_says(row: list[str]) -> None:
    waited, within, otherwise, answer, reason = row
    told = Told()
    bound = None if within == "null" else int(within.replace(",", ""))
    terms, standing = replace(TERMS, answer_within_ms=bound), STANDING
    if otherwise == "the breaker is open":
        terms = replace(terms, band=Band(least_answers=1, largest_sum=0))
        assert told.judge(ASKED, STANDING, terms, application_id="opens").opened
    else:
        standing = replace(STANDING, **ELSE[otherwise])
    waited_ms = int(waited.replace(",", ""))
    decision = told.ask(ASKED, standing, terms, waited_ms=waited_ms)
    assert (decision.outcome, decision.reasons[0].code) == (answer, reason)
    assert (decision.amount > 0) == (answer == "approve")


def test_a_policy_answers_within_what_the_page_says_unless_it_says_otherwise() -> None:
    assert f"`answer_within_ms` ({TERMS.answer_within_ms:,} unless it says\notherwise" in PAGE


@pytest.mark.parametrize("row", rows_of("amount"), ids=" ".join)
def test_interest_is_what_the_page_says(row: list[str]) -> None:
    amount, rate, days, expected = row
    assert interest(fen(amount), int(rate.replace(",", "")), int(days)) == fen(expected)


@pytest.mark.parametrize("row", rows_of("budget | partitions | shares"), ids=lambda row: row[0])
def test_shares_are_what_the_page_says(row: list[str]) -> None:
    budget, partitions, shares = row
    count = int(partitions)
    assert [base_share(fen(budget), n, count) for n in range(count)] == [
        fen(share) for share in shares.split(", ")
    ]


def lend(told: Told, amount: int, terms: Terms) -> None:
    if amount:
        told.approved(ASKED, STANDING, terms, amount=amount, merchant_id="before")


@pytest.mark.parametrize(
    "row", rows_of("budget | partitions | used by the giver | used by the asker"), ids=" ".join
)
def test_budget_is_lent_as_the_page_says(row: list[str]) -> None:
    budget, partitions, giving, asking, *rest = row
    asks, answered, wants, gets, room = (fen(cell) for cell in rest)
    terms = replace(TERMS, budget=fen(budget), smallest_amount=1, step=1)
    asker, giver = (Told(n, int(partitions)) for n in range(2))
    lend(giver, fen(giving), terms)
    lend(asker, fen(asking), terms)
    verdict = asker.judge(ASKED, STANDING, terms, amount=asks)
    assert verdict.decision is not None
    assert verdict.decision.amount == answered
    assert verdict.wanted is not None
    assert verdict.wanted.amount == wants
    gift = giver.give(verdict.wanted, terms)
    assert (gift.amount if gift else 0) == gets
    if gift is not None:
        asker.take(gift)
    again = asker.ask(ASKED, STANDING, terms, amount=asks, application_id="again")
    assert again.amount == room


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("remembered for {:.0f} days", REMEMBERED_MS / DAY),
        ("after {:.0f} seconds of event time", WANT_AGAIN_MS / 1_000),
        ("moves on in {} slices", SLICES),
        ("and the {} before", SLICES - 1),
    ],
)
def test_the_words_of_the_page_name_the_constants(words: str, value: float) -> None:
    assert words.format(value) in PAGE
