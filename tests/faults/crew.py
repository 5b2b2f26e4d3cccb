"""Workers that are started, watched and ended while a log is being written."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from streams.worker.process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from streams.settings import Settings


class Moment(NamedTuple):
    """What a worker's log says at the beginning and at the end of something."""

    begins: re.Pattern[bytes]
    ends: re.Pattern[bytes]


CHECKPOINT = Moment(
    re.compile(rb"checkpoint of partition \d+ begins at"),
    re.compile(rb"checkpoint of partition \d+ is durable at"),
)
RECOVERY = Moment(re.compile(rb"Restoring state from changelog"), re.compile(rb"Recovery complete"))
MOMENT_WITHIN_S = 90.0


class Crew:
    """The workers of one installation; at the end of a `with` block they are stopped.

    Args:
        settings: the workers' settings.
        folder: each worker gets a folder for its log in it.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._started = 0
        self.workers: list[WorkerProcess] = []

    def start(self) -> WorkerProcess:
        """Start one more worker, without waiting for it."""
        self._started += 1
        folder = self._folder / f"worker-{self._started}"
        folder.mkdir()
        worker = WorkerProcess(self._settings, folder)
        self.workers.append(worker)
        return worker

    def kill(self, worker: WorkerProcess) -> None:
        """End a worker with SIGKILL; it must have been running."""
        worker.check()
        worker.kill()
        self.workers.remove(worker)

    def kill_in_a_checkpoint(self, worker: WorkerProcess, after_s: float) -> bool:
        """Kill a worker a moment after a checkpoint has begun.

        Returns:
            Whether that checkpoint was cut off before it was durable.
        """
        with worker.log.open("rb") as log:
            log.seek(0, 2)
            return self._kill_between(worker, log, CHECKPOINT, after_s)

    def kill_in_recovery(self, worker: WorkerProcess) -> bool:
        """Kill a worker that has only just been started while it reads its changelog.

        Returns:
            Whether it had not recovered yet.
        """
        with worker.log.open("rb") as log:
            return self._kill_between(worker, log, RECOVERY, 0.0)

    def _kill_between(
        self, worker: WorkerProcess, log: BinaryIO, moment: Moment, after_s: float
    ) -> bool:
        said, deadline = b"", time.monotonic() + MOMENT_WITHIN_S
        while not moment.begins.search(said):
            assert time.monotonic() < deadline, f"nothing happens in {worker.log}"
            time.sleep(0.001)
            said += log.read()
        time.sleep(after_s)
        self.kill(worker)
        said += log.read()
        return len(moment.begins.findall(said)) > len(moment.ends.findall(said))

    def await_end(self, worker: WorkerProcess, timeout_s: float) -> int:
        """Wait until a worker has ended by itself; returns its exit code."""
        code = worker.wait(timeout_s)
        self.workers.remove(worker)
        return code

    def replace_ended(self) -> None:
        """Start a new worker for each that has ended by itself; it must say that it failed."""
        for worker in list(self.workers):
            code = worker.returncode()
            if code is not None:
                assert code != 0, f"a worker that gave up ended as if all were well: {worker.log}"
                self.workers.remove(worker)
                self.start()

    def dismiss(self, worker: WorkerProcess) -> None:
        """Ask a worker to leave (SIGTERM); it must have been running, and leave in order."""
        worker.check()
        worker.stop()
        assert worker.returncode() == 0, f"it did not leave in order: {worker.log}"
        self.workers.remove(worker)

    def check(self) -> None:
        """No worker may have ended by itself.

        Raises:
            OperatorError: one has.
        """
        for worker in self.workers:
            worker.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.stop()
