"""What the demo shows while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from scorers.applications.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scorers.applications.messages import Decision
    from streams.contract.messages import LimitUpdate
    from streams.demo.session import Progress

MOVES = 8
"""Limits that are shown."""
ANSWERS = 6
"""Decisions that are shown: with the limits they fit a terminal of 24 lines."""

STYLES = {
    Outcome.APPROVE: "green",
    Outcome.COUNTER_OFFER: "yellow",
    Outcome.REFER: "cyan",
    Outcome.DECLINE: "red",
}


def yuan(fen: int) -> str:
    """Write an amount of fen in yuan.

    >>> yuan(1234500)
    '12,345.00'
    """
    return f"{fen / 100:,.2f}"


def whole_yuan(fen: int) -> str:
    """Write an amount of fen that is a multiple of a yuan.

    >>> whole_yuan(1234500)
    '12,345'
    """
    return f"{fen // 100:,}"


def _moves(latest: Sequence[LimitUpdate], characters: Mapping[str, str]) -> Table:
    table = Table(expand=True, box=None, header_style="bold")
    for name in ("merchant", "character"):
        table.add_column(name, no_wrap=True)
    for name in ("from", "to", "PD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("strongest reason", no_wrap=True, ratio=1)
    for update in latest[:MOVES]:
        up = update.limit > update.previous_limit
        reason = update.reasons[0].text if update.reasons else ""
        table.add_row(
            update.merchant_id,
            characters.get(update.merchant_id, ""),
            yuan(update.previous_limit),
            Text(("▲ " if up else "▼ ") + yuan(update.limit), style="green" if up else "red"),
            f"{update.probability_of_default:.1%}",
            reason,
        )
    return table


def _answers(latest: Sequence[Decision]) -> Table:
    table = Table(expand=True, box=None, header_style="bold")
    for name in ("merchant", "lender"):
        table.add_column(name, no_wrap=True)
    for name in ("has left", "asks for"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    table.add_column("gets", justify="right", no_wrap=True)
    table.add_column("reason", no_wrap=True, ratio=1)
    for decision in latest[:ANSWERS]:
        answer = str(decision.outcome).replace("_", " ")
        table.add_row(
            decision.merchant_id,
            decision.lender_id,
            whole_yuan(decision.available),
            whole_yuan(decision.asked),
            Text(answer, style=STYLES[decision.outcome]),
            whole_yuan(decision.amount) if decision.amount else "",
            decision.reasons[0].code.replace("_", " "),
        )
    return table


def render(progress: Progress, characters: Mapping[str, str]) -> Group:
    """Return the picture of a moment.

    Args:
        progress: how far the demo has come, and what is newest.
        characters: how each merchant's business goes.
    """
    facts = Table.grid(expand=True, padding=(0, 1))
    for _ in range(5):
        facts.add_column(justify="center", no_wrap=True)
    facts.add_row(
        f"[bold]{progress.payments:,}[/] payments",
        f"[bold]{progress.rate:,.0f}[/] per second",
        f"day [bold]{progress.days:.1f}[/]",
        f"[bold]{progress.updates:,}[/] limits moved",
        f"[bold]{progress.p99_ms:.0f} ms[/] p99" if progress.p99_ms else progress.stage,
    )
    facts.add_row(
        f"[bold]{progress.lag:,}[/] waiting",
        f"[bold]{progress.decisions:,}[/] decisions",
        f"[bold]{progress.approved:,}[/] approved",
        f"[bold]{yuan(progress.owed)}[/] owed",
        f"[bold]{progress.defaulted:,}[/] defaulted",
    )
    return Group(
        Panel(facts, title="多收 Duoshou: collect more, borrow more (synthetic merchants)"),
        _moves(progress.moves, characters),
        Rule("applications for loans", style="dim"),
        _answers(progress.answers),
    )
