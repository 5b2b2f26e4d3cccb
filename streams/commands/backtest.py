"""`duoshou backtest outcomes`: what learning from recorded loans would have been worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from streams.commands.options import AsJson, command_app
from streams.errors import OperatorError

if TYPE_CHECKING:
    from scorers.measures import Decile
    from streams.backtest.outcomes import Result

app = command_app("Run recorded data through rows, kernels and learner, without a broker.")

Folder = Annotated[
    Path, typer.Option(file_okay=False, exists=True, help="Folder with events.* and loans.csv.")
]


@app.callback()
def _backtest() -> None:
    """Keep `outcomes` a command of its own: other backtests will stand beside it."""


@app.command()
def outcomes(
    train: Folder,
    score: Folder,
    zone: Annotated[str, typer.Option(help="Time zone of the local days.")] = "Asia/Shanghai",
    curves: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Draw ROC, calibration and cumulative log-loss: a .png or .html file.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Learn from the loans of one folder, score those of another.

    Where both are the same folder: five folds by merchant, five times.
    """
    from streams.backtest.drawing import check, draw

    if curves is not None:
        check(curves)
    # Only now: the models take seconds to load.
    from streams.backtest.outcomes import CHAMPION, FOLDS, SEEDS, cross_validate, train_and_score
    from streams.backtest.recorded import load

    with Progress(console=Console(stderr=True), transient=True) as progress:
        reading = progress.add_task("reading", total=None)
        learnt = load(train, zone)
        same = train.resolve() == score.resolve()
        scored = learnt if same else load(score, zone)
        progress.remove_task(reading)
        try:
            if same:
                folds = progress.add_task("folds", total=FOLDS * SEEDS)
                result = cross_validate(learnt.examples, lambda: progress.advance(folds))
            else:
                result = train_and_score(learnt.examples, scored.examples)
        except ValueError as error:
            raise OperatorError(f"{score}: {error}.") from None
    if curves is not None:
        draw(result, curves)
    if as_json:
        typer.echo(msgspec.json.encode(result.summary()).decode())
        return
    _show(result)
    _show_calibration(result.curves[CHAMPION].calibration)
    typer.echo(
        f"{result.loans} loans, {result.bad} of them bad; {scored.events} events, "
        f"{scored.refused} refused."
    )


def _show(result: "Result") -> None:
    table = Table("model", *("AUC", "95 %", "log-loss", "Brier", "KS"))
    for name, quality in result.models.items():
        table.add_row(
            name,
            f"{quality.auc_mean:.3f}",
            f"{quality.auc_low:.3f} to {quality.auc_high:.3f}",
            f"{quality.log_loss:.4f}",
            f"{quality.brier:.4f}",
            f"{quality.ks:.3f}",
        )
    Console().print(table)


def _show_calibration(tenths: "list[Decile]") -> None:
    table = Table("decile", "loans", "expected %", "observed %", title="calibration of the learner")
    for number, tenth in enumerate(tenths, 1):
        table.add_row(
            str(number),
            str(tenth.loans),
            f"{100 * tenth.expected:.2f}",
            f"{100 * tenth.observed:.2f}",
        )
    Console().print(table)
