"""`duoshou policies validate|preview|publish|list|retire`: what each lender gives for what."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.errors import OperatorError

if TYPE_CHECKING:
    from scorers.policy import Policy
    from streams.preview import Preview
    from streams.settings import Settings

app = command_app("Validate, preview, publish, list and retire lenders' policies.")

File = Annotated[Path, typer.Argument(help="A policy in TOML (.toml) or JSON.")]
BAR = 36


@app.command("validate")
def validate_command(file: File, as_json: AsJson = False) -> None:
    """Check a policy by itself; no broker is asked."""
    from streams.brokers.policies import policy_in

    policy = policy_in(file)
    _say(as_json, policy, f"{file} is a policy: {_name(policy)}.")


@app.command("publish")
def publish_command(
    context: typer.Context,
    file: File,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Publish a policy; each partition takes it up at its next checkpoint.

    One that says `shadow = true` is counted beside the live one (docs/lenders.md); no limit
    follows from it.
    """
    from streams.brokers.policies import policy_in

    _publish(settings_for(context, config, bootstrap_servers), policy_in(file), as_json)


@app.command("retire")
def retire_command(
    context: typer.Context,
    lender: Annotated[str, typer.Argument(help="The lender's id.")],
    product: Annotated[str, typer.Argument(help="For example loan.")],
    at: Annotated[
        int | None,
        typer.Option(help="Event time from which on it gives nothing, in ms; now if left out."),
    ] = None,
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="End the shadow and leave the live policy alone."),
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Publish a version of a policy that gives nothing any more: its limits become 0.

    With `--shadow` the shadow is no longer counted, and limits stay as they are.
    """
    from scorers.catalogue import retired
    from streams.brokers.policies import read_policies

    settings = settings_for(context, config, bootstrap_servers)
    catalogue, _ = read_policies(settings)
    name = (lender, product, shadow)
    newest = next((each for each in reversed(list(catalogue)) if each.name == name), None)
    if newest is None:
        kind = "shadow policy" if shadow else "policy"
        raise OperatorError(f"There is no {kind} of {lender} for {product}.")
    _publish(settings, retired(newest, int(time.time() * 1000) if at is None else at), as_json)


@app.command("list")
def list_command(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """List every version that counts, and why others on the topic do not."""
    from streams.brokers.policies import read_policies
    from streams.contract.currencies import amount_text

    catalogue, refused = read_policies(settings_for(context, config, bootstrap_servers))
    if as_json:
        typer.echo(msgspec.json.encode({"policies": list(catalogue), "refused": refused}).decode())
        return
    table = Table("lender")
    for name in ("product", "version", "cap"):
        table.add_column(name, no_wrap=True)
    table.add_column("valid from")
    table.add_column("valid to")
    for policy in catalogue:
        table.add_row(
            policy.lender, policy.name.what, str(policy.version),
            amount_text(policy.cap, policy.currency),
            _moment(policy.valid_from), _moment(policy.valid_to),
        )  # fmt: skip
    Console().print(table)
    for sentence in refused:
        typer.echo(f"Refused: {sentence}")


@app.command("preview")
def preview_command(
    context: typer.Context,
    file: File,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    as_json: AsJson = False,
) -> None:
    """Say what a policy would change for the merchants that there are; nothing is published.

    Of a shadow: what it would change in the place of the live policy.
    """
    import asyncio

    from streams.brokers.policies import policy_in, read_policies
    from streams.preview import preview
    from streams.worker.versions import read_versions

    settings = settings_for(context, config, bootstrap_servers)
    policy = policy_in(file)
    catalogue, _ = read_policies(settings)
    try:
        catalogue.check(policy)
    except ValueError as error:
        raise OperatorError(f"It could not be published: {error}.") from None
    tried = catalogue.as_live(policy)
    catalogue.add(tried, catalogue.position + 1)
    found = preview(settings, asyncio.run(read_versions(settings)), catalogue, tried)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _show(found, policy)


def _publish(settings: "Settings", policy: "Policy", as_json: bool) -> None:
    from streams.brokers.policies import publish_policy, read_policies

    catalogue, _ = read_policies(settings)
    try:
        catalogue.check(policy)
    except ValueError as error:
        raise OperatorError(f"Nothing was published: {error}.") from None
    publish_policy(settings, policy)
    sentences = f"Published {_name(policy)}. Each partition takes it up at its next checkpoint."
    if policy.shadow:
        sentences += " It is a shadow: it is counted, and no limit follows from it."
    _say(as_json, policy, sentences)


def _say(as_json: bool, policy: "Policy", sentence: str) -> None:
    typer.echo(msgspec.json.encode(policy).decode() if as_json else sentence)


def _name(policy: "Policy") -> str:
    return f"{policy.name}, version {policy.version}"


def _moment(ms: int | None) -> str:
    from datetime import UTC, datetime

    return "" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _show(found: "Preview", policy: "Policy") -> None:
    from streams.contract.currencies import amount_text

    def money(amount: int) -> str:
        return amount_text(amount, policy.currency)

    console = Console()
    would = (
        "changes no limit. In the place of the live policy it would" if policy.shadow else "would"
    )
    console.print(
        f"[bold]{_name(policy)}[/] {would} raise {found.raised:,} and cut {found.cut:,} of "
        f"{found.merchants:,} limits at once, {found.ended:,} of them to 0; together from "
        f"{money(found.total)} to {money(found.total_would_be)}."
    )
    histogram = Table("change of the limit", "merchants", "")
    most = max(1, *found.histogram)
    for place, count in enumerate(found.histogram):
        histogram.add_row(_range(found.bounds, place), f"{count:,}", "█" * (BAR * count // most))
    console.print(histogram)
    if found.movers:
        movers = Table("merchant", "limit", "would be")
        for mover in found.movers:
            movers.add_row(mover.merchant_id, money(mover.limit), money(mover.would_be))
        console.print(movers)


def _range(bounds: list[float], place: int) -> str:
    if place == 0:
        return f"below {bounds[0]:+.0%}"
    if place == len(bounds):
        return f"{bounds[-1]:+.0%} and more, or new"
    return f"{bounds[place - 1]:+.0%} to {bounds[place]:+.0%}"
