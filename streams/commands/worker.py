"""`duoshou worker`: turns payments into limits until it is stopped."""

from typing import Annotated

import typer

from streams.commands.options import (
    AddressFile,
    BootstrapServers,
    Config,
    LogLevel,
    MetricsPort,
    command_app,
    settings_for,
)

app = command_app("Turn payments into limits, until SIGINT or SIGTERM. Start one for each core.")


@app.command()
def worker(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    metrics_port: MetricsPort = None,
    standby_replicas: Annotated[
        int | None, typer.Option(help="Workers that keep a copy of each partition's rows.")
    ] = None,
    ticks: Annotated[
        bool | None, typer.Option(help="Whether this worker lets time pass for quiet merchants.")
    ] = None,
    log_level: LogLevel = None,
    address_file: AddressFile = None,
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
