"""The sales invoices of 62 firms through Apache Kafka into a worker: right to the fen.

What is expected is computed in polars from the file itself, from its dates alone: it shares
nothing with the events or the kernels.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from features.layout import DAYS
from streams.brokers.apache import ApacheKafka
from streams.brokers.provision import apply_topics
from streams.settings import Settings
from tests.integration.invoices import events, midnight, read_invoices
from tests.integration.watched import WatchedWorker
from tests.real_data import DATA

SALES = DATA / "invoices" / "sales.csv.gz"

pytestmark = pytest.mark.skipif(
    not SALES.is_file(),
    reason=f"there are no invoices at {SALES}: set DUOSHOU_SHARED_DATA to the folder with them",
)

IN_TIME_S = 120.0
CUTS = (date(2017, 10, 31), date(2018, 8, 31), date(2019, 6, 30), date(2020, 2, 29))
"""Last days of the parts in which the invoices are sent: after each, all rows are compared."""


class Replayed(NamedTuple):
    """A worker that has read all invoices, and the rows of all firms after each part."""

    worker: WatchedWorker
    rows: dict[date, dict[str, Any]]


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    """What the worker is sent, in order."""
    return events(read_invoices(SALES))


@pytest.fixture(scope="module")
def replayed(
    kafka: ApacheKafka, sent: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replayed]:
    """The invoices as `duoshou replay` sends them."""
    folder = tmp_path_factory.mktemp("invoices")
    settings = Settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="invoices.", ticks=False
    )
    apply_topics(settings)
    rows: dict[date, dict[str, Any]] = {}
    left = sent
    with WatchedWorker(settings, folder) as worker:
        for cut in CUTS:
            ends_at = midnight((cut + timedelta(days=1)).isoformat())
            part = [event for event in left if event["occurred_at"] < ends_at]
            left = left[len(part) :]
            replay(settings, part, folder / f"until-{cut}.jsonl")
            worker.settle(IN_TIME_S)
            rows[cut] = {key.decode(): row for key, row in worker.rows.items()}
        assert not left
        yield Replayed(worker, rows)


def replay(settings: Settings, part: list[dict[str, Any]], path: Path) -> None:
    """Send events by the command, with the ticks of the hours that they pass."""
    path.write_text("".join(json.dumps(event) + "\n" for event in part))
    done = subprocess.run(
        # Amounts of 0 are invalid: the worker is to refuse them itself.
        [sys.executable, "-m", "streams.commands.main", "replay", "--send-invalid", str(path)],
        env=os.environ | settings.as_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no ticks" not in done.stderr


@pytest.fixture(scope="module")
def changes() -> pl.DataFrame:
    """Each invoice that counts, with what it changes in which day's tile.

    Columns: firm, on and tile (days since 1970), payments, refunds, amount and refunded (fen).
    """
    counted = (
        pl.read_csv(SALES, schema_overrides={"amount": pl.Decimal(18, 2)})
        .unique(maintain_order=True)
        .select(
            firm="firm_id",
            counterparty="counterparty_id",
            on=pl.col("date").str.to_date().to_physical().cast(pl.Int64),
            fen=(pl.col("amount") * 100).cast(pl.Int64),
            status="status",
        )
        # Amounts of 0 are refused, and a void refund sends nothing; other void invoices count 0.
        .filter(pl.col("fen") != 0, (pl.col("fen") > 0) | (pl.col("status") == "valid"))
    )
    sold = (pl.col("fen") > 0) & (pl.col("status") == "valid")
    refund = pl.col("fen") < 0
    refunded_day = (
        pl.when(sold).then("on").forward_fill().over("firm", "counterparty", order_by="line")
    )
    return counted.with_row_index("line").select(
        "firm",
        "on",
        tile=pl.when(refund).then(pl.coalesce(refunded_day, "on")).otherwise("on"),
        payments=sold.cast(pl.Int64),
        refunds=refund.cast(pl.Int64),
        amount=pl.when(sold).then("fen").otherwise(0),
        refunded=pl.when(refund).then(-pl.col("fen")).otherwise(0),
    )


def until(changes: pl.DataFrame, cut: date) -> pl.DataFrame:
    """The changes of a day and all before it."""
    return changes.filter(pl.col("on") <= days_since_1970(cut))


def days_since_1970(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def net_of_tiles(changes: pl.DataFrame) -> pl.DataFrame:
    """Net, payments and refunds of each firm's tiles."""
    return changes.group_by("firm", "tile").agg(
        (pl.col("amount") - pl.col("refunded")).sum().alias("net"),
        pl.col("payments", "refunds").sum(),
    )


def tiles_of(row: Any) -> dict[int, tuple[int, int, int, int]]:
    """Per local day of the row's ring: net read, excess, payments, refunds; empty days left out."""
    days = range(int(row["day"]) - DAYS + 1, int(row["day"]) + 1)
    read = {
        day: (
            max(0, int(row["day_net"][day % DAYS])),
            max(0, -int(row["day_net"][day % DAYS])),
            int(row["day_payments"][day % DAYS]),
            int(row["day_refunds"][day % DAYS]),
        )
        for day in days
    }
    return {day: tile for day, tile in read.items() if any(tile)}


def test_the_file_is_the_one_that_is_meant(sent: list[dict[str, Any]]) -> None:
    """The figures that the other tests rest on, so that none of them passes on an empty file."""
    assert len(read_invoices(SALES)) == 104_215
    kinds = Counter(event["kind"] for event in sent)
    assert kinds["payment"] > 90_000
    assert kinds["refund"] > 7_000
    assert kinds["void"] > 5_000


def test_times_rise_within_a_firm_but_for_lines_that_the_file_holds_twice(
    sent: list[dict[str, Any]],
) -> None:
    newest: dict[str, tuple[int, str]] = {}
    for event in sent:
        at, identifier = newest.get(event["merchant_id"], (0, ""))
        again = event["payment_id"] == identifier
        assert event["occurred_at"] > at or again
        newest[event["merchant_id"]] = event["occurred_at"], event["payment_id"]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_every_firm_that_sold_has_a_row(
    replayed: Replayed, changes: pl.DataFrame, cut: date
) -> None:
    assert set(replayed.rows[cut]) == set(until(changes, cut)["firm"])


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_the_day_tiles_are_right_to_the_fen(
    replayed: Replayed, changes: pl.DataFrame, cut: date
) -> None:
    by_tile = net_of_tiles(until(changes, cut))
    compared = 0
    for firm, row in replayed.rows[cut].items():
        last = int(row["day"])
        expected = {
            tile: (max(0, net), max(0, -net), payments, refunds)
            for tile, net, payments, refunds in by_tile.filter(
                pl.col("firm") == firm, pl.col("tile").is_between(last - DAYS + 1, last)
            )
            .select("tile", "net", "payments", "refunds")
            .iter_rows()
            if payments or refunds
        }
        assert tiles_of(row) == expected, firm
        compared += len(expected)
    assert compared > (40 if cut == CUTS[-1] else 300)


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_the_lifetime_figures_are_right_to_the_fen(
    replayed: Replayed, changes: pl.DataFrame, cut: date
) -> None:
    names = ("payments", "amount", "refunds", "refunded")
    expected = {
        firm: tuple(figures)
        for firm, *figures in until(changes, cut).group_by("firm").agg(pl.col(names).sum()).rows()
    }
    found = {
        firm: tuple(int(row[f"total_{name}"]) for name in names)
        for firm, row in replayed.rows[cut].items()
    }
    assert found == expected


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_the_excess_of_the_days_that_have_passed_is_right_to_the_fen(
    replayed: Replayed, changes: pl.DataFrame, cut: date
) -> None:
    """A refund that comes when its day has left the ring changes the lifetime figures only."""
    in_the_ring = until(changes, cut).filter(pl.col("on") - pl.col("tile") < DAYS)
    below = net_of_tiles(in_the_ring).filter(pl.col("net") < 0)
    expected = {
        firm: -int(
            below.filter(pl.col("firm") == firm, pl.col("tile") <= int(row["day"]) - DAYS)[
                "net"
            ].sum()
        )
        for firm, row in replayed.rows[cut].items()
    }
    assert {firm: int(row["excess"]) for firm, row in replayed.rows[cut].items()} == expected
    assert sum(expected.values()) > 0


def test_only_amounts_of_zero_are_dead_letters(
    replayed: Replayed, sent: list[dict[str, Any]]
) -> None:
    letters = replayed.worker.letters
    refused = Counter(json.loads(letter.value)["payment_id"] for letter in letters.values())
    zero = [event["payment_id"] for event in sent if not event["amount"]]
    assert refused == Counter(zero)
    reasons = {dict(letter.headers)["duoshou-reason"] for letter in letters.values()}
    assert reasons == {b"out_of_range"}


def test_the_last_update_of_each_firm_is_the_limit_in_its_row(replayed: Replayed) -> None:
    worker = replayed.worker
    assert sum(map(len, worker.updates.values())) > 500
    for key, row in worker.rows.items():
        updates = worker.updates.get(key, [])
        assert [update.version for update in updates] == list(range(1, len(updates) + 1))
        assert int(row["limit_version"]) == len(updates)
        assert int(row["limit"]) == (updates[-1].limit if updates else 0)


def test_quiet_firms_were_rolled_to_the_present_by_ticks(
    replayed: Replayed, changes: pl.DataFrame
) -> None:
    """A firm that stopped in 2018 has no limit left, and its tiles are empty."""
    last = changes.group_by("firm").agg(pl.col("on").max())
    quiet = last.filter(pl.col("on") < days_since_1970(date(2019, 1, 1)))["firm"].to_list()
    assert quiet
    for firm in quiet:
        row = replayed.rows[CUTS[-1]][firm]
        assert tiles_of(row) == {}
        assert int(row["limit"]) == 0
