"""`duoshou trainer`: learns from loans that have ended until it is stopped."""

from pathlib import Path
from typing import Annotated

import typer

from streams.commands.options import BootstrapServers, Config, command_app, settings_for

app = command_app("Learn from loans that have ended, and publish models, until stopped.")


@app.command()
def trainer(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics, /livez and /readyz; 0 takes a free one.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
    address_file: Annotated[
        Path | None, typer.Option(help="Write the address of the metrics page to this file.")
    ] = None,
) -> None:
    """Learn from loans that have ended, until SIGINT or SIGTERM. A second one stands by."""
    settings = settings_for(
        context, config, bootstrap_servers, metrics_port=metrics_port, log_level=log_level
    )
    from streams.trainer.run import run_trainer

    run_trainer(settings, address_file)
