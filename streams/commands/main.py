"""`duoshou`: finds the command by its name, loads its module only then, and explains failures."""

import importlib
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from streams.commands.options import BootstrapServers, Config, Said, command_app
from streams.errors import OperatorError

INTERRUPTED = 130


@dataclass(frozen=True)
class Registered:
    """A command of the command line.

    Attributes:
        module: Module whose `app`, a `typer.Typer`, is the command.
        summary: Its line in `duoshou --help`.
    """

    module: str
    summary: str


COMMANDS: dict[str, Registered] = {
    "demo": Registered(
        "streams.commands.demo", "Show merchants, payments and moving limits, with nothing set up."
    ),
    "worker": Registered("streams.commands.worker", "Turn payments into limits, until stopped."),
    "trainer": Registered(
        "streams.commands.trainer", "Learn from loans that have ended, until stopped."
    ),
    "models": Registered(
        "streams.commands.models", "List and show models, promote a challenger, go back to one."
    ),
    "policies": Registered(
        "streams.commands.policies", "Validate, preview, publish, list and retire policies."
    ),
    "lender": Registered(
        "streams.commands.lender", "Receive the limits and answers of one lender."
    ),
    "audit": Registered(
        "streams.commands.audit", "Recompute a decision or a limit update from the log."
    ),
    "topics": Registered(
        "streams.commands.topics", "Show and make the difference between registry and broker."
    ),
    "replay": Registered("streams.commands.replay", "Send files of payment events to the broker."),
    "dead-letters": Registered(
        "streams.commands.dead_letters", "List, show and resend records that were refused."
    ),
    "explain": Registered(
        "streams.commands.explain", "Say what is remembered of a merchant and why its limit is so."
    ),
    "cost": Registered(
        "streams.commands.cost", "Say what decisions and merchants cost in machines."
    ),
    "backtest": Registered(
        "streams.commands.backtest", "Say what learning from recorded loans would have been worth."
    ),
    "bench": Registered("streams.commands.bench", "Measure throughput, latency and recovery."),
}


app = command_app(
    "Credit limits for merchants, kept up to date by every payment their code collects. "
    "Start with `duoshou demo`."
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"duoshou {version('duoshou')}")
        raise typer.Exit


@app.callback()
def _before_the_command(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    _version_asked: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    context.obj = Said(config, bootstrap_servers)


def _register(name: str, registered: Registered) -> None:
    """Add a command that hands everything behind its name to the `app` of its module."""

    @app.command(
        name,
        help=registered.summary,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def _run(context: typer.Context) -> None:
        module = importlib.import_module(registered.module)
        module.app(args=context.args, prog_name=f"duoshou {name}", obj=context.obj)


for _name, _registered in COMMANDS.items():
    _register(_name, _registered)


def run() -> None:
    """Entry point of the console script.

    A failure that the operator can mend is one sentence on standard error and exit code 1.
    """
    try:
        app()
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()
