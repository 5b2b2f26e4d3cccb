"""Whether the broker of the settings is there and lets us in.

The clients report a wrong password or an absent broker late (kafka-python after 30 s) or in their
logs only (aiokafka). So a command asks `require_broker` first, which says what is wrong at once.
"""

import asyncio
import ssl

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.errors import KafkaError as ConnectionRefused
from aiokafka.protocol.metadata import MetadataRequest

from streams.brokers.clients import client_options
from streams.errors import BrokerError
from streams.settings import Settings

PROBE_TIMEOUT_S = 10


def require_broker(settings: Settings, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """Connect and prove who we are to one of the bootstrap servers, then hang up.

    Not to be called where an event loop runs.

    Raises:
        BrokerError: None of them lets us in; names the cause, for example authentication.
        SettingsError: A TLS file is unusable.
    """
    asyncio.run(probe(settings, timeout_s))


async def probe(settings: Settings, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """The same inside an event loop.

    Raises:
        BrokerError: None of the bootstrap servers lets us in.
        SettingsError: A TLS file is unusable.
    """
    options = client_options(settings)
    refusals = []
    for server in options.pop("bootstrap_servers"):
        host, _, port = server.rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"), int(port), request_timeout_ms=int(timeout_s * 1000), **options
            )
            try:
                # A listener that wants a password hangs up at the first question, not before.
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except (ConnectionRefused, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            refusals.append(_refusal(server, error))
        else:
            return
    raise BrokerError(refusals[0])


def _refusal(server: str, error: BaseException) -> str:
    """What one server's refusal means, and what to do."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return (
                f"The broker {server} and we do not agree on TLS: correct security.ca_file, "
                f"cert_file and key_file, or the port ({cause.reason or cause})."
            )
        cause = cause.__cause__ or cause.__context__
    hung_up = (KafkaConnectionError, ConnectionResetError, asyncio.IncompleteReadError)
    if isinstance(error, hung_up):
        return (
            f"The broker at {server} hangs up on us: correct the port, security.tls or "
            "security.sasl_mechanism, for only one of us speaks TLS or expects a password."
        )
    if isinstance(error, OSError):
        return (
            f"There is no broker at {server}: start it, or correct --bootstrap-servers "
            "(DUOSHOU_BOOTSTRAP_SERVERS)."
        )
    return (
        f"The broker {server} refuses us, authentication failed: correct "
        "security.sasl_mechanism, sasl_username and sasl_password "
        "(DUOSHOU_SECURITY__SASL_PASSWORD)."
    )
