"""`duoshou bench throughput|latency|decisions|restore`: the whole path on a real broker."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from streams.commands.brokers import Broker, running
from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.ending import unwound_by_sigterm

if TYPE_CHECKING:
    from streams.settings import Settings

app = command_app("Measure the whole path: one worker, a real broker, synthetic payments.")

BrokerOption = Annotated[
    Broker, typer.Option(help="Broker to start, unless --bootstrap-servers names one.")
]
Payments = Annotated[int, typer.Option(min=1000, help="Payments to write and drain.")]
Merchants = Annotated[int, typer.Option(min=1, help="Merchants, busy by Zipf's law (0.8).")]
Partitions = Annotated[int, typer.Option(min=1, max=64, help="Partitions of the topic.")]
InputCompression = Annotated[
    str, typer.Option("--compression", help="Of the payments: none, snappy, lz4 or zstd.")
]


@app.command()
def throughput(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    broker: BrokerOption = Broker.APACHE,
    payments: Payments = 4_000_000,
    merchants: Merchants = 200_000,
    partitions: Partitions = 4,
    compression: InputCompression = "snappy",
    lenders: Annotated[
        int,
        typer.Option(min=0, help="Other lenders; merchants are enrolled with 3 on average."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Fill a topic, then let one worker drain it."""
    names = tuple(f"lender-{n:04d}" for n in range(lenders))
    with _bench(context, config, bootstrap_servers, broker, partitions, names) as (
        settings,
        report,
    ):
        from streams.bench.enrolling import Enrolments
        from streams.bench.run import LOAD_HOURS, load_up_to_now
        from streams.bench.run import throughput as measure

        load = load_up_to_now(payments, merchants, hours=LOAD_HOURS)
        enrolments = Enrolments(names, merchants, load.begins_at) if names else None
        result = measure(settings, load, compression, report, enrolments)
    _show(result, as_json)


@app.command()
def latency(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    broker: BrokerOption = Broker.APACHE,
    rate: Annotated[float, typer.Option(min=1, help="Payments per second.")] = 5000,
    duration: Annotated[float, typer.Option(min=1, help="Seconds that count.")] = 60,
    merchants: Merchants = 2_000,
    partitions: Partitions = 4,
    as_json: AsJson = False,
) -> None:
    """Send payments at a steady rate and read the limit updates as a lender would."""
    with _bench(context, config, bootstrap_servers, broker, partitions) as (settings, report):
        from streams.bench.run import latency as measure

        result = measure(settings, rate, duration, merchants, report)
    _show(result, as_json)


@app.command()
def decisions(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    broker: BrokerOption = Broker.APACHE,
    rate: Annotated[float, typer.Option(min=1, help="Payments per second.")] = 20_000,
    applications: Annotated[float, typer.Option(min=1, help="Applications per second.")] = 500,
    duration: Annotated[float, typer.Option(min=1, help="Seconds that count.")] = 60,
    merchants: Merchants = 2_000,
    partitions: Partitions = 4,
    as_json: AsJson = False,
) -> None:
    """Send applications beside payments, and read the decisions as a lender would."""
    with _bench(context, config, bootstrap_servers, broker, partitions, ("bank",)) as (
        settings,
        report,
    ):
        from streams.bench.applying import Rates
        from streams.bench.run import decisions as measure

        result = measure(settings, Rates(rate, applications), duration, merchants, report)
    _show(result, as_json)


@app.command()
def restore(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    broker: BrokerOption = Broker.APACHE,
    payments: Payments = 1_000_000,
    merchants: Merchants = 200_000,
    partitions: Partitions = 4,
    compression: InputCompression = "snappy",
    as_json: AsJson = False,
) -> None:
    """Start a worker on a full changelog, and weigh it."""
    with _bench(context, config, bootstrap_servers, broker, partitions) as (settings, report):
        from streams.bench.run import LOAD_HOURS, load_up_to_now
        from streams.bench.run import restore as measure

        load = load_up_to_now(payments, merchants, hours=LOAD_HOURS)
        result = measure(settings, load, compression, report)
    _show(result, as_json)


@contextlib.contextmanager
def _bench(
    context: typer.Context,
    config: object,
    bootstrap_servers: str | None,
    broker: Broker,
    partitions: int,
    lenders: tuple[str, ...] = (),
) -> "Iterator[tuple[Settings, Callable[[str], None]]]":
    """Yield the settings of a benchmark on a running broker, and where to report progress."""
    import uuid

    with contextlib.ExitStack() as stack:
        stack.enter_context(unwound_by_sigterm())
        servers = bootstrap_servers or stack.enter_context(running(broker))
        embedded = bootstrap_servers is None and broker is Broker.EMBEDDED
        settings = settings_for(
            context,
            config,  # type: ignore[arg-type]
            servers,
            partitions=partitions,
            lenders=("platform", *lenders),
            ticks=False,
            idempotence=False if embedded else None,
            session_timeout_s=10.0,
            topic_prefix=f"bench-{uuid.uuid4().hex[:8]}.",
        )
        status = stack.enter_context(Console(stderr=True).status("broker is up"))
        yield settings, status.update


def _show(result: msgspec.Struct, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(result).decode())
        return
    console = Console()
    for name, value in msgspec.structs.asdict(result).items():
        console.print(f"{name:>22}  {value:,}")
