"""Converters of two sets of real data into the layout that `duoshou backtest` reads.

Events of a day stand evenly apart from midnight on, in the order of the file.

- `invoices`: valid sales are payments, refunds and voids as `tests.integration.invoices` has them;
  valid purchases are outflows. Nothing says when a loan was drawn: every firm draws when the
  recording ends, and its outcome is known a year later.
- `czech_bank`: credits are payments, debits outflows; a loan is drawn on the day it was granted,
  before anything else that day, and ends with its term.
"""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.integration.invoices import DAY_MS, events, midnight, read_invoices

YEAR_MS = 365 * DAY_MS
MONTH_MS = 30 * DAY_MS


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def invoices(source: Path, target: Path) -> None:
    """Write the invoices of a folder as a recording."""
    sales = [event for event in events(read_invoices(source / "sales.csv.gz")) if event["amount"]]
    bought = [
        invoice._replace(number=f"{n}")
        for n, invoice in enumerate(read_invoices(source / "purchases.csv.gz"))
        if invoice.amount > 0 and not invoice.void
    ]
    times = evenly((invoice.firm, invoice.date) for invoice in bought)
    purchases = [
        {
            "payment_id": f"{invoice.firm}-bought-{invoice.number}",
            "kind": "outflow",
            "merchant_id": invoice.firm,
            "amount": invoice.amount,
            "currency": "CNY",
            "occurred_at": at,
            "payer_id": invoice.counterparty,
        }
        for invoice, at in zip(bought, times, strict=True)
    ]
    ends_at = max(event["occurred_at"] for event in sales)
    drawn_at = ends_at - ends_at % DAY_MS + DAY_MS
    loans = [
        (row["firm_id"], row["firm_id"], drawn_at, drawn_at + YEAR_MS, row["defaulted"])
        for row in rows(source / "outcomes.csv.gz")
    ]
    write(target, sales + purchases, loans)


def czech_bank(source: Path, target: Path) -> None:
    """Write the accounts and loans of a folder as a recording."""
    transactions = rows(source / "transactions.csv.gz")
    times = evenly((row["account_id"], row["date"]) for row in transactions)
    found = []
    for row, at in zip(transactions, times, strict=True):
        event = {
            "payment_id": row["trans_id"],
            "kind": "payment" if row["direction"] == "in" else "outflow",
            "merchant_id": row["account_id"],
            "amount": round(float(row["amount"]) * 100),
            "currency": "CZK",
            "occurred_at": at,
        }
        if row["counterparty"]:
            event["payer_id"] = row["bank"] + row["counterparty"]
        if event["amount"]:
            found.append(event)
    loans = [
        (row["loan_id"], row["account_id"], at, at + int(row["duration_months"]) * MONTH_MS,
         row["bad"])
        for row in rows(source / "loans.csv.gz")
        for at in (midnight(row["granted"]),)
    ]  # fmt: skip
    write(target, found, loans)


LAYOUTS: dict[str, Callable[[Path, Path], None]] = {
    "invoices": invoices,
    "czech_bank": czech_bank,
}


def evenly(days: Iterable[tuple[str, str]]) -> Iterator[int]:
    """Give every event of a day (name, date) a time of its own within it, epoch ms."""
    wanted = list(days)
    that_day, place = Counter(wanted), Counter[tuple[str, str]]()
    for day in wanted:
        yield midnight(day[1]) + DAY_MS // that_day[day] * place[day]
        place[day] += 1


def write(target: Path, found: list[dict[str, Any]], loans: list[tuple[Any, ...]]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    found.sort(key=lambda event: event["occurred_at"])
    with (target / "events.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(event) + "\n" for event in found)
    with (target / "loans.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["loan_id", "merchant_id", "drawn_at", "ended_at", "bad"])
        writer.writerows(loans)
