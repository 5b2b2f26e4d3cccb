"""What one process has used, and what it has done with it, as its metrics page says."""

from __future__ import annotations

import time
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from scorers.applications.messages import Outcome
from streams.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 5.0
LARGEST_PAGE = 16 * 1024 * 1024
_ANSWERS = frozenset(outcome.value for outcome in Outcome)


class Usage(NamedTuple):
    """What a process used and did in a time. All but `memory_bytes` and `merchants` add up."""

    seconds: float
    """How long that time was."""
    cpu_seconds: float
    memory_bytes: float
    """Resident at its end."""
    written_bytes: float
    """To the broker, once, whatever it is copied to."""
    merchants: float
    """Whose rows it holds at its end."""
    decisions: float
    """Limits decided: one for each payment, refund and so on that was applied."""
    applications: float
    """Answered."""
    loans: float
    """Drawn."""


class Reading(NamedTuple):
    """One look at a metrics page."""

    address: str
    started_at: float
    """Of the process, epoch seconds."""
    usage: Usage
    """Since then."""


def ask(address: str) -> Reading:
    """Look at the metrics page of a worker or a trainer.

    Args:
        address: host:port.

    Raises:
        OperatorError: it does not answer, or what answers is none of ours.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and "/" not in host):
        raise OperatorError(f"{address!r} is not host:port: correct --worker or metrics_port.")
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as page:
            text = page.read(LARGEST_PAGE).decode()
    except (OSError, ValueError, HTTPException) as error:
        raise OperatorError(
            f"No worker answers at {address} ({error}): start it, or say by --worker where the "
            "pages of the workers are."
        ) from None
    return read(address, text, time.time())


def read(address: str, text: str, now: float) -> Reading:
    """Read a metrics page.

    Args:
        address: where it came from.
        text: in Prometheus' format.
        now: when, in epoch seconds.

    Raises:
        OperatorError: it is not the page of a process of ours.
    """
    sums: dict[str, float] = {}
    counted: dict[str, Callable[[dict[str, str]], bool]] = {
        "duoshou_events_total": lambda labels: labels["outcome"] == "applied",
        "duoshou_applications_total": lambda labels: labels["outcome"] in _ANSWERS,
        "duoshou_loan_events_total": lambda labels: (
            (labels["kind"], labels["outcome"]) == ("drawn", "applied")
        ),
    }
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                counts = counted.get(sample.name)
                if counts is None or counts(sample.labels):
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        started_at = sums["process_start_time_seconds"]
        usage = Usage(
            seconds=max(0.0, now - started_at),
            cpu_seconds=sums["process_cpu_seconds_total"],
            memory_bytes=sums["process_resident_memory_bytes"],
            # A trainer has none of what follows.
            written_bytes=sums.get("duoshou_written_bytes_total", 0.0),
            merchants=sums.get("duoshou_rows", 0.0),
            decisions=sums.get("duoshou_events_total", 0.0),
            applications=sums.get("duoshou_applications_total", 0.0),
            loans=sums.get("duoshou_loan_events_total", 0.0),
        )
    except (ValueError, KeyError):
        raise OperatorError(
            f"What answers at {address} is no worker and no trainer of this release: correct "
            "--worker."
        ) from None
    return Reading(address, started_at, usage)


def since(before: list[Reading], after: list[Reading]) -> list[Usage]:
    """Return what each process used between two looks; of a new one, what it used since its start.

    >>> one = Usage(10, 2, 100, 50, 3, 7, 1, 0)
    >>> other = Usage(70, 5, 120, 80, 4, 9, 1, 1)
    >>> since([Reading("w:1", 5.0, one)], [Reading("w:1", 5.0, other)])[0]
    Usage(seconds=60, cpu_seconds=3, memory_bytes=120, written_bytes=30, merchants=4, decisions=2,
          applications=0, loans=1)
    """
    known = {(each.address, round(each.started_at)): each.usage for each in before}
    return [
        _difference(known.get((each.address, round(each.started_at))), each.usage) for each in after
    ]


def _difference(before: Usage | None, after: Usage) -> Usage:
    if before is None:
        return after
    return Usage(
        seconds=after.seconds - before.seconds,
        cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        memory_bytes=after.memory_bytes,
        written_bytes=after.written_bytes - before.written_bytes,
        merchants=after.merchants,
        decisions=after.decisions - before.decisions,
        applications=after.applications - before.applications,
        loans=after.loans - before.loans,
    )
