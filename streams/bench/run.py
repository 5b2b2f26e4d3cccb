"""The three benchmarks."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorers.applications.messages import Outcome
from streams.bench.applying import Rates, application_in, applications
from streams.bench.enrolling import Enrolments, enrol
from streams.bench.filling import fill
from streams.bench.results import Decisions, Latency, Restore, Throughput
from streams.bench.sending import Steady, send_steadily
from streams.brokers.provision import apply_topics
from streams.demo.listener import DecisionListener, UpdateListener
from streams.errors import OperatorError
from streams.synthetic.load import Load
from streams.worker.process import Figures, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aiokafka.structs import RecordMetadata

    from scorers.applications.messages import Decision
    from streams.settings import Settings

HOUR_MS = 3_600_000
LOAD_HOURS = 5 * 24.0
"""Event time that a load spans: long enough for starter amounts, days that close and raises."""
WARM_UP_S = 60.0
"""Seconds of load before latencies count: for most of a minute the JVM of a broker that has just
started compiles its own hot paths, on the cores that the worker needs (18 s of CPU were seen)."""
STANDS_STILL_S = 120.0
"""Seconds without progress after which a worker is given up."""
SAMPLE_EVERY_S = 1.0
"""Most seconds between two looks at a worker that is measured. Each costs it a page of metrics,
with a thousand lenders 8 ms: at four looks a second that is a thirtieth of its time."""
SAMPLE_AT_THE_ENDS_S = 0.1
"""Seconds between the first looks and between the last: these tell when it began and was done."""
FIXED_BYTES = 300_000_000
"""Resident memory of a worker without merchants, by the target that bytes_per_merchant serves."""


def load_up_to_now(payments: int, merchants: int, hours: float, seed: int = 1) -> Load:
    """Return a load whose event times end now."""
    now = time.time_ns() // 1_000_000
    return Load(payments, merchants, 0.8, now - int(hours * HOUR_MS), now, seed)


def throughput(
    settings: Settings,
    load: Load,
    compression: str,
    report: Callable[[str], None],
    enrolments: Enrolments | None = None,
) -> Throughput:
    """Fill the topic, then let one worker drain it.

    Args:
        settings: broker and topics.
        load: the payments.
        compression: of them.
        report: told how far it has come.
        enrolments: policies of other lenders, and who is enrolled for them; another worker has
            taken them in before the payments are written.

    Raises:
        OperatorError: the worker ended or stopped making progress.
    """
    apply_topics(settings)
    if enrolments is not None:
        report("policies and enrolments are written")
        _take_in(settings, enrol(settings, enrolments), report)
    fill(settings, load, compression, lambda n: report(f"{n:,} payments written"))
    with WorkerProcess(settings) as worker:
        report("worker is starting")
        began, ended = _drain(worker, load.payments, report)
        applied = ended.figures.applied() - began.figures.applied()
        seconds = ended.at - began.at
        return Throughput(
            payments=load.payments,
            merchants=load.merchants,
            partitions=settings.partitions,
            payments_per_s=round(applied / seconds, 0),
            cpu_us_per_payment=round((ended.cpu_s() - began.cpu_s()) / applied * 1e6, 3),
            update_share=round(ended.figures.sum("duoshou_limit_updates_total") / load.payments, 4),
            rows=int(ended.figures.sum("duoshou_rows")),
            resident_bytes=int(ended.figures.sum("process_resident_memory_bytes")),
        )


def _take_in(settings: Settings, enrolled: int, report: Callable[[str], None]) -> None:
    """Let a worker take enrolments in, for the one that is measured to find them done."""

    def taken_in(figures: Figures) -> float:
        return figures.sum("duoshou_events_total", 'kind="relayed"')

    with WorkerProcess(settings) as worker:
        worker.await_ready()
        for now in _samples(worker, taken_in, enrolled):
            taken = taken_in(now.figures)
            if taken >= enrolled and now.committed():
                return
            report(f"{int(taken):,} of {enrolled:,} enrolments taken in")


class _Sample(NamedTuple):
    """A worker's figures, and when they were so."""

    at: float
    figures: Figures

    def cpu_s(self) -> float:
        return self.figures.sum("process_cpu_seconds_total")

    def committed(self) -> bool:
        """Tell whether all that has been read is behind a checkpoint."""
        return self.figures.sum("duoshou_committed_offset_age_seconds") == 0.0


def _samples(
    worker: WorkerProcess, progress: Callable[[Figures], float], goal: int
) -> Iterator[_Sample]:
    """Look at a worker again and again, more often as it begins and as it comes near the goal.

    Raises:
        OperatorError: it has ended or makes no progress.
    """
    last, last_at, pause = 0.0, time.monotonic(), SAMPLE_AT_THE_ENDS_S
    while True:
        time.sleep(pause)
        worker.check()
        now = _Sample(time.monotonic(), worker.figures())
        yield now
        come = progress(now.figures)
        if come > last:
            if last:
                left_s = (goal - come) * (now.at - last_at) / (come - last)
                pause = min(max(left_s / 2.0, SAMPLE_AT_THE_ENDS_S), SAMPLE_EVERY_S)
            last, last_at = come, now.at
        elif now.at - last_at > STANDS_STILL_S:
            raise OperatorError(f"The worker makes no progress; its log is {worker.log}.")


def _drain(
    worker: WorkerProcess, payments: int, report: Callable[[str], None]
) -> tuple[_Sample, _Sample]:
    """Watch a worker from its first payments to the checkpoint behind the last one.

    Raises:
        OperatorError: it was done at once; or as `_samples`.
    """
    began: _Sample | None = None
    for now in _samples(worker, Figures.applied, payments):
        applied = now.figures.applied()
        if began is None and applied:
            began = now
        report(f"{applied:,} payments applied")
        if applied >= payments and began is not None and now.committed():
            if now is began:
                raise OperatorError(
                    f"All {payments:,} payments were applied between two looks at the worker: "
                    "measure more of them."
                )
            return began, now
    raise AssertionError("a worker is looked at until it is done or has failed")


def latency(
    settings: Settings,
    rate: float,
    duration_s: float,
    merchants: int,
    report: Callable[[str], None],
) -> Latency:
    """Send payments at a steady rate and read the limit updates as a lender would."""
    apply_topics(settings)
    payments = int(rate * (WARM_UP_S + duration_s))
    sent_at: dict[int, tuple[list[int], list[float]]] = {}
    counts_from = float("inf")

    def when(partition: int, offset: int) -> float | None:
        offsets, times = sent_at.get(partition, ([], []))
        i = bisect_right(offsets, offset) - 1
        return times[i] if i >= 0 and times[i] >= counts_from else None

    def note(written: RecordMetadata, at: float) -> None:
        offsets, times = sent_at.setdefault(written.partition, ([], []))
        times.append(at)
        offsets.append(written.offset)

    _share_the_interpreter()
    with WorkerProcess(settings) as worker:
        worker.await_ready()
        listener = UpdateListener(settings, when)
        listener.start()
        report("sending")
        counts_from = time.time() + WARM_UP_S
        load = load_up_to_now(payments, merchants, LOAD_HOURS, seed=time.time_ns() % 2**31)
        rows = [row for chunk in load.chunks() for row in chunk]
        began = time.monotonic()
        sent = Steady(settings.topics.payments.name, rate, rows, written=note)
        asyncio.run(send_steadily(settings, [sent]))
        took = time.monotonic() - began
        time.sleep(2.0)
        listener.stop()
        listener.join()
        worker.check()
    if not listener.latencies_ms:
        raise OperatorError("No limit moved, so there is no latency to tell: send more payments.")
    p50, p99 = np.percentile(listener.latencies_ms, [50, 99])
    return Latency(
        payments=payments,
        payments_per_s=round(payments / took, 1),
        updates=len(listener.latencies_ms),
        p50_ms=round(float(p50), 2),
        p99_ms=round(float(p99), 2),
    )


def _share_the_interpreter() -> None:
    """Let sender and listener take turns: one must not wait 5 ms for the other.

    And neither for the collector to go through half a million payments.
    """
    sys.setswitchinterval(0.0005)
    gc.disable()


def decisions(
    settings: Settings,
    rates: Rates,
    duration_s: float,
    merchants: int,
    report: Callable[[str], None],
) -> Decisions:
    """Send applications beside payments, and read the decisions as a lender would.

    Args:
        settings: broker and topics; there is a second lender.
        rates: of payments and of applications, per second.
        duration_s: seconds that count, behind the warm-up.
        merchants: all of them are enrolled with that lender.
        report: told how far it has come.
    """
    lender = settings.lenders[1]
    apply_topics(settings)
    enrol(settings, Enrolments((lender,), merchants, time.time_ns() // 1_000_000))
    seconds = WARM_UP_S + duration_s
    load = load_up_to_now(int(rates.payments * seconds), merchants, LOAD_HOURS)
    payments = [row for chunk in load.chunks() for row in chunk]
    asked = applications(lender, merchants, int(rates.applications * seconds))
    sent_at: dict[str, float] = {}
    came: list[tuple[float, float]] = []

    def note(rows: Sequence[tuple[bytes, bytes]], at: float) -> None:
        for _, value in rows:
            sent_at[application_in(value)] = at

    def hear(decision: Decision) -> None:
        sent, now = sent_at.get(decision.application_id), time.time()
        if sent is not None:
            came.append((now, (now - sent) * 1000.0))

    _share_the_interpreter()
    with WorkerProcess(settings) as worker:
        worker.await_ready()
        listener = DecisionListener(settings, (lender,), hear)
        listener.start()
        report("sending")
        counts_from = time.time() + WARM_UP_S
        topics = settings.topics
        asyncio.run(
            send_steadily(
                settings,
                [
                    Steady(topics.payments.name, rates.payments, payments),
                    Steady(topics.applications.name, rates.applications, asked, handed_over=note),
                ],
            )
        )
        time.sleep(2.0)
        listener.stop()
        listener.join()
        worker.check()
    latencies = [ms for at, ms in came if at >= counts_from]
    if not latencies:
        raise OperatorError("No application was answered: the worker has not kept up.")
    p50, p99 = np.percentile(latencies, [50, 99])
    return Decisions(
        payments_per_s=rates.payments,
        applications_per_s=rates.applications,
        decisions=len(latencies),
        unanswered=len(asked) - len(came),
        approved=listener.outcomes[Outcome.APPROVE],
        p50_ms=round(float(p50), 2),
        p99_ms=round(float(p99), 2),
        max_ms=round(max(latencies), 2),
    )


def restore(
    settings: Settings, load: Load, compression: str, report: Callable[[str], None]
) -> Restore:
    """Fill a changelog by draining a load, then start another worker on it."""
    throughput(settings, load, compression, report)
    with WorkerProcess(settings) as worker:
        report("worker is restoring")
        worker.await_ready()
        time.sleep(2.0)
        rows = int(worker.metric("duoshou_rows"))
        seconds = worker.metric("duoshou_recovery_seconds")
        resident = int(worker.metric("process_resident_memory_bytes"))
    return Restore(
        rows=rows,
        seconds=round(seconds, 3),
        rows_per_s=round(rows / seconds, 0),
        resident_bytes=resident,
        bytes_per_merchant=round((resident - FIXED_BYTES) / rows, 0),
    )
