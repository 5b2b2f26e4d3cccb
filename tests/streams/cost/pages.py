"""The metrics page of a worker that has done a little."""

from prometheus_client import generate_latest

from scorers.applications.book import Became, Verdict
from scorers.loans import Became as LoanBecame
from scorers.loans import LoanKind
from streams.observability import Metrics

STARTED_AT = 1_760_000_000.0
CPU_SECONDS = 12.5
MEMORY_BYTES = 300_000_000


def page() -> str:
    """Of three applied payments, two merchants, one drawn loan, and what does not count."""
    metrics = Metrics()
    metrics.count_events(0, 1, 3)
    metrics.count_events(1, 1)
    metrics.count_events(0, 4, 50)
    metrics.count_events(5, 2, 50)
    metrics.partition_size(0, rows=1, payment_ids=3)
    metrics.partition_size(1, rows=1, payment_ids=3)
    metrics.loan_event(LoanKind.DRAWN, LoanBecame.APPLIED)
    metrics.loan_event(LoanKind.DRAWN, LoanBecame.DUPLICATE)
    metrics.loan_event(LoanKind.REPAID, LoanBecame.APPLIED)
    metrics.application(Verdict(Became.DUPLICATE))
    metrics.written("rows", 700)
    metrics.written("limit_updates", 300)
    lines = generate_latest(metrics.registry).decode().splitlines()
    process = {
        "process_start_time_seconds": STARTED_AT,
        "process_cpu_seconds_total": CPU_SECONDS,
        "process_resident_memory_bytes": MEMORY_BYTES,
    }
    kept = [line for line in lines if line.partition(" ")[0] not in process]
    return "\n".join([*kept, *(f"{name} {value}" for name, value in process.items())]) + "\n"
