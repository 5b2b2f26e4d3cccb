"""The figures of docs/cost.md hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cost.bill import GB, HOUR_S, MONTH_S, YARDSTICK, Bill, bill_of
from streams.cost.usage import Usage
from streams.settings import Prices

PAGE = (Path(__file__).parents[3] / "docs" / "cost.md").read_text("utf-8")


def rows_of(*headings: str) -> list[list[str]]:
    """Return the cells of the table whose header begins with these words."""
    lines = PAGE.splitlines()
    head = "| " + " | ".join(headings) + " |"
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")])
    return rows


def used() -> dict[str, tuple[list[Usage], float]]:
    """What each case of the page uses, and its bytes on disks."""
    cases = {}
    for name, *cells in rows_of("case", "processes"):
        figures = [float(cell.replace(",", "")) for cell in cells]
        count, seconds, cpu, memory, disks, written, *done = figures
        decisions, applications, loans, merchants = (each / count for each in done)
        usage = Usage(seconds, cpu, memory * GB, written * GB, merchants, decisions, applications,
                      loans)  # fmt: skip
        cases[name] = ([usage] * int(count), disks * GB)
    return cases


def cells(bill: Bill) -> list[str]:
    def amount(value: float | None, times: int = 1) -> str:
        return "none yet" if value is None else f"{value * times:.4f}"

    return [
        *(amount(part.cost) for part in bill.parts),
        amount(bill.total),
        f"{bill.monthly:.2f}",
        amount(bill.of_a_decision, 1_000_000),
        amount(bill.of_an_application),
        amount(bill.of_a_loan),
        amount(bill.of_a_merchant_month),
    ]


def test_the_worked_figures_are_what_the_formula_gives() -> None:
    cases, said = used(), rows_of("case", "cpu")
    assert len(said) == len(cases) == 2
    assert said == [[name, *cells(bill_of(*cases[name], Prices()))] for name, *_ in said]


def test_the_price_of_writing_is_worked_too() -> None:
    usages, stored = used()["one busy worker, an hour"]
    bill = bill_of(usages, stored, Prices(written_gb=0.25))
    assert f"`written_gb` at 0.25 the first one writes for {bill.parts[3].cost:.2f} yuan" in PAGE


def test_the_prices_of_the_page_are_the_defaults() -> None:
    said = {name.strip("`"): float(price) for name, price, _ in rows_of("setting", "default, yuan")}
    assert said == Prices().by_what()
    assert Prices().currency == "yuan"


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("730 hours, which is {:,.0f} seconds", MONTH_S),
        ("CPU seconds / {:,.0f} x `cpu_hour`", HOUR_S),
        ("yardstick of {:g} yuan of computing a loan", YARDSTICK),
    ],
)
def test_the_words_of_the_page_are_those_of_the_formula(words: str, value: float) -> None:
    assert words.format(value) in PAGE
