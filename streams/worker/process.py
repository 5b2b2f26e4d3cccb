"""A worker or a trainer as a process of its own, for the demo, the benchmarks and the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Self

from streams.errors import OperatorError

if TYPE_CHECKING:
    from types import TracebackType

    from streams.settings import Settings

_STOP_TIMEOUT_S = 30.0


class Figures:
    r"""One page of a worker's metrics.

    Args:
        page: in Prometheus' text format.

    Example:
        >>> figures = Figures('seen_total{kind="a"} 2.0\nseen_total{kind="b"} 3.0\n')
        >>> figures.sum("seen_total"), figures.sum("seen_total", 'kind="b"')
        (5.0, 3.0)
    """

    def __init__(self, page: str) -> None:
        self._lines = [line for line in page.splitlines() if not line.startswith("#")]

    def sum(self, name: str, *containing: str) -> float:
        """Return the sum of the series of a metric.

        Args:
            name: the metric's full name.
            containing: texts that a series' labels must contain, such as `kind="payment"`.
        """
        total = 0.0
        for line in self._lines:
            labels, _, value = line.rpartition(" ")
            series = labels.partition("{")[0]
            if series == name and all(text in labels for text in containing):
                total += float(value)
        return total

    def applied(self) -> int:
        """Return how many payments have been dealt with, whatever became of them."""
        return int(
            self.sum("duoshou_events_total")
            - self.sum("duoshou_events_total", 'kind="tick"')
            - self.sum("duoshou_events_total", 'kind="relayed"')
        )


class WorkerProcess:
    """Starts `duoshou worker`, or another command that runs on, and watches its metrics page.

    Use it in a `with` statement: the process is ended at the end.

    Args:
        settings: the worker's settings; the metrics port is chosen by the system.
        folder: where its log goes; a new temporary one when left out.
        command: `worker` or `trainer`.

    Attributes:
        log: the file with everything that the worker says.
    """

    def __init__(
        self, settings: Settings, folder: Path | None = None, command: str = "worker"
    ) -> None:
        folder = folder or Path(mkdtemp(prefix="duoshou-worker-"))
        self._address_file = folder / f"address-{time.monotonic_ns()}"
        self.log = folder / f"{command}.log"
        line = [sys.executable, "-m", "streams.commands.main", command,
                   "--metrics-port", "0", "--address-file", str(self._address_file)]  # fmt: skip
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                line,
                stdout=output,
                stderr=output,
                env={**os.environ, **settings.as_environment()},
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def address(self) -> str:
        """Host and port of its metrics page, once it is ready."""
        return self._address_file.read_text().strip()

    def check(self) -> None:
        """Raise `OperatorError` with the end of its log when the process has ended."""
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise OperatorError(f"The worker ended with {self._process.returncode}: {tail}")

    def returncode(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait until the process has ended by itself; returns its exit code."""
        return self._process.wait(timeout_s)

    def ready(self) -> bool:
        """Tell whether the worker has compiled and recovered."""
        return self.page("/readyz") is not None

    def await_ready(self, timeout_s: float = 600.0) -> None:
        """Wait until the worker is ready.

        Raises:
            OperatorError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            self.check()
            if time.monotonic() > deadline:
                raise OperatorError(f"The worker was not ready in time; its log is {self.log}.")
            time.sleep(0.05)

    def page(self, path: str) -> str | None:
        """Return a page of the worker's metrics server; None when it says no or cannot answer."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=2) as page:
                return str(page.read().decode())
        except (OSError, ValueError):
            return None

    def figures(self) -> Figures:
        """Return its metrics as they are now; a page takes some 10 ms of its processor's time."""
        return Figures(self.page("/metrics") or "")

    def metric(self, name: str, *containing: str) -> float:
        """Return the sum of the series of a metric, as in `Figures.sum`."""
        return self.figures().sum(name, *containing)

    def applied(self) -> int:
        """Return how many payments it has dealt with since its start, whatever became of them."""
        return self.figures().applied()

    def kill(self) -> None:
        """End the process with SIGKILL, wherever it is."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask the process to end; it is killed when it does not in half a minute."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
