"""What the benchmarks measure."""

from __future__ import annotations

import msgspec


class Throughput(msgspec.Struct, frozen=True):
    """Result of `duoshou bench throughput`: a worker drains a topic filled beforehand.

    Attributes:
        payments: payments drained.
        merchants: merchants that they belong to, at most.
        partitions: of the topic.
        payments_per_s: payments applied per second, between the first and the last checkpoint's
            end; the updates, the changelog and the commits are part of it.
        cpu_us_per_payment: CPU time of the worker process over that time, per payment.
        update_share: limit updates per payment.
        rows: merchants held at the end.
        resident_bytes: resident memory of the worker at the end.
    """

    payments: int
    merchants: int
    partitions: int
    payments_per_s: float
    cpu_us_per_payment: float
    update_share: float
    rows: int
    resident_bytes: int


class Latency(msgspec.Struct, frozen=True):
    """Result of `duoshou bench latency`: payments at a steady rate, updates read by a consumer.

    Attributes:
        payments: payments sent.
        payments_per_s: rate at which they were sent.
        updates: limit updates whose payment is known.
        p50_ms: from handing the payment to the producer to having the update in the consumer.
        p99_ms: the same, 99th percentile.
    """

    payments: int
    payments_per_s: float
    updates: int
    p50_ms: float
    p99_ms: float


class Decisions(msgspec.Struct, frozen=True):
    """Result of `duoshou bench decisions`: applications beside payments, at steady rates.

    Attributes:
        payments_per_s: payments sent per second.
        applications_per_s: applications sent per second.
        decisions: decisions that count.
        unanswered: applications that no decision came for.
        approved: decisions that approve.
        p50_ms: from handing the application to the producer to having the decision in the consumer.
        p99_ms: the same, 99th percentile.
        max_ms: the longest.
    """

    payments_per_s: float
    applications_per_s: float
    decisions: int
    unanswered: int
    approved: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Restore(msgspec.Struct, frozen=True):
    """Result of `duoshou bench restore`: a worker starts on a full changelog.

    Attributes:
        rows: merchants restored.
        seconds: from the assignment of the partitions to the end of recovery.
        rows_per_s: rows over seconds.
        resident_bytes: resident memory of the worker afterwards.
        bytes_per_merchant: resident memory beyond 300 MB, per merchant.
    """

    rows: int
    seconds: float
    rows_per_s: float
    resident_bytes: int
    bytes_per_merchant: float
