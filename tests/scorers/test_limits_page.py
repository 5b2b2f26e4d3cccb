"""The figures of docs/limits.md hold."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from scorers.document import BEGIN, renewed
from scorers.hold_out import SALT
from scorers.limits import args_of, decide, wanted
from scorers.policy import BUILT_IN, LARGEST_HOLD_OUT
from tests.scorers.merchants import STEADY_STALL, YUAN, vector_of

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
ARGS = args_of(BUILT_IN)
HOUR = 3_600_000


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the table whose header begins with a word."""
    lines = PAGE.partition(BEGIN)[0].splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def number(cell: str) -> float:
    return math.nan if cell == "absent" else float(cell.replace(",", ""))


def fen(cell: str) -> int:
    return round(number(cell) * YUAN)


@pytest.mark.parametrize("row", rows_of("merchant"), ids=lambda row: row[0])
def test_what_the_figures_give_is_what_the_page_says(row: list[str]) -> None:
    _, net, tenure, days, payers, share, volatility, pd, gives = row
    features = STEADY_STALL | {
        "net_28": fen(net),
        "tenure_days": number(tenure),
        "active_days_28": number(days),
        "payers_28": number(payers),
        "largest_payer_share": number(share),
        "volatility_28": number(volatility),
    }
    assert wanted(vector_of(features), float(pd), 0, 0, ARGS) == fen(gives)


@pytest.mark.parametrize("row", rows_of("in force"), ids=" ".join)
def test_what_becomes_of_the_limit_is_what_the_page_says(row: list[str]) -> None:
    limit, version, whole, hours, new, waits = row
    decided = decide(fen(whole), fen(limit), int(version), 0, int(hours) * HOUR, ARGS)
    assert decided == (fen(new), waits == "yes")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("The **advance rate** is {}", BUILT_IN.advance_rate),
        ("just below the cut-off of {:.2f}", BUILT_IN.pd_cut_off),
        ("from 1 at a PD of 0 to {}", BUILT_IN.pd_floor),
        ("The **starter amount** of {:.0f}", BUILT_IN.starter_amount / YUAN),
        ("has {} payments", BUILT_IN.starter_payments),
        ("from {} payers", BUILT_IN.starter_payers),
        ("on {}\n  days", BUILT_IN.starter_days),
        ("The **cap** is {:,.0f}", BUILT_IN.cap / YUAN),
        ("whole **steps** of {:.0f}", BUILT_IN.step / YUAN),
        ("more than {:.0%} of the limit", BUILT_IN.dead_band),
        ("the raise step of {:,.0f}", BUILT_IN.raise_step / YUAN),
        ("and {:.0f} hours of event time", BUILT_IN.cool_down_ms / HOUR),
        ("a PD {:.0%} below", BUILT_IN.pd_band),
        ("the limit of {:.0%} of the merchants", BUILT_IN.hold_out_share),
        ("which is at most {:.0%}", LARGEST_HOLD_OUT),
        ("salted with `{:#x}`", int(SALT)),
    ],
)
def test_the_words_of_the_page_name_the_built_in_policy(words: str, value: float) -> None:
    assert words.format(value).replace("%", " %") in PAGE


def test_the_tables_of_the_page_are_up_to_date() -> None:
    assert renewed(PAGE) == PAGE, "run python -m scorers.document docs/limits.md"


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the page has no part between"):
        renewed("nothing here")
