"""What the demo shows while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.contract.messages import LimitUpdate
    from streams.demo.session import Progress

ROWS = 14


def yuan(fen: int) -> str:
    """Write an amount of fen in yuan.

    >>> yuan(1234500)
    '12,345.00'
    """
    return f"{fen / 100:,.2f}"


def _moves(latest: list[LimitUpdate], characters: Mapping[str, str]) -> Table:
    table = Table(expand=True, box=None, header_style="bold")
    for name in ("merchant", "character"):
        table.add_column(name, no_wrap=True)
    for name in ("from", "to", "PD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("strongest reason")
    for update in latest[:ROWS]:
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


def render(progress: Progress, latest: list[LimitUpdate], characters: Mapping[str, str]) -> Group:
    """Return the picture of a moment."""
    facts = Table.grid(expand=True, padding=(0, 2))
    for _ in range(6):
        facts.add_column(justify="center")
    facts.add_row(
        f"[bold]{progress.payments:,}[/] payments",
        f"[bold]{progress.rate:,.0f}[/] per second",
        f"[bold]{progress.lag:,}[/] waiting",
        f"day [bold]{progress.days:.1f}[/]",
        f"[bold]{progress.updates:,}[/] limits moved",
        f"[bold]{progress.p99_ms:.0f} ms[/] p99" if progress.p99_ms else progress.stage,
    )
    return Group(
        Panel(facts, title="多收 Duoshou: collect more, borrow more (synthetic merchants)"),
        _moves(latest, characters),
    )
