"""One server process of ours: started, waited for, ended by its own process id."""

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from streams.errors import BrokerError

POLL_S = 0.05


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A program that listens on a port of 127.0.0.1.

    Args:
        name: What it is, for messages.
        command: Program and arguments.
        log: File that takes its output; appended to, so that a restart keeps the history.
        port: Where it will listen.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, port: int) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self, timeout_s: float = 60.0) -> None:
        """Start it and wait until its port answers.

        Raises:
            BrokerError: It ended, or did not listen in time; the message names the log.
        """
        if self._process is not None:
            raise BrokerError(f"{self.name} is already running as process {self.pid}.")
        with self.log.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal ends us first, and we end it in order.
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not self._listens():
            if self._process.poll() is not None:
                code, self._process = self._process.returncode, None
                raise BrokerError(f"{self.name} ended with {code} at its start: see {self.log}.")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(
                    f"{self.name} did not listen on port {self.port} within {timeout_s:.0f} s: "
                    f"see {self.log}."
                )
            time.sleep(POLL_S)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Ask it to end, wait, and kill it if it does not. Nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL). Nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
