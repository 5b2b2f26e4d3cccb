"""`duoshou cost`: what a decision, an application and a month of a merchant cost in machines."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for

if TYPE_CHECKING:
    from streams.cost.bill import Bill
    from streams.cost.usage import Usage
    from streams.settings import Settings

app = command_app("Say what decisions and merchants cost in machines.")

_LINES = {
    "decision": (1_000_000, "a million limits decided"),
    "application": (1, "an application answered"),
    "loan": (1, "a loan drawn"),
    "merchant_month": (1, "a month of a merchant"),
}
"""How many of each are on a line, and what that is called."""


@app.command()
def cost(
    context: typer.Context,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A metrics page; once for each worker and trainer. That of the settings if left "
            "out.",
        ),
    ] = None,
    over: Annotated[
        float,
        typer.Option(
            min=0, max=86_400, metavar="SECONDS",
            help="Look twice, so many seconds apart; 0 for the time since each one's start.",
        ),
    ] = 0.0,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Ask workers and broker what they use, and say what that costs by the prices of the settings.

    docs/cost.md has the formula, and what is not in it.
    """
    settings = settings_for(context, config, bootstrap_servers)
    from streams.brokers.log_sizes import log_sizes
    from streams.cost.bill import bill_of

    addresses = worker or [f"{settings.metrics_host}:{settings.metrics_port}"]
    usages = _used(list(dict.fromkeys(addresses)), over)
    stored = log_sizes(settings)
    bill = bill_of(usages, sum(stored.values()), settings.prices)
    if as_json:
        typer.echo(msgspec.json.encode(_as_data(bill, stored, settings)).decode())
    else:
        _print(Console(), bill, settings)


def _used(addresses: list[str], over: float) -> "list[Usage]":
    from streams.cost.usage import ask, since

    before = [ask(address) for address in addresses]
    if not over:
        return [reading.usage for reading in before]
    time.sleep(over)
    return since(before, [ask(address) for address in addresses])


def _amount(value: float) -> str:
    """Print four places, and of what they would not show its first digits."""
    return f"{value:,.4f}" if value >= 0.001 or not value else f"{value:.2g}"


def _each(bill: "Bill") -> dict[str, float | None]:
    return {
        "decision": bill.of_a_decision,
        "application": bill.of_an_application,
        "loan": bill.of_a_loan,
        "merchant_month": bill.of_a_merchant_month,
    }


def _as_data(bill: "Bill", stored: dict[str, int], settings: "Settings") -> dict[str, Any]:
    from streams.cost.bill import YARDSTICK

    return {
        "currency": settings.prices.currency,
        "prices": settings.prices.by_what(),
        "seconds": bill.seconds,
        "parts": {part.name: {"cost": part.cost, "monthly": part.monthly} for part in bill.parts},
        "total": bill.total,
        "monthly": bill.monthly,
        "merchants": bill.merchants,
        "decisions": bill.decisions,
        "applications": bill.applications,
        "loans": bill.loans,
        "stored_bytes": stored,
        "cost_of": _each(bill),
        "yardstick": {"cost": YARDSTICK, "currency": "yuan", "of": "loan"},
    }


def _print(console: Console, bill: "Bill", settings: "Settings") -> None:
    from streams.cost.bill import YARDSTICK

    currency = settings.prices.currency
    console.print(
        f"{bill.seconds:,.0f} s: {bill.decisions:,.0f} limits decided, {bill.applications:,.0f} "
        f"applications answered, {bill.loans:,.0f} loans drawn; {bill.merchants:,.0f} merchants"
    )
    parts = Table("part", f"{currency} in that time", f"{currency} a month like that")
    for name, spent, monthly in (*bill.parts, ("all", bill.total, bill.monthly)):
        parts.add_row(name, f"{spent:,.6f}", f"{monthly:,.2f}")
    console.print(parts)
    each = Table("all of it over", currency)
    for name, value in _each(bill).items():
        times, words = _LINES[name]
        each.add_row(words, "none yet" if value is None else _amount(value * times))
    console.print(each)
    console.print(
        f"The yardstick is {YARDSTICK:g} yuan of computing a loan. Disks grow until logs are as "
        "old as they are kept. Not in it: the broker's processors and memory, the network "
        "between others, people (docs/cost.md)."
    )
