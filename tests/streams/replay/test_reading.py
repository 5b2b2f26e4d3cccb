import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars
import pytest

from streams.errors import OperatorError
from streams.replay.reading import read

AT = 1_767_315_600_000
GOOD: dict[str, Any] = {
    "payment_id": "p1",
    "kind": "payment",
    "merchant_id": "m1",
    "amount": 100,
    "currency": "CNY",
    "occurred_at": AT,
}


def json_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_line_of_json_is_sent_as_it_stands(tmp_path: Path) -> None:
    text = json.dumps(GOOD | {"note": "kept"}, indent=None)
    (line,) = read(json_lines(tmp_path / "p.jsonl", f"  {text}  ", ""))
    assert line.value == text.encode()
    assert line.event is not None
    assert line.event.merchant_id == "m1"
    assert (line.number, line.problem) == (1, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{not json", "malformed"),
        ("[1]", "object"),
        (json.dumps(GOOD | {"amount": -1}), "amount"),
        (json.dumps(GOOD | {"currency": "XXQ"}), "no currency XXQ"),
        (json.dumps(GOOD | {"merchant_id": "多" * 22}), "merchant_id is longer than 64 bytes"),
        (json.dumps(GOOD | {"channel": "码" * 11}), "channel is longer than 32 bytes"),
        (json.dumps(GOOD | {"note": "x" * 70_000}), "larger than 65536 bytes"),
        ("[" * 50_000, "recursion|malformed|object|truncated"),
        ('{"kind":"tick","occurred_at":5}', "tick|payment_id"),
    ],
)
def test_a_bad_line_is_kept_with_its_number_and_what_is_wrong(
    tmp_path: Path, text: str, problem: str
) -> None:
    first, bad, last = read(
        json_lines(tmp_path / "p.jsonl", json.dumps(GOOD), text, json.dumps(GOOD))
    )
    assert (first.problem, last.problem) == ("", "")
    assert bad.number == 2
    assert bad.value == text.encode()
    import re

    assert re.search(problem, bad.problem, re.IGNORECASE)


def test_bytes_that_are_no_utf8_are_one_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"payment_id":"\xff"}\n' + json.dumps(GOOD).encode())
    bad, good = read(path)
    assert bad.problem
    assert not good.problem


def test_a_row_of_csv_becomes_the_same_event_as_a_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, [*GOOD, "payer_id", "weather"])
        writer.writeheader()
        writer.writerow(GOOD | {"payer_id": "", "weather": "rain"})
        writer.writerow(GOOD | {"amount": "much"})
    (expected,) = read(json_lines(tmp_path / "p.jsonl", json.dumps(GOOD)))
    good, bad = read(path)
    assert good.event == expected.event
    assert json.loads(good.value) == GOOD
    assert good.number == 2
    assert bad.number == 3
    assert "amount" in bad.problem


def test_an_amount_with_a_decimal_point_is_no_amount_of_minor_units(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(",".join(GOOD) + "\np1,payment,m1,80.50,CNY,5\n")
    (line,) = read(path)
    assert "amount" in line.problem


def test_parquet_is_read_with_timestamps_of_either_kind(tmp_path: Path) -> None:
    moment = datetime.fromtimestamp(AT / 1000, UTC)
    rows = polars.DataFrame([GOOD | {"occurred_at": moment, "payer_id": None}])
    aware, naive = tmp_path / "aware.parquet", tmp_path / "naive.parquet"
    rows.write_parquet(aware)
    rows.with_columns(polars.col("occurred_at").dt.replace_time_zone(None)).write_parquet(naive)
    for path in (aware, naive):
        (line,) = read(path)
        assert json.loads(line.value) == GOOD
        assert line.number == 1


def test_parquet_of_more_rows_than_are_read_at_once_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.replay.reading.PARQUET_ROWS", 2)
    path = tmp_path / "p.parquet"
    polars.DataFrame([GOOD | {"payment_id": f"p{i}"} for i in range(5)]).write_parquet(path)
    lines = list(read(path))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert [line.event.payment_id for line in lines if line.event] == ["p0", "p1", "p2", "p3", "p4"]


def test_a_table_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("payment_id,merchant_id\np1,m1\n")
    with pytest.raises(OperatorError, match="lacks the columns kind, amount, currency, occurred"):
        list(read(path))


@pytest.mark.parametrize("name", ["payments.txt", "payments"])
def test_a_file_of_unknown_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperatorError, match=r"name it \.jsonl, \.ndjson, \.csv, \.parquet"):
        list(read(tmp_path / name))


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.csv", "absent.parquet"])
def test_an_absent_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperatorError, match=name):
        list(read(tmp_path / name))
