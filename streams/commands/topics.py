"""`duoshou topics plan|apply`: the topic registry against the broker."""

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
    "Show (plan) and make (apply) the difference between the topic registry and the broker."
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
