"""`duoshou topics plan|apply|access`: the topic registry against the broker."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from streams.brokers.provision import (
    Action,
    Step,
    apply_topics,
    as_data,
    plan_topics,
    refused,
)
from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for

app = command_app(
    "Show (plan) and make (apply) the difference between the topic registry and the broker, and "
    "say who may write and read what (access)."
)

_STYLES = {Action.NOTHING: "dim", Action.KEEP: "dim", Action.REFUSE: "bold red"}


@app.command("plan")
def plan_command(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Show what `apply` would do. Exits with 1 if it would refuse."""
    steps = plan_topics(settings_for(context, config, bootstrap_servers))
    _show(steps, as_json)
    if refused(steps):
        raise typer.Exit(1)


@app.command("apply")
def apply_command(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Create what is missing, add partitions, set retention and compaction. Shrinks nothing."""
    _show(apply_topics(settings_for(context, config, bootstrap_servers)), as_json)


@app.command("access")
def access_command(
    context: typer.Context,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Make those that the broker lacks, and show only them."),
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Show the access lists that follow from the registry. Takes none away."""
    settings = settings_for(context, config, bootstrap_servers)
    from streams.brokers.access import apply_access, wanted_access
    from streams.brokers.access import as_data as entries_as_data

    entries = apply_access(settings) if apply else wanted_access(settings)
    console = Console()
    if as_json:
        console.print_json(data=entries_as_data(entries))
        return
    table = Table("principal", "may", "on", "named", "pattern")
    for entry in entries:
        table.add_row(entry.principal, entry.operation, entry.resource, entry.name, entry.pattern)
    console.print(table)
    if apply:
        console.print(f"Made {len(entries)} entries.")


def _show(steps: list[Step], as_json: bool) -> None:
    console = Console()
    if as_json:
        console.print_json(data=as_data(steps))
        return
    table = Table("topic", "action", "setting", "now", "wanted")
    for step in steps:
        table.add_row(
            step.topic,
            step.action,
            step.setting,
            step.now,
            step.wanted,
            style=_STYLES.get(step.action, "green"),
        )
    console.print(table)
