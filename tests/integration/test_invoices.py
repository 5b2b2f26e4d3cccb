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
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.layout import DAYS
from streams.brokers.apache import ApacheKafka
from streams.brokers.provision import apply_topics
from streams.settings import Settings
from tests.integration.invoices import events, read_invoices
from tests.integration.watched import WatchedWorker

DATA = Path(
    os.environ.get("DUOSHOU_SHARED_DATA", Path(__file__).resolve().parents[2] / "../shared/data")
)
SALES = DATA / "invoices" / "sales.csv.gz"

pytestmark = pytest.mark.skipif(
    not SALES.is_file(),
    reason=f"there are no invoices at {SALES}: set DUOSHOU_SHARED_DATA to the folder with them",
)

IN_TIME_S = 120.0


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    """What the worker is sent, in order."""
    return events(read_invoices(SALES))


@pytest.fixture(scope="module")
def worker(
    kafka: ApacheKafka, sent: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedWorker]:
    """A worker that has read all the invoices, as `duoshou replay` sends them."""
    folder = tmp_path_factory.mktemp("invoices")
    settings = Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix="invoices.",
        ticks=False,
        data_directory=folder,
    )
    apply_topics(settings)
    with (folder / "sales.jsonl").open("w") as out:
        out.writelines(json.dumps(event) + "\n" for event in sent)
    with WatchedWorker(settings, folder) as watched:
        # Amounts of 0 are invalid: the worker is to refuse them itself.
        replay = ["replay", "--send-invalid", str(folder / "sales.jsonl")]
        done = subprocess.run(
            [sys.executable, "-m", "streams.commands.main", *replay],
            env=os.environ | settings.as_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "no ticks" not in done.stderr
        watched.settle(IN_TIME_S)
        yield watched


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
        .filter(pl.col("status") == "valid", pl.col("fen") != 0)
    )
    sold = pl.col("fen") > 0
    refunded_day = (
        pl.when(sold).then("on").forward_fill().over("firm", "counterparty", order_by="line")
    )
    return counted.with_row_index("line").select(
        "firm",
        "on",
        tile=pl.when(sold).then("on").otherwise(pl.coalesce(refunded_day, "on")),
        payments=sold.cast(pl.Int64),
        refunds=(~sold).cast(pl.Int64),
        amount=pl.when(sold).then("fen").otherwise(0),
        refunded=pl.when(sold).then(0).otherwise(-pl.col("fen")),
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


def test_every_firm_has_a_row(worker: WatchedWorker, changes: pl.DataFrame) -> None:
    assert {key.decode() for key in worker.rows} == set(changes["firm"])


def test_the_day_tiles_are_right_to_the_fen(worker: WatchedWorker, changes: pl.DataFrame) -> None:
    by_tile = changes.group_by("firm", "tile").agg(
        net=pl.col("amount").sum() - pl.col("refunded").sum(),
        payments=pl.col("payments").sum(),
        refunds=pl.col("refunds").sum(),
    )
    compared = 0
    for key, row in worker.rows.items():
        last = int(row["day"])
        expected = {
            tile: (max(0, net), max(0, -net), payments, refunds)
            for _, tile, net, payments, refunds in by_tile.filter(
                pl.col("firm") == key.decode(), pl.col("tile").is_between(last - DAYS + 1, last)
            ).iter_rows()
            if payments or refunds
        }
        assert tiles_of(row) == expected, key
        compared += len(expected)
    assert compared > 100


def test_the_lifetime_figures_are_right_to_the_fen(
    worker: WatchedWorker, changes: pl.DataFrame
) -> None:
    expected = {
        firm: tuple(figures)
        for firm, *figures in changes.group_by("firm")
        .agg(pl.col("payments", "amount", "refunds", "refunded").sum())
        .iter_rows()
    }
    found = {
        key.decode(): tuple(
            int(row[f"total_{name}"]) for name in ("payments", "amount", "refunds", "refunded")
        )
        for key, row in worker.rows.items()
    }
    assert found == expected


def test_the_excess_of_the_days_that_have_passed_is_right_to_the_fen(
    worker: WatchedWorker, changes: pl.DataFrame
) -> None:
    """A refund that comes when its day has left the ring changes the lifetime figures only."""
    in_the_ring = changes.filter(pl.col("on") - pl.col("tile") < DAYS)
    by_tile = in_the_ring.group_by("firm", "tile").agg(
        net=pl.col("amount").sum() - pl.col("refunded").sum()
    )
    expected = {
        key.decode(): -int(
            by_tile.filter(
                pl.col("firm") == key.decode(),
                pl.col("tile") <= int(row["day"]) - DAYS,
                pl.col("net") < 0,
            )["net"].sum()
        )
        for key, row in worker.rows.items()
    }
    assert {key.decode(): int(row["excess"]) for key, row in worker.rows.items()} == expected
    assert sum(expected.values()) > 0


def test_only_amounts_of_zero_are_dead_letters(
    worker: WatchedWorker, sent: list[dict[str, Any]]
) -> None:
    refused = Counter(json.loads(letter.value)["payment_id"] for letter in worker.letters.values())
    zero = [event["payment_id"] for event in sent if not event["amount"]]
    assert refused == Counter(zero)
    reasons = {dict(letter.headers)["duoshou-reason"] for letter in worker.letters.values()}
    assert reasons == {b"out_of_range"}


def test_the_last_update_of_each_firm_is_the_limit_in_its_row(worker: WatchedWorker) -> None:
    assert any(worker.updates.values())
    for key, row in worker.rows.items():
        updates = worker.updates.get(key, [])
        assert [update.version for update in updates] == list(range(1, len(updates) + 1))
        assert int(row["limit_version"]) == len(updates)
        assert int(row["limit"]) == (updates[-1].limit if updates else 0)


def test_quiet_firms_were_rolled_to_the_present_by_ticks(
    worker: WatchedWorker, changes: pl.DataFrame
) -> None:
    """A firm that stopped in 2018 has no limit left, and its tiles are empty."""
    epoch = date(1970, 1, 1).toordinal()
    last = changes.group_by("firm").agg(pl.col("on").max())
    quiet = last.filter(pl.col("on") < date(2019, 1, 1).toordinal() - epoch)["firm"].to_list()
    assert quiet
    for firm in quiet:
        row = worker.rows[firm.encode()]
        assert tiles_of(row) == {}
        assert int(row["limit"]) == 0
