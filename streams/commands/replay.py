"""`duoshou replay FILE...`: payment events from files to the broker."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.brokers.provision import require_topics
from streams.commands.options import BootstrapServers, Config, command_app, settings_for
from streams.replay import progress as progress_file
from streams.replay.pacing import speed_factor
from streams.replay.sending import Replay, Survey, survey

if TYPE_CHECKING:
    from streams.settings import Settings

INTERRUPTED = 130

app = command_app("Send files of payment events (JSON Lines, CSV, Parquet) to the broker.")


@app.command()
def replay(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="In the order in which they are to be sent."),
    ],
    speed: Annotated[
        str, typer.Option(metavar="max|real|Nx", help="How fast event time passes.")
    ] = "max",
    progress: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where it is recorded what is done, so that a second run goes on from there; "
            "beside the first file by default.",
        ),
    ] = None,
    ticks: Annotated[
        bool, typer.Option(help="Send ticks from the payments' times (files in time order only).")
    ] = True,
    send_invalid: Annotated[
        bool, typer.Option("--send-invalid", help="Send lines that are not valid, as they are.")
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Send payment events keyed by merchant, each once: stop and run again to go on.

    Ticks let time pass for quiet merchants in the payments' own time. Run the worker with
    `ticks = false` (DUOSHOU_TICKS=false) meanwhile, or the present ages the past away.
    """
    settings = settings_for(context, config, bootstrap_servers)
    factor = speed_factor(speed)
    kept = progress or files[0].with_name(files[0].name + ".replay-progress.json")
    topic = settings.topics.payments
    done = progress_file.load(kept, topic.name, files)
    console = Console(stderr=True)
    if done.finished:
        console.print(f"All {done.lines} lines were sent before: delete {kept} to send them again.")
        return
    found = survey(files)
    _tell(console, found, send_invalid=send_invalid, ticks=ticks)
    require_topics(settings, [topic])
    run = Replay(
        settings,
        files,
        done,
        kept,
        ticks=ticks and found.in_order,
        send_invalid=send_invalid,
    )
    _send(run, console, found, done.lines, factor)
    _conclude(console, settings, done, kept)


def _tell(console: Console, found: Survey, *, send_invalid: bool, ticks: bool) -> None:
    for problem in found.problems:
        console.print(problem, markup=False, highlight=False, soft_wrap=True)
    if found.invalid:
        fate = "are sent all the same" if send_invalid else "are not sent"
        console.print(f"{found.invalid} of {found.lines} lines are not valid and {fate}.")
    if ticks and not found.in_order:
        console.print(
            "The payments are not in the order of time, so no ticks are sent: quiet merchants "
            "keep their limits until the worker's own ticks."
        )


def _send(
    run: Replay, console: Console, found: Survey, done_before: int, factor: float | None
) -> None:
    def stop(_number: int, _frame: object) -> None:
        run.stopping = True

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Progress(
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bar:
            task = bar.add_task("", total=found.lines, completed=done_before)
            run.run(factor, lambda lines: bar.advance(task, lines))
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _conclude(
    console: Console, settings: "Settings", done: progress_file.Progress, kept: Path
) -> None:
    topic = settings.topics.payments.name
    console.print(f"{done.sent} of {done.lines} lines are on {topic}, acknowledged.")
    if not done.finished:
        console.print(f"Stopped: run the same command to go on (progress in {kept}).")
        raise typer.Exit(INTERRUPTED)
