"""`duoshou models list|show|promote|rollback`: what has been learnt, and which of it is live."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.errors import OperatorError

if TYPE_CHECKING:
    from scorers.models import Model, Models
    from scorers.training import Report
    from streams.settings import Settings

app = command_app(
    "List and show models, promote a challenger, go back to an older model. The newest is live."
)


@app.command("list")
def list_command(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """List the models that count, the live one last."""
    models, refused = _read(settings_for(context, config, bootstrap_servers))
    rows = [_row(model, models) for model in models]
    if as_json:
        typer.echo(msgspec.json.encode({"models": rows, "refused": refused}).decode())
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    Console().print(table)
    for sentence in refused:
        typer.echo(f"Refused: {sentence}")


@app.command("show")
def show_command(
    context: typer.Context,
    version: Annotated[int | None, typer.Argument(help="The live one when left out.")] = None,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Show the weights of a model, and how good its probabilities were beside others."""
    models, _ = _read(settings_for(context, config, bootstrap_servers))
    model = _of_version(models, models.newest.version if version is None else version)
    try:
        report, unread = _report(model), None
    except ValueError as error:
        # As another release stored it; the trainer learns anew then.
        report, unread = None, str(error)
    if as_json:
        shown = {**_row(model, models), "scorecard": model.scorecard, "report": report}
        typer.echo(msgspec.json.encode({**shown, "unread": unread}).decode())
        return
    _show(model, models, report)
    if unread is not None:
        Console().print(f"How good it was cannot be told: {unread}.")


@app.command("promote")
def promote_command(
    context: typer.Context,
    challenger: Annotated[
        str, typer.Argument(help="Name of the challenger, as `show` gives it.")
    ] = "linear challenger",
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Let a challenger take the champion's place, by what the live model holds of both."""
    from scorers.models import promoted

    settings = settings_for(context, config, bootstrap_servers)
    models, _ = _read(settings)
    try:
        model = promoted(models, challenger)
    except ValueError as error:
        raise OperatorError(f"Nothing was promoted: {error}.") from None
    _publish(settings, model, as_json)


@app.command("rollback")
def rollback_command(
    context: typer.Context,
    version: Annotated[int | None, typer.Argument(help="The one before when left out.")] = None,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Make an older model live again, under a new version; what came since is not learnt again."""
    from scorers.models import rolled_back

    settings = settings_for(context, config, bootstrap_servers)
    models, _ = _read(settings)
    if version is None:
        versions = [model.version for model in models]
        if len(versions) == 1:
            raise OperatorError("There is no model before the built-in one.")
        version = versions[-2]
    _publish(settings, rolled_back(models, _of_version(models, version)), as_json)


def _read(settings: "Settings") -> "tuple[Models, list[str]]":
    from streams.brokers.models import read_models

    return read_models(settings)


def _of_version(models: "Models", version: int) -> "Model":
    try:
        return models[version]
    except KeyError:
        there = ", ".join(str(model.version) for model in models)
        raise OperatorError(f"There is no model {version}; there are {there}.") from None


def _publish(settings: "Settings", model: "Model", as_json: bool) -> None:
    from streams.brokers.models import publish_model

    publish_model(settings, model)
    if as_json:
        typer.echo(msgspec.json.encode({"version": model.version, "note": model.note}).decode())
    else:
        typer.echo(
            f"Published model {model.version} ({model.note}). Each partition takes it up at its "
            "next checkpoint."
        )


def _row(model: "Model", models: "Models") -> dict[str, Any]:
    learning = model.learning
    return {
        "version": model.version,
        "live": model.version == models.newest.version,
        "origin": str(model.origin),
        "outcomes": learning.training.outcomes if learning else 0,
        "bad": learning.training.bad if learning else 0,
        "note": model.note,
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "live" if value else ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)


def _report(model: "Model") -> "Report | None":
    """Return how the model and others did, None when it has learnt nothing.

    Raises:
        ValueError: what it has learnt does not fit this release.
    """
    from scorers.training import Training

    if model.learning is None:
        return None
    state = model.learning.training
    return Training.restored(state, state.prior).report()


def _show(model: "Model", models: "Models", report: "Report | None") -> None:
    console = Console()
    facts = _row(model, models).items()
    console.print(", ".join(f"{name} {_text(value)}" for name, value in facts if _text(value)))
    console.print(_weights(model))
    if report is None:
        return
    table = Table("model", "log-loss", "Brier", "AUC", "KS", "log-loss of all")
    for name, figures in report.models.items():
        values = (figures.log_loss, figures.brier, figures.auc, figures.ks, figures.mean_log_loss)
        table.add_row(name, *(_text(value) for value in values))
    console.print(table)
    champion = report.models.get("champion")
    if champion is not None:
        console.print(f"The last {champion.outcomes} outcomes, {champion.bad} of them bad:")
        table = Table("decile", "loans", "expected", "observed")
        for place, each in enumerate(champion.deciles, 1):
            table.add_row(
                str(place), str(each.loans), f"{each.expected:.2%}", f"{each.observed:.2%}"
            )
        console.print(table)
    widths = ", ".join(f"{width:g} for {share:.0%}" for width, share in report.widths.items())
    console.print(f"Widths of the prior count: {widths}.")
    if report.better:
        console.print(f"Better than the champion by the margin: {', '.join(report.better)}.")
    if report.passed_over:
        console.print(
            f"{report.passed_over} outcomes said the contrary of what was expected, and were not "
            "learnt."
        )
    for series, count in report.drifts.items():
        console.print(f"{series} has drifted {count} times.")


def _weights(model: "Model") -> Table:
    """The weights, the heaviest first, beside those that learning began with."""
    prior = model.learning.training.prior if model.learning else model.scorecard
    before = {entry.feature: entry.weight for entry in prior.features}
    table = Table("feature", "weight", "before learning")
    table.add_row("(bias)", f"{model.scorecard.bias:+.3f}", f"{prior.bias:+.3f}")
    for entry in sorted(model.scorecard.features, key=lambda each: -abs(each.weight)):
        table.add_row(entry.feature, f"{entry.weight:+.3f}", f"{before[entry.feature]:+.3f}")
    return table
