"""Workers that are started, watched and ended while a log is being written."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Self

from streams.worker.process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from streams.settings import Settings

BEGINS = re.compile(rb"checkpoint of partition (\d+) begins at")
DURABLE = re.compile(rb"checkpoint of partition (\d+) is durable at")
CHECKPOINTS_WITHIN_S = 20.0


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
            said, deadline = b"", time.monotonic() + CHECKPOINTS_WITHIN_S
            while not BEGINS.search(said) and time.monotonic() < deadline:
                time.sleep(0.001)
                said += log.read()
            time.sleep(after_s)
            self.kill(worker)
            said += log.read()
        begun, durable = BEGINS.findall(said), DURABLE.findall(said)
        return len(begun) > len(durable)

    def dismiss(self, worker: WorkerProcess) -> None:
        """Ask a worker to leave (SIGTERM) and wait; it must have been running."""
        worker.check()
        worker.stop()
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
