"""`duoshou explain MERCHANT`: what is remembered, the score, the limit and what would raise it."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams.commands.options import AsJson, BootstrapServers, Config, command_app, settings_for
from streams.errors import OperatorError

if TYPE_CHECKING:
    from scorers.explanation import Explanation
    from scorers.outstanding import Outstanding

app = command_app("Say what is remembered of a merchant, and why its limit is so.")


@app.command()
def explain(
    context: typer.Context,
    merchant: Annotated[str, typer.Argument(help="The merchant's id.")],
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: Annotated[
        str | None, typer.Option(help="Prefix of the topics; the demo's is `demo.`.")
    ] = None,
    as_of: Annotated[
        int | None,
        typer.Option(help="Event time in ms to look from; the newest known if left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is remembered of a merchant: features, score, limit, and what it has out of it."""
    settings = settings_for(context, config, bootstrap_servers, topic_prefix=topic_prefix)
    from features.calendar import UnknownZone
    from scorers.entitlements import upgraded_wide
    from scorers.explanation import explain as explain_row
    from scorers.outstanding import outstanding
    from scorers.partition import Version
    from streams.brokers.reachable import require_broker
    from streams.contract.currencies import code_of
    from streams.state.lookup import find_accounts, find_row
    from streams.worker.versions import read_versions

    require_broker(settings)
    row, record = asyncio.run(find_row(settings, merchant))
    if row is None:
        raise OperatorError(
            f"Nothing is remembered of a merchant {merchant!r}: check the id, or wait for the "
            "next checkpoint after its first payment."
        )
    versions = asyncio.run(read_versions(settings))
    version = versions.named_by(record) if record is not None else Version()
    row = upgraded_wide(row)
    try:
        explanation = explain_row(merchant.encode(), row, version, settings.zone, as_of or 0)
    except UnknownZone as error:
        raise OperatorError(f"Of the merchant {merchant!r}: {error}.") from None
    remembered = _remembered(row)
    accounts = asyncio.run(find_accounts(settings, merchant))
    # A merchant that has enrolled before its first payment has no currency yet.
    paid_in = int(str(remembered["currency"]))
    currency = code_of(paid_in) if paid_in >= 0 else version.policies.everybodys.currency
    lines = outstanding(merchant, explanation, currency, version.policies, accounts)
    profile = accounts.profiles.of(merchant)
    if as_json:
        typer.echo(
            msgspec.json.encode(
                {"merchant_id": merchant, "category": profile.category, "codes": profile.codes,
                 "remembered": remembered, **msgspec.structs.asdict(explanation),
                 "outstanding": lines}
            ).decode()
        )  # fmt: skip
        return
    console = Console()
    _print(console, merchant, explanation, remembered, currency)
    if profile.category is not None or profile.codes:
        console.print(
            f"registered as {profile.category or 'nothing'}; codes bound: "
            f"{', '.join(profile.codes) or 'none'}"
        )
    console.print(_outstanding(lines))


def _remembered(row: bytes) -> "dict[str, object]":
    """Return every field of a row as plain data."""
    import numpy as np

    from features.layout import ROW

    record: np.void = np.frombuffer(row[: ROW.itemsize], ROW)[0]
    names = ROW.names or ()
    return {name: record[name].tolist() for name in names if not name.startswith("_")}


def _print(
    console: Console,
    merchant: str,
    explanation: "Explanation",
    remembered: "dict[str, object]",
    currency: str,
) -> None:
    from streams.contract.currencies import amount_text

    zone = ZoneInfo(explanation.zone)

    def moment(ms: object) -> str:
        return datetime.fromtimestamp(int(str(ms)) / 1000, zone).strftime("%Y-%m-%d %H:%M")

    console.print(
        f"[bold]{merchant}[/] as of {moment(explanation.as_of)} ({explanation.zone}), "
        f"offset {explanation.offset}, model {explanation.model_version}, "
        f"policy {explanation.policy_version}"
    )
    console.print(
        f"limit [bold]{amount_text(explanation.limit, currency)}[/] (version "
        f"{explanation.limit_version}); the figures give "
        f"{amount_text(explanation.target, currency)}, cap {amount_text(explanation.cap, currency)}"
    )
    console.print(
        f"probability of default [bold]{explanation.probability_of_default:.2%}[/]; first payment "
        f"{moment(remembered['first_at'])}, last {moment(remembered['last_at'])}; "
        f"{remembered['total_payments']:,} payments in all\n"
    )
    if explanation.stopped:
        console.print(
            "raises of this limit are stopped: approvals or the sum of limits are outside the band "
            "of the policy; cuts go on\n"
        )
    if explanation.held_out:
        console.print(
            "in the hold-out: once the starter amount is earned, payments do not move the limit; "
            "only a probability of default from the policy's cut-off on ends it\n"
        )
    table = Table("feature", "value", "unit", "log-odds of default", "moves the limit by")
    for feature in explanation.features:
        value = "absent" if feature.value is None else f"{feature.value:,.4g}"
        table.add_row(
            feature.name, value, feature.unit, f"{feature.log_odds:+.3f}", f"{feature.effect:+.1%}"
        )
    console.print(table)
    if explanation.entitlements:
        console.print(_enrolled(explanation, currency))
    if explanation.held_out:
        return
    levers = Table("what would raise it", "leaves now", "the figures would then give")
    for lever in explanation.levers:
        name = "a tenth more volume" if lever.name == "volume" else f"{lever.name} at its best"
        levers.add_row(name, f"{lever.factor:.0%}", amount_text(lever.target_without, currency))
    console.print(levers)


def _enrolled(explanation: "Explanation", currency: str) -> Table:
    from streams.contract.currencies import amount_text

    table = Table("enrolled with", "for", "limit", "version", "standing")
    for each in explanation.entitlements:
        table.add_row(
            each.lender or "(no such policy yet)",
            each.product or "",
            amount_text(each.limit, currency),
            str(each.limit_version),
            f"{each.standing:.0%}",
        )
    return table


def _outstanding(lines: "list[Outstanding]") -> Table:
    from streams.contract.currencies import amount_text

    table = Table(
        "lender", "for", "limit", "loans not paid back", "drawn", "overdue", "reserved", "available"
    )
    for each in lines:
        amounts = (each.drawn, each.overdue, each.reserved, each.available)
        table.add_row(
            each.lender,
            each.product,
            amount_text(each.limit, each.currency),
            str(each.loans),
            *(amount_text(amount, each.currency) for amount in amounts),
        )
    return table
