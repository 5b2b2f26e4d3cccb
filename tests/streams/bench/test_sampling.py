"""When a worker that is measured began and was done, seen by few looks at it."""

from types import SimpleNamespace
from typing import Any

import pytest

from streams.bench import run
from streams.errors import OperatorError
from streams.worker.process import Figures


class Worker:
    """A worker that applies payments at a steady rate from a moment on, by a clock of its own.

    Args:
        starts_at: seconds before it applies the first.
        rate: payments a second.
        payments: how many there are.
        commits_s: seconds behind the last one until all is behind a checkpoint.
    """

    def __init__(
        self, starts_at: float, rate: float, payments: int, commits_s: float = 0.05
    ) -> None:
        self.starts_at, self.rate, self.payments = starts_at, rate, payments
        self.done_at = starts_at + payments / rate + commits_s
        self.now = 0.0
        self.looks = 0
        self.log = "the log"

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def check(self) -> None:
        """It runs."""

    def figures(self) -> Figures:
        self.looks += 1
        applied = min(self.payments, int(max(0.0, self.now - self.starts_at) * self.rate))
        age = 0.0 if self.now >= self.done_at else 1.0
        return Figures(
            f'duoshou_events_total{{kind="payment"}} {applied}\n'
            f"duoshou_committed_offset_age_seconds {age}\n"
        )


def drained(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    clock = SimpleNamespace(sleep=worker.sleep, monotonic=worker.monotonic)
    monkeypatch.setattr(run, "time", clock)
    return run._drain(worker, worker.payments, lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [20_000.0, 100_000.0, 400_000.0])
def test_a_long_run_is_timed_to_a_tenth_of_a_second_by_a_look_a_second(
    rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(starts_at=3.0, rate=rate, payments=4_000_000)
    began, ended = drained(worker, monkeypatch)
    assert began.at - worker.starts_at <= run.SAMPLE_AT_THE_ENDS_S + 1e-6
    assert ended.at - worker.done_at <= run.SAMPLE_AT_THE_ENDS_S + 1e-6
    before = worker.starts_at / run.SAMPLE_AT_THE_ENDS_S
    assert worker.looks - before <= 4_000_000 / rate / run.SAMPLE_EVERY_S + 15


def test_a_run_that_is_over_at_the_first_look_is_refused_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OperatorError, match="measure more of them"):
        drained(Worker(starts_at=1.0, rate=1e6, payments=1_000, commits_s=0.0), monkeypatch)


def test_a_worker_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(starts_at=1.0, rate=1_000.0, payments=1_000_000)
    worker.rate = 1e-9
    with pytest.raises(OperatorError, match="makes no progress"):
        drained(worker, monkeypatch)
