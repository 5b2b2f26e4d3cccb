"""Payment events from files: JSON Lines, CSV and Parquet."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from features.bounds import LARGEST_CHANNEL, LARGEST_EVENT, LARGEST_IDENTIFIER
from streams.contract.currencies import MINOR_DIGITS
from streams.contract.messages import PaymentEvent
from streams.errors import OperatorError

PARQUET_ROWS = 65_536

_FIELDS = tuple(each.encode_name for each in msgspec.structs.fields(PaymentEvent))
_REQUIRED = tuple(each.name for each in msgspec.structs.fields(PaymentEvent) if each.required)
_decode = msgspec.json.Decoder(PaymentEvent).decode
_encode = msgspec.json.Encoder().encode


class Line(NamedTuple):
    """One event of a file.

    Attributes:
        number: Line of the file from 1; of Parquet, the row from 1.
        value: The record's value: JSON.
        event: What it says, None when it says nothing valid.
        problem: What is wrong with it, empty when nothing is.
    """

    number: int
    value: bytes
    event: PaymentEvent | None
    problem: str


def read(path: Path) -> Iterator[Line]:
    """The events of a file in its own order; blank lines are passed over.

    CSV and Parquet need columns named as the fields of a payment event; other columns are left
    out. An empty cell is an absent field. Times are integers of epoch milliseconds; in Parquet
    they may be timestamps too (UTC where they carry no zone).

    Raises:
        OperatorError: The file cannot be read, or lacks a column.
    """
    readers: dict[str, Callable[[Path], Iterator[Line]]] = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".csv": _csv,
        ".parquet": _parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise OperatorError(
            f"{path} is no file that can be replayed: name it {', '.join(readers)} after its kind."
        )
    try:
        yield from reader(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OperatorError(f"{path} cannot be read: {error}.") from None


def problem_of(event: PaymentEvent) -> str:
    """What a schema cannot say: lengths in bytes and known currencies. Empty when all is well."""
    for name in ("payment_id", "merchant_id", "code_id", "payer_id", "original_payment_id"):
        value = getattr(event, name)
        if value is not None and len(value.encode()) > LARGEST_IDENTIFIER:
            return f"{name} is longer than {LARGEST_IDENTIFIER} bytes"
    if event.channel is not None and len(event.channel.encode()) > LARGEST_CHANNEL:
        return f"channel is longer than {LARGEST_CHANNEL} bytes"
    if event.currency not in MINOR_DIGITS:
        return f"there is no currency {event.currency} with minor units in ISO 4217"
    return ""


def _line(number: int, value: bytes, event: PaymentEvent) -> Line:
    return Line(number, value, event, problem_of(event))


def _json_lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            value = line.strip()
            if not value:
                continue
            if len(value) > LARGEST_EVENT:
                yield Line(number, value, None, f"the event is larger than {LARGEST_EVENT} bytes")
                continue
            try:
                event = _decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield Line(number, value, None, str(error))
            else:
                yield _line(number, value, event)


def _csv(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, restkey="")
        _require_columns(path, reader.fieldnames or ())
        for row in reader:
            cells = {name: row[name] for name in _FIELDS if row.get(name)}
            yield _record(reader.line_num, cells)


def _parquet(path: Path) -> Iterator[Line]:
    import polars

    try:
        table = polars.scan_parquet(path)
        schema = table.collect_schema()
        _require_columns(path, schema.names())
        wanted = [
            polars.col(name).dt.epoch("ms") if kind.is_temporal() else polars.col(name)
            for name, kind in schema.items()
            if name in _FIELDS
        ]
        table, start = table.select(wanted), 0
        while (rows := table.slice(start, PARQUET_ROWS).collect()).height:
            for number, row in enumerate(rows.iter_rows(named=True), start + 1):
                yield _record(number, {k: v for k, v in row.items() if v is not None})
            start += rows.height
    except polars.exceptions.PolarsError as error:
        raise OperatorError(f"{path} cannot be read: {error}.") from None


def _record(number: int, cells: Mapping[str, Any]) -> Line:
    try:
        event = msgspec.convert(cells, PaymentEvent, strict=False)
    except msgspec.ValidationError as error:
        return Line(number, orjson.dumps(cells, default=str), None, str(error))
    return _line(number, _encode(event), event)


def _require_columns(path: Path, names: "list[str] | tuple[str, ...] | Any") -> None:
    if missing := [name for name in _REQUIRED if name not in names]:
        raise OperatorError(
            f"{path} lacks the columns {', '.join(missing)}: name them as the fields of a payment "
            "event (docs/schemas/payment-event.json)."
        )
