"""Options that every command takes, and the settings they lead to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.settings import Settings

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings in TOML (also DUOSHOU_CONFIG).", dir_okay=False
    ),
]
BootstrapServers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        metavar="HOST:PORT,...",
        help="Brokers to ask first (also DUOSHOU_BOOTSTRAP_SERVERS).",
    ),
]
MetricsPort = Annotated[
    int | None, typer.Option(help="Port of /metrics, /livez and /readyz; 0 takes a free one.")
]
LogLevel = Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]
AddressFile = Annotated[
    Path | None, typer.Option(help="Write the address of the metrics page to this file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def command_app(text: str) -> typer.Typer:
    """The `app` of a command's module.

    Args:
        text: What `--help` says first.
    """
    # Typer's own traceback shows local variables, and with them secrets.
    return typer.Typer(
        help=text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )


@dataclass(frozen=True)
class Said:
    """What was said before the command's name: `duoshou --config F topics plan`."""

    config: Path | None = None
    bootstrap_servers: str | None = None


def settings_for(
    context: typer.Context,
    config: Path | None = None,
    bootstrap_servers: str | None = None,
    **chosen: object,
) -> "Settings":
    """The settings of a command: what it was told itself wins over what came before its name.

    Args:
        context: Of the command.
        config: The command's own `--config`.
        bootstrap_servers: The command's own `--bootstrap-servers`.
        chosen: Further settings by name; None means nothing was said.

    Raises:
        SettingsError: A setting is wrong.
    """
    from streams.settings import load_settings

    before = context.find_root().obj
    said = before if isinstance(before, Said) else Said()
    return load_settings(
        config or said.config,
        bootstrap_servers=bootstrap_servers or said.bootstrap_servers,
        **chosen,
    )
