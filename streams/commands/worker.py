"""`duoshou worker`: turns payments into limits until it is stopped."""

from pathlib import Path
from typing import Annotated

import typer

from streams.commands.options import BootstrapServers, Config, command_app, settings_for

app = command_app("Turn payments into limits, until SIGINT or SIGTERM. Start one for each core.")


@app.command()
def worker(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics, /livez and /readyz; 0 takes a free one.")
    ] = None,
    standby_replicas: Annotated[
        int | None, typer.Option(help="Workers that keep a copy of each partition's rows.")
    ] = None,
    ticks: Annotated[
        bool | None, typer.Option(help="Whether this worker lets time pass for quiet merchants.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
    address_file: Annotated[
        Path | None, typer.Option(help="Write the address of the metrics page to this file.")
    ] = None,
) -> None:
    """Turn payments into limits, until SIGINT or SIGTERM. Start one for each core."""
    settings = settings_for(
        context,
        config,
        bootstrap_servers,
        metrics_port=metrics_port,
        standby_replicas=standby_replicas,
        ticks=ticks,
        log_level=log_level,
    )
    from streams.worker.run import run_worker

    run_worker(settings, address_file)
