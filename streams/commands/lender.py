"""`duoshou lender`: what one lender receives, kept by the rules of `docs/lenders.md`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for

if TYPE_CHECKING:
    from streams.contract.messages import LimitUpdate
    from streams.lender.answers import Answer
    from streams.lender.run import Books, Shown

app = command_app("Receive the limits and answers of one lender, and say what changes.")


@app.command()
def lender(
    context: typer.Context,
    lender_id: Annotated[
        str, typer.Option("--id", metavar="LENDER", help="Whose limits and answers.")
    ],
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
        bool, typer.Option("--until-end", help="Stop at what is the end of the topics now.")
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Receive the limits and answers of one lender, until SIGINT or SIGTERM.

    Reads its topics from their beginning and keeps the highest version of each merchant and
    product, and the first answer to each application, redemption and claim: `docs/lenders.md`.
    """
    settings = settings_for(context, config, bootstrap_servers)
    from streams.lender.run import run_lender

    shown: Shown = _JsonLines() if as_json else _Lines(Console())
    books = run_lender(settings, lender_id, shown, state, until_end)
    summary = _summary(books)
    if as_json:
        _print_json({"summary": summary})
        return
    for name, known, taken in (
        ("limits known", len(books.limits), summary["taken"]),
        ("applications answered", len(books.decisions), summary["decisions"]),
        ("redemptions answered", len(books.fund_answers), summary["fund_answers"]),
        ("claims answered", len(books.claim_answers), summary["claim_answers"]),
    ):
        counts = ", ".join(f"{count} {became}" for became, count in taken.items())
        typer.echo(f"{known} {name}; records taken: {counts}.")


class _Lines:
    """A line for a person for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def limit(self, update: "LimitUpdate") -> None:
        from rich.markup import escape

        before, now = (
            _money(amount, update.currency) for amount in (update.previous_limit, update.limit)
        )
        colour = "green" if update.limit >= update.previous_limit else "red"
        reason = f": {update.reasons[0].text}" if update.reasons else ""
        self._print(
            f"{escape(update.merchant_id)} {escape(update.product)} version {update.version} "
            f"{before} -> [{colour}]{now}[/]{escape(reason)}"
        )

    def answer(self, _kind: str, answer: "Answer") -> None:
        from rich.markup import escape

        self._print(escape(f"{answer.merchant_id} {_answer(answer)}"))

    def conflict(self, kind: str, answer: "Answer") -> None:
        from rich.markup import escape

        _complain(kind, answer)
        self._print(f"[bold red]ERROR[/] {escape(answer.merchant_id)} {escape(_answer(answer))}")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


class _JsonLines:
    """A line of JSON for each change."""

    def limit(self, update: "LimitUpdate") -> None:
        _print_json({"limit_update": update})

    def answer(self, kind: str, answer: "Answer") -> None:
        _print_json({kind: answer})

    def conflict(self, kind: str, answer: "Answer") -> None:
        _complain(kind, answer)
        _print_json({"conflict": {kind: answer}})


def _complain(kind: str, answer: "Answer") -> None:
    typer.echo(
        f"ERROR: a {kind} of {answer.merchant_id} says something else than the one before "
        f"({_answer(answer)}, source offset {answer.source_offset} of partition "
        f"{answer.source_partition}): the first one counts.",
        err=True,
    )


def _answer(answer: "Answer") -> str:
    from scorers.applications.messages import Decision
    from scorers.funds.events import FundAnswer

    if isinstance(answer, Decision):
        amount = _money(answer.amount, answer.currency)
        reason = f" ({answer.reasons[0].sentence})" if answer.reasons else ""
        return f"application {answer.application_id}: {answer.outcome} {amount}{reason}"
    if isinstance(answer, FundAnswer):
        name = f"redemption {answer.event_id}"
        parts = {"T+0": answer.t_plus_0, "T+1": answer.t_plus_1, "refused": answer.refused}
    else:
        name = f"claim {answer.claim_id}"
        parts = {"covered": answer.covered, "uncovered": answer.uncovered}
    amounts = (f"{part} {_money(amount, answer.currency)}" for part, amount in parts.items())
    return f"{name}: {', '.join(amounts)}"


def _money(amount: int, currency: str) -> str:
    from streams.contract.currencies import MINOR_DIGITS, amount_text

    known = currency in MINOR_DIGITS
    return amount_text(amount, currency) if known else f"{amount} minor units of {currency}"


def _print_json(data: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(data).decode())


def _summary(books: "Books") -> dict[str, Any]:
    from streams.lender.answers import Answered
    from streams.lender.book import Taken

    return {
        "lender": books.limits.lender,
        "limits": len(books.limits),
        "taken": {str(taken): books.limits.counts[taken] for taken in Taken},
        "decisions": {str(each): books.decisions.counts[each] for each in Answered},
        "fund_answers": {str(each): books.fund_answers.counts[each] for each in Answered},
        "claim_answers": {str(each): books.claim_answers.counts[each] for each in Answered},
    }
