"""Which broker a demo or a benchmark runs on."""

import contextlib
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path


class Broker(StrEnum):
    """Brokers that we can start by ourselves."""

    EMBEDDED = "embedded"
    APACHE = "apache"


@contextlib.contextmanager
def running(broker: Broker) -> Iterator[str]:
    """Start a broker and yield its bootstrap servers; at the end it stops and its data is removed.

    Raises:
        BrokerError: it cannot be started here; says why.
    """
    from streams.brokers.apache import ApacheKafka
    from streams.brokers.embedded import EmbeddedBroker

    with tempfile.TemporaryDirectory(prefix="duoshou-broker-") as folder:
        start = ApacheKafka if broker is Broker.APACHE else EmbeddedBroker
        with start(Path(folder)) as server:
            yield server.bootstrap_servers
