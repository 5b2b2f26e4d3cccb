"""Recorded data: payment events and what came of loans, in one plain layout.

A folder holds

- `events.jsonl` (or `.csv`, `.parquet`): payment events as on the topic `payments`, in the order
  of `occurred_at`;
- `loans.csv`: one line a loan, with the columns `loan_id`, `merchant_id`, `drawn_at` and
  `ended_at` (epoch milliseconds) and `bad` (1: defaulted or written off, 0: settled).
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from features.calendar import load_zone
from features.events import Outcome
from scorers.partition import Partition
from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.decode.payments import decode
from streams.errors import OperatorError
from streams.replay.reading import read
from streams.wire.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streams.replay.reading import Line

AT_ONCE = 10_000
LATE_MS = 3650 * 86_400_000
"""Nothing in a recording is too late: it is read in its own order."""


class Loan(msgspec.Struct, frozen=True):
    """One loan and what came of it; times in epoch ms."""

    loan_id: str
    merchant_id: str
    drawn_at: int
    ended_at: int
    bad: bool


class Example(NamedTuple):
    """The features of the moment a loan was drawn, and its outcome."""

    loan: Loan
    features: dict[str, float | None]


class Recording(NamedTuple):
    """What a folder holds, as the learner sees it.

    Attributes:
        examples: in the order in which the outcomes became known.
        events: payment events applied.
        refused: events that were refused (dead letters), duplicates not among them.
    """

    examples: list[Example]
    events: int
    refused: int


def load(folder: Path, zone_name: str = "Asia/Shanghai") -> Recording:
    """Read a folder and take the features of each loan's merchant at its draw.

    Events before the draw count, and none at it or later; a merchant without any has the features
    of one of whom nothing is known.

    Raises:
        OperatorError: a file is missing or malformed.
    """
    partition = Partition(load_zone(zone_name), horizon_ms=LATE_MS)
    lines = _events(folder)
    waiting = next(lines, None)
    examples, counts = [], np.zeros(256, np.int64)
    offset = 0
    for loan in sorted(_loans(folder), key=lambda loan: (loan.drawn_at, loan.loan_id)):
        while waiting is not None:
            batch: list[Line] = []
            while waiting is not None and len(batch) < AT_ONCE and _at(waiting) < loan.drawn_at:
                batch.append(waiting)
                waiting = next(lines, None)
            if not batch:
                break
            counts += _apply(partition, batch, offset)
            offset += len(batch)
        known = partition.draw(loan.merchant_id.encode(), loan.drawn_at)
        examples.append(Example(loan, known.features))
    examples.sort(key=lambda example: (example.loan.ended_at, example.loan.loan_id))
    return Recording(examples, offset, int(counts[Outcome.CONFLICT :].sum()))


def _at(line: Line) -> int:
    return 0 if line.event is None else line.event.occurred_at


def _apply(partition: Partition, lines: Sequence[Line], offset: int) -> np.ndarray:
    """Apply lines as records whose offsets begin at `offset`; return how many met which outcome."""
    lengths = np.array([len(line.value) for line in lines], np.int64)
    text = np.frombuffer(b"".join(line.value for line in lines), np.uint8).copy()
    n = len(lines)
    nothing = np.zeros(n, np.int64)
    records = Records(
        offset=np.arange(offset, offset + n),
        timestamp=np.array([_at(line) for line in lines], np.int64),
        key_at=nothing,
        key_length=nothing - 1,
        value_at=np.cumsum(lengths) - lengths,
        value_length=lengths,
        headers_at=nothing,
        headers_length=nothing,
        header_count=nothing,
    )
    events, text, _ = decode(records, text, MINOR_DIGITS_TABLE)
    partition.apply(events, text, lambda _: None)
    partition.take_pages()
    return np.bincount(events.outcome, minlength=256)


def _events(folder: Path) -> Iterator[Line]:
    for suffix in ("jsonl", "csv", "parquet"):
        path = folder / f"events.{suffix}"
        if path.is_file():
            break
    else:
        raise OperatorError(f"{folder} holds no events.jsonl, events.csv or events.parquet.")
    newest = 0
    for line in read(path):
        if line.event is not None and line.event.occurred_at < newest:
            raise OperatorError(
                f"{path}, line {line.number}: the event is older than the one before it; sort the "
                "file by occurred_at."
            )
        newest = max(newest, _at(line))
        yield line


def _loans(folder: Path) -> list[Loan]:
    path = folder / "loans.csv"
    loans: dict[str, Loan] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            for row in reader:
                loan = msgspec.convert(row, Loan, strict=False)
                if loan.ended_at < loan.drawn_at:
                    raise OperatorError(
                        f"{path}, line {reader.line_num}: the loan ended before it was drawn."
                    )
                if loans.setdefault(loan.loan_id, loan) is not loan:
                    raise OperatorError(
                        f"{path}, line {reader.line_num}: loan {loan.loan_id} is there twice."
                    )
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error}.") from None
    except (msgspec.ValidationError, csv.Error, UnicodeDecodeError) as error:
        raise OperatorError(f"{path}, line {reader.line_num}: {error}.") from None
    if not loans:
        raise OperatorError(f"{path} holds no loans.")
    return list(loans.values())
