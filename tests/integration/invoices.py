"""Real invoices as payment events, in the order of their times.

Every invoice of a firm has a moment of its own within its day: the day's invoices stand evenly
apart from midnight on, in the order of the file.

- An amount above 0 is a payment. One below 0 refunds the firm's latest earlier valid invoice to
  the same counterparty, or nobody's (an orphan) where there is none.
- A void invoice is the payment and, half a step later, a void of it. A void refund took nothing
  back, so it sends nothing.
- An amount of 0 is sent all the same: the worker must refuse it.
- A line that the file holds twice is the same event sent twice.
"""

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
DAY_MS = 86_400_000


class Invoice(NamedTuple):
    """One line of the file; the amount in fen."""

    firm: str
    number: str
    date: str
    counterparty: str
    amount: int
    void: bool


def read_invoices(path: Path) -> list[Invoice]:
    """Every line of the file, in its order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return [
            Invoice(
                row["firm_id"],
                row["invoice_no"],
                row["date"],
                row["counterparty_id"],
                fen(row["amount"]),
                row["status"] == "void",
            )
            for row in csv.DictReader(lines)
        ]


def fen(yuan: str) -> int:
    """Yuan to the nearest fen.

    >>> fen("9401.71"), fen("-2290.6")
    (940171, -229060)
    """
    return int((Decimal(yuan) * 100).to_integral_value())


def events(invoices: list[Invoice]) -> list[dict[str, Any]]:
    """The events of all invoices, in the order of `occurred_at`."""
    found = [event for invoice in _timed(invoices) for event in _events_of(*invoice)]
    return sorted(found, key=lambda event: event["occurred_at"])


def _timed(
    invoices: list[Invoice],
) -> Iterator[tuple[Invoice, int, int, tuple[str, int] | None]]:
    """Each invoice with its time, the step to the next, and what it takes back (id and time)."""
    that_day = Counter((each.firm, each.date) for each in dict.fromkeys(invoices))
    place: Counter[tuple[str, str]] = Counter()
    latest: dict[tuple[str, str], tuple[str, int]] = {}
    seen: dict[Invoice, tuple[int, int, tuple[str, int] | None]] = {}
    for invoice in invoices:
        if invoice not in seen:
            day, between = (invoice.firm, invoice.date), (invoice.firm, invoice.counterparty)
            step = DAY_MS // that_day[day]
            at = midnight(invoice.date) + step * place[day]
            place[day] += 1
            seen[invoice] = at, step, latest.get(between) if invoice.amount < 0 else None
            if invoice.amount > 0 and not invoice.void:
                latest[between] = _id(invoice), at
        yield invoice, *seen[invoice]


def _events_of(
    invoice: Invoice, at: int, step: int, original: tuple[str, int] | None
) -> Iterator[dict[str, Any]]:
    event = {
        "payment_id": _id(invoice),
        "kind": "payment",
        "merchant_id": invoice.firm,
        "amount": abs(invoice.amount),
        "currency": "CNY",
        "occurred_at": at,
        "payer_id": invoice.counterparty,
    }
    if invoice.amount >= 0:
        yield event
        if invoice.void:
            yield event | {
                "payment_id": f"{_id(invoice)}-void",
                "kind": "void",
                "occurred_at": at + step // 2,
                "original_payment_id": _id(invoice),
                "original_occurred_at": at,
            }
    elif not invoice.void:
        event["kind"] = "refund"
        if original is not None:
            event["original_payment_id"], event["original_occurred_at"] = original
        yield event


def _id(invoice: Invoice) -> str:
    return f"{invoice.firm}-{invoice.number}"


def midnight(date: str) -> int:
    """When a day begins in Shanghai, epoch ms."""
    return int(datetime.fromisoformat(date).replace(tzinfo=ZONE).timestamp()) * 1000
