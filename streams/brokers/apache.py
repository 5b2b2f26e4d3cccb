"""A real Apache Kafka of our own: one KRaft node on 127.0.0.1, for tests and `duoshou bench`."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from streams.brokers.jars import server_jars
from streams.brokers.process import POLL_S, ServerProcess, free_port
from streams.errors import BrokerError

CLUSTER_ID = "ZHVvc2hvdS1vbmUtbm9kZQ"
MECHANISM = "SCRAM-SHA-512"


class ApacheKafka:
    """One node that is broker and controller. A context manager: it stops at the end of the block.

    Topics are not created by themselves, as on a well-kept cluster. After `stop` or `kill`,
    `start` brings the same node back on the same ports with the same data.

    Args:
        directory: Folder for its data, configuration and `kafka.log`; made if need be.
        heap: Java's heap, in Java's notation.
        properties: Further lines of `server.properties`, by name.
        users: Name and password of those who may come in over `sasl_bootstrap_servers`
            (SCRAM-SHA-512 without TLS). Without any there is no such listener.
        cache: Folder that keeps the jars.
    """

    def __init__(
        self,
        directory: Path,
        heap: str = "1g",
        properties: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> None:
        self.directory = directory
        self.heap = heap
        self._properties = dict(properties or {})
        self._users = dict(users or {})
        self._cache = cache
        self._port, self._controller_port, self._sasl_port = (free_port() for _ in range(3))
        self._server: ServerProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect, without a password."""
        return f"127.0.0.1:{self._port}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """Where clients connect with name and password."""
        return f"127.0.0.1:{self._sasl_port}"

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.directory / "kafka.log"

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return None if self._server is None else self._server.pid

    def start(self, timeout_s: float = 60.0) -> None:
        """Start the node and wait until it accepts topics; formats the folder the first time.

        Raises:
            BrokerError: Java or Maven is missing, or it did not come up; names the log.
        """
        jars = server_jars(self._cache)
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "server.properties"
        configuration.write_text(self._configuration(), encoding="utf-8")
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(jars, configuration)
        if self._server is None:
            self._server = ServerProcess(
                "Apache Kafka",
                [*self._java(jars), f"-Xmx{self.heap}", "kafka.Kafka", str(configuration)],
                self.log,
                self._port,
            )
        self._server.start(timeout_s)
        self._await_unfenced(timeout_s)

    def stop(self) -> None:
        """Shut it down in order."""
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """End it at once, as a power failure would (its page cache survives)."""
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

    def _java(self, jars: Path) -> list[str]:
        return ["java", "-cp", f"{jars}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]

    def _format(self, jars: Path, configuration: Path) -> None:
        tool = [*self._java(jars), "kafka.tools.StorageTool", "format"]
        scram = [
            f"--add-scram={MECHANISM}=[name={name},password={password}]"
            for name, password in self._users.items()
        ]
        done = subprocess.run(
            [*tool, "-t", CLUSTER_ID, "-c", str(configuration), *scram],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            self.log.write_text(done.stdout + done.stderr, encoding="utf-8")
            raise BrokerError(f"Apache Kafka could not format its folder: see {self.log}.")

    def _await_unfenced(self, timeout_s: float) -> None:
        """The port answers a little before the controller counts the broker as alive."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
                try:
                    if admin.describe_cluster()["brokers"]:
                        return
                finally:
                    admin.close()
            except KafkaError as error:
                said = f" ({error})"
            else:
                said = ""
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(f"Apache Kafka did not come up{said}: see {self.log}.")
            time.sleep(POLL_S)

    def _configuration(self) -> str:
        listeners = {"PLAINTEXT": self._port, "CONTROLLER": self._controller_port}
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            # One node: every topic of the broker's own has one replica and few partitions.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            # After a kill the controller refuses the broker's return until its session is over.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "1000",
            # A lone worker need not wait for others to join its group.
            "group.initial.rebalance.delay.ms": "0",
        }
        if self._users:
            listeners["SASL_PLAINTEXT"] = self._sasl_port
            lines["listener.security.protocol.map"] += ",SASL_PLAINTEXT:SASL_PLAINTEXT"
            lines["sasl.enabled.mechanisms"] = MECHANISM
            lines[f"listener.name.sasl_plaintext.{MECHANISM.lower()}.sasl.jaas.config"] = (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
        lines["listeners"] = ",".join(f"{n}://127.0.0.1:{p}" for n, p in listeners.items())
        lines["advertised.listeners"] = ",".join(
            f"{n}://127.0.0.1:{p}" for n, p in listeners.items() if n != "CONTROLLER"
        )
        lines |= self._properties
        return "".join(f"{name}={value}\n" for name, value in lines.items())
