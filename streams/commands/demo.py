"""`duoshou demo`: merchants, payments and moving limits, with nothing set up."""

import contextlib
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from streams.commands.brokers import Broker, running
from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.ending import unwound_by_sigterm

if TYPE_CHECKING:
    from streams.demo.session import Summary

app = command_app("Play synthetic trade and show the limits that move.")


@app.command()
def demo(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    broker: Annotated[
        Broker, typer.Option(help="Broker to start, unless --bootstrap-servers names one.")
    ] = Broker.EMBEDDED,
    merchants: Annotated[int, typer.Option(min=1, max=100_000, help="Synthetic merchants.")] = 300,
    rate: Annotated[float, typer.Option(min=1, help="Payments per second.")] = 6000,
    duration: Annotated[float, typer.Option(min=1, help="Seconds to play.")] = 40,
    as_json: AsJson = False,
) -> None:
    """Play weeks of synthetic trade and lending in less than a minute.

    Shows the limits that move, and how applications for loans are answered.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        from streams.demo.lenders import LENDERS

        stack.enter_context(unwound_by_sigterm())
        servers = bootstrap_servers or stack.enter_context(running(broker))
        settings = settings_for(
            context,
            config,
            servers,
            ticks=False,  # the feeder sends the ticks of the time that it plays
            idempotence=False if bootstrap_servers is None and broker is Broker.EMBEDDED else None,
            session_timeout_s=6.0,
            topic_prefix="demo.",
            lenders=LENDERS,
        )
        from streams.demo.session import Session

        session = Session(settings, merchants, rate, duration, began)
        if as_json:
            typer.echo(msgspec.json.encode(session.run(lambda _: None)).decode())
            return
        console = Console()
        from rich.live import Live

        from streams.demo.view import render

        with Live(console=console, refresh_per_second=5) as live:
            summary = session.run(
                lambda progress: live.update(render(progress, session.characters))
            )
        _tell(console, summary)


def _tell(console: Console, summary: "Summary") -> None:
    from streams.demo.view import yuan

    console.print(
        f"\n[bold]{summary.payments:,}[/] payments of [bold]{summary.merchants:,}[/] synthetic "
        f"merchants, [bold]{summary.days:.0f}[/] days, at {summary.payments_per_s:,.0f} per second."
    )
    console.print(
        f"[bold]{summary.limit_updates:,}[/] limits moved ({summary.raises:,} up, "
        f"{summary.cuts:,} down); [bold]{summary.merchants_with_limit:,}[/] merchants may borrow."
    )
    console.print(
        f"[bold]{summary.decisions:,}[/] decisions ({summary.approved:,} approved, "
        f"{summary.counter_offers:,} offers of less, {summary.referred:,} for a person, "
        f"{summary.declined:,} declined); [bold]{summary.loans_drawn:,}[/] loans drawn, "
        f"{summary.loans_repaid:,} paid back, {summary.loans_defaulted:,} defaulted; "
        f"[bold]{yuan(summary.owed)}[/] yuan owed."
    )
    if summary.p99_ms is not None:
        console.print(
            f"From payment to limit: half within {summary.p50_ms:.0f} ms, 99 % within "
            f"{summary.p99_ms:.0f} ms; the first came {summary.first_update_s:.1f} s after the "
            "command."
        )
