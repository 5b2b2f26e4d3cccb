"""`duoshou audit`: works a limit update or an answer out again from the log, and compares."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.errors import OperatorError

if TYPE_CHECKING:
    from streams.audit.received import Received
    from streams.audit.run import Audit
    from streams.settings import Settings

EXIT_CODES = {"same": 0, "different": 1, "not_known": 3}

app = command_app("Recompute a decision or a limit update from the log, and compare.")


@app.command()
def audit(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="A decision, limit update, fund answer or claim answer in JSON, as it was "
            "received; - for standard input.",
        ),
    ] = None,
    lender: Annotated[
        str | None, typer.Option(help="Without a file: whose newest message.")
    ] = None,
    merchant: Annotated[str | None, typer.Option(help="Without a file: about whom.")] = None,
    product: Annotated[str, typer.Option(help="Of the limit update.")] = "loan",
    application: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The decision on this application, not a limit update."),
    ] = None,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: Annotated[
        str | None, typer.Option(help="Prefix of the topics; the demo's is `demo.`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a decision or a limit update from the log, and compare it byte for byte.

    Exits with 0 if it is the same, with 1 if it is not, and with 3 if nothing can be said, as when
    the broker has deleted the beginning of the log. Run it under the workers' own settings.
    """
    settings = settings_for(context, config, bootstrap_servers, topic_prefix=topic_prefix)
    from streams.audit.received import received
    from streams.audit.run import audit as run_audit
    from streams.brokers.reachable import require_broker

    if (file is None) == (lender is None or merchant is None):
        raise OperatorError("Name a file (- for standard input), or --lender and --merchant.")
    said = None if file is None else received(_read(file))
    require_broker(settings)
    if said is None:
        said = received(_newest(settings, str(lender), str(merchant), product, application))
    outcome = run_audit(settings, said)
    if as_json:
        typer.echo(msgspec.json.encode(_plain(said, outcome)).decode())
    else:
        _print(Console(), said, outcome)
    raise typer.Exit(EXIT_CODES[outcome.verdict])


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.") from None


def _newest(
    settings: "Settings", lender: str, merchant: str, product: str, application: str | None
) -> bytes:
    from streams.audit.newest import newest_decision, newest_update

    if application is None:
        return newest_update(settings, lender, merchant, product)
    return newest_decision(settings, lender, merchant, application)


def _plain(said: "Received", outcome: "Audit") -> dict[str, object]:
    return {
        "verdict": outcome.verdict,
        "sentence": outcome.sentence,
        "kind": said.kind,
        "source_topic": said.message.source_topic,
        "source_partition": said.message.source_partition,
        "source_offset": said.message.source_offset,
        "records": outcome.records,
        "differences": [each._asdict() for each in outcome.differences],
        "recomputed": outcome.recomputed,
    }


def _print(console: Console, said: "Received", outcome: "Audit") -> None:
    name = said.name
    console.print(name[0].upper() + name[1:], markup=False, highlight=False, soft_wrap=True)
    console.print(outcome.sentence, markup=False, highlight=False, soft_wrap=True)
    if not outcome.differences:
        return
    table = Table("field", "as received", "recomputed")
    for each in outcome.differences:
        shown = ("absent" if text is None else text for text in (each.received, each.recomputed))
        table.add_row(*(Text(text) for text in (each.field, *shown)))
    console.print(table)
