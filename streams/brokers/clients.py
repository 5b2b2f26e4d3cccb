"""How clients connect to the broker of the settings: addresses, TLS, password."""

import ssl
from typing import Any

from streams.errors import SettingsError
from streams.settings import Security, Settings

BOOTSTRAP_TIMEOUT_MS = 10_000


class Hidden(str):
    """A secret that is a string to a client, and stars wherever it is shown.

    kafka-python writes its whole configuration to the log at level DEBUG.

    Example:
        >>> {"password": Hidden("open sesame")}
        {'password': '**********'}
    """

    def __repr__(self) -> str:
        return "'**********'"


def ssl_context(security: Security) -> ssl.SSLContext | None:
    """The TLS context of the settings, None without TLS.

    Raises:
        SettingsError: A file holds no usable certificate or key.
    """
    if not security.uses_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.cert_file is not None:
            context.load_cert_chain(security.cert_file, security.key_file)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            "Correct security.ca_file, security.cert_file or security.key_file: they must be PEM "
            f"files of a certificate and its key ({error})."
        ) from None
    return context


def client_options(settings: Settings) -> dict[str, Any]:
    """Connection options by the names that kafka-python and aiokafka share.

    Raises:
        SettingsError: A TLS file is unusable.
    """
    security = settings.security
    context = ssl_context(security)
    options: dict[str, Any] = {
        "bootstrap_servers": [each.strip() for each in settings.bootstrap_servers.split(",")],
        "security_protocol": _protocol(security),
    }
    if context is not None:
        options["ssl_context"] = context
    if security.sasl_password is not None:
        options["sasl_mechanism"] = security.sasl_mechanism
        options["sasl_plain_username"] = security.sasl_username
        options["sasl_plain_password"] = Hidden(security.sasl_password.get_secret_value())
    return options


def kafka_python_options(settings: Settings) -> dict[str, Any]:
    """Connection options for kafka-python: it gives up on an absent broker after 10 s.

    Raises:
        SettingsError: A TLS file is unusable.
    """
    return {**client_options(settings), "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS}


def consumer_settings(settings: Settings) -> dict[str, Any]:
    """Options for `kafka.KafkaConsumer`, which without a group commits nothing.

    Raises:
        SettingsError: A TLS file is unusable.
    """
    return {
        **kafka_python_options(settings),
        "allow_auto_create_topics": False,
        "isolation_level": "read_committed" if settings.idempotence else "read_uncommitted",
    }


def producer_settings(settings: Settings) -> dict[str, Any]:
    """Options for `kafka.KafkaProducer`: acknowledged by all replicas, in order, never twice.

    It gives up on a broker that went away within 25 s.

    Raises:
        SettingsError: A TLS file is unusable.
    """
    return {
        **kafka_python_options(settings),
        "acks": "all",
        "enable_idempotence": settings.idempotence,
        "compression_type": None if settings.compression == "none" else settings.compression,
        "linger_ms": 100,
        "max_block_ms": 20_000,
        "request_timeout_ms": 10_000,
        "delivery_timeout_ms": 25_000,
        "batch_size": 256 * 1024,
        "allow_auto_create_topics": False,
    }


def _protocol(security: Security) -> str:
    encryption = "SSL" if security.uses_tls else "PLAINTEXT"
    return encryption if security.sasl_mechanism is None else f"SASL_{encryption}"
