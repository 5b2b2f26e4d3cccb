"""The figures of docs/funds.md hold."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from scorers.funds.events import REASONS, FundAnswer
from scorers.funds.investor import DAYS_OF_ALLOWANCE, DAYS_OF_EVENTS, MOST_EVENTS, MOST_HOLDINGS
from scorers.funds.terms import LARGEST_DAILY_T0, PRODUCT, FundTerms
from tests.scorers.investors import TERMS, Told, asked, at, swept

PAGE = (Path(__file__).parents[2] / "docs" / "funds.md").read_text("utf-8")


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the table whose header begins with a word."""
    lines = PAGE.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")])
    return rows


def fen(cell: str) -> int:
    amount = Decimal(cell.replace(",", "")) * 100
    assert amount == int(amount)
    return int(amount)


def cells(answer: FundAnswer) -> list[str]:
    amounts = (
        answer.t_plus_0,
        answer.t_plus_1,
        answer.refused,
        answer.remaining_t_plus_0,
        answer.holding,
    )
    return [
        *(f"{Decimal(amount) / 100:,.2f}" for amount in amounts),
        " ".join(reason.code for reason in answer.reasons),
    ]


def ask(told: Told, name: str, row: list[str]) -> list[str]:
    occurred, fund, amount, provider = row[:4]
    lender, fund = fund.split()
    answer = told.answer(
        asked(
            fen(amount),
            name,
            lender_id=lender,
            fund_id=fund,
            occurred_at=at(f"2026-03-{occurred}"),
            advance_provider=provider or None,
        )
    )
    return [*row[:4], *cells(answer)]


def test_the_worked_figures_are_what_the_requests_are_answered() -> None:
    told = Told()
    morning = at("2026-03-02 08:00")
    told.tell(swept(fen("30,000.00"), "s1", occurred_at=morning))
    told.tell(
        swept(fen("500.00"), "s2", lender_id="hui", fund_id="cash", occurred_at=morning),
    )
    said = rows_of("occurred")
    assert [ask(told, f"r{n}", row) for n, row in enumerate(said)] == said
    told.tell(swept(fen("1,000.00"), "s3", occurred_at=at("2026-03-03 13:00")))
    late = rows_of("late")
    assert [ask(told, f"late{n}", row) for n, row in enumerate(late)] == late
    assert len(said) + len(late) == 17


def test_the_page_has_every_reason_with_its_sentence() -> None:
    assert {code.strip("`"): text for code, text in rows_of("code")} == REASONS


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("at most {:,.2f} T+0", LARGEST_DAILY_T0 / 100),
        ("of product `{}`", PRODUCT),
        ("kept of {} days", DAYS_OF_ALLOWANCE),
        ("events and the {} before it", DAYS_OF_ALLOWANCE - 1),
        ("Ids are kept of {} local days", DAYS_OF_EVENTS),
        ("the newest and the {} before it", DAYS_OF_EVENTS - 1),
        ("at most {:,} events", MOST_EVENTS),
        ("and {} funds are held", MOST_HOLDINGS),
        ("one in another currency\n  than the policy's, which is {}", TERMS.currency),
    ],
)
def test_the_words_of_the_page_are_those_of_the_rule(words: str, value: object) -> None:
    assert words.format(value) in PAGE


def test_the_terms_of_the_page_may_be_published() -> None:
    assert TERMS.qualified_banks == ("icbc", "ccb")
    assert TERMS.daily_t0_limit == FundTerms(qualified_banks=("icbc",)).daily_t0_limit
    TERMS.check()
