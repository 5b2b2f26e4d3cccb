"""`duoshou dead-letters list|show|resend`: records that were refused."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.brokers.dead_letters import DeadLetter, read_dead_letters, resend
from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.errors import OperatorError

app = command_app("List, show and resend records that could not be applied.")

OnlyReason = Annotated[
    str | None, typer.Option("--reason", metavar="CODE", help="Only those refused for this.")
]


@app.command("list")
def list_command(
    context: typer.Context,
    reason: OnlyReason = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the newest.")] = 50,
    as_json: AsJson = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List dead letters and count them by reason."""
    letters = _of_reason(
        read_dead_letters(settings_for(context, config, bootstrap_servers)), reason
    )
    newest = sorted(letters, key=lambda letter: int(letter.why.timestamp))[-limit:]
    console = Console()
    if as_json:
        console.print_json(data=[_as_data(letter) for letter in newest])
        return
    table = Table("letter", "written", "reason", "key", "what was wrong", "state")
    for letter in newest:
        table.add_row(
            letter.address,
            _when(letter),
            letter.why.reason,
            Text(_shown(letter.key)),
            Text(letter.why.message),
            "resent" if letter.resent else "",
        )
    console.print(table)
    counts = Counter(letter.why.reason for letter in letters)
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    console.print(f"{len(letters)} dead letters{': ' if told else ''}{told}.")


@app.command("show")
def show_command(
    context: typer.Context,
    letter: Annotated[
        str, typer.Argument(metavar="LETTER", help="As `list` names it, for example 2:17.")
    ],
    as_json: AsJson = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Show one dead letter with all that it carried."""
    settings = settings_for(context, config, bootstrap_servers)
    found = _named(read_dead_letters(settings), [letter])[0]
    console = Console()
    if as_json:
        console.print_json(data=_as_data(found))
        return
    table = Table.grid(padding=(0, 2))
    rows = {
        "reason": found.why.reason,
        "what was wrong": found.why.message,
        "came from": f"{found.why.topic}, partition {found.why.partition}, "
        f"offset {found.why.offset}",
        "written": _when(found),
        "resent": "yes" if found.resent else "no",
        "key": _shown(found.key),
        **{f"header {name}": _shown(value) for name, value in found.headers},
        "value": _shown(found.value),
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print(table)


@app.command("resend")
def resend_command(
    context: typer.Context,
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[LETTER]...", help="As `list` names them.")
    ] = None,
    reason: OnlyReason = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that were not resent yet.")
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Send dead letters back to the topic they came from, each once, as they were."""
    if not letters and not reason and not everything:
        raise OperatorError("Say which to resend: LETTER..., --reason CODE or --all.")
    settings = settings_for(context, config, bootstrap_servers)
    known = _of_reason(read_dead_letters(settings), reason)
    chosen = _named(known, letters) if letters else known
    records = [letter for letter in chosen if letter.is_a_record]
    waiting = [letter for letter in records if not letter.resent]
    sent = resend(settings, waiting)
    console = Console()
    console.print(f"Resent {sent}; {len(records) - len(waiting)} had been resent before.")
    if batches := len(chosen) - len(records):
        console.print(
            f"{batches} hold a whole record batch that nobody could open: its sender must send "
            "the payments anew."
        )


def _of_reason(letters: list[DeadLetter], reason: str | None) -> list[DeadLetter]:
    return [letter for letter in letters if reason in (None, letter.why.reason)]


def _named(letters: list[DeadLetter], addresses: list[str]) -> list[DeadLetter]:
    by_address = {letter.address: letter for letter in letters}
    if missing := [each for each in addresses if each not in by_address]:
        raise OperatorError(
            f"There is no dead letter {', '.join(missing)}: `duoshou dead-letters list` names them."
        )
    return [by_address[each] for each in dict.fromkeys(addresses)]


def _when(letter: DeadLetter) -> str:
    stamp = datetime.fromtimestamp(int(letter.why.timestamp) / 1000, UTC)
    return stamp.isoformat(timespec="milliseconds")


def _shown(raw: bytes | None) -> str:
    """Bytes for a person: their text where they are UTF-8, escaped where they are not."""
    if raw is None:
        return "(null)"
    text = raw.decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _as_data(letter: DeadLetter) -> dict[str, Any]:
    """For JSON: bytes as base64, and as text beside where they are text."""
    data: dict[str, Any] = msgspec.to_builtins(dataclasses.asdict(letter))
    data["why"] = msgspec.to_builtins(letter.why)
    data["text"] = _shown(letter.value)
    return data
