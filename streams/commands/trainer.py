"""`duoshou trainer`: learns from loans that have ended until it is stopped."""

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

app = command_app("Learn from loans that have ended, and publish models, until stopped.")


@app.command()
def trainer(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = None,
    address_file: AddressFile = None,
) -> None:
    """Learn from loans that have ended, until SIGINT or SIGTERM. A second one stands by."""
    settings = settings_for(
        context, config, bootstrap_servers, metrics_port=metrics_port, log_level=log_level
    )
    from streams.trainer.run import run_trainer

    run_trainer(settings, address_file)
