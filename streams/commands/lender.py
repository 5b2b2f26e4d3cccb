"""`duoshou lender`: what one lender receives, kept by the rule of the highest version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for

if TYPE_CHECKING:
    from streams.contract.messages import LimitUpdate
    from streams.lender.book import LimitBook

app = command_app("Receive the limits of one lender, and say what changes.")


@app.command()
def lender(
    context: typer.Context,
    lender_id: Annotated[str, typer.Option("--id", metavar="LENDER", help="Whose limits.")],
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep here what is known and how far it was read, so that a second run goes on "
            "from there.",
            dir_okay=False,
        ),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at what is the end of the topic now.")
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Receive the limits of one lender, until SIGINT or SIGTERM.

    Reads the compacted topic from its beginning and keeps the highest version of each merchant
    and product: `docs/lenders.md`.
    """
    settings = settings_for(context, config, bootstrap_servers)
    from streams.lender.run import run_lender

    show = _show_json if as_json else _Lines(Console()).show
    book = run_lender(settings, lender_id, show, state, until_end)
    if as_json:
        _print_json({"summary": _summary(book)})
    else:
        counts = ", ".join(f"{count} {name}" for name, count in _summary(book)["taken"].items())
        typer.echo(f"{len(book)} limits known; records taken: {counts}.")


class _Lines:
    """A line for a person for each update."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, update: "LimitUpdate") -> None:
        from rich.markup import escape

        from streams.contract.currencies import MINOR_DIGITS, amount_text

        before, now = (
            amount_text(amount, update.currency)
            if update.currency in MINOR_DIGITS
            else f"{amount} minor units of {update.currency}"
            for amount in (update.previous_limit, update.limit)
        )
        colour = "green" if update.limit >= update.previous_limit else "red"
        reason = f": {update.reasons[0].text}" if update.reasons else ""
        self._console.print(
            f"{escape(update.merchant_id)} {escape(update.product)} version {update.version} "
            f"{before} -> [{colour}]{now}[/]{escape(reason)}",
            highlight=False,
            soft_wrap=True,
        )


def _show_json(update: "LimitUpdate") -> None:
    _print_json({"limit_update": update})


def _print_json(data: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(data).decode())


def _summary(book: "LimitBook") -> dict[str, Any]:
    from streams.lender.book import Taken

    return {
        "lender": book.lender,
        "limits": len(book),
        "taken": {str(taken): book.counts[taken] for taken in Taken},
    }
