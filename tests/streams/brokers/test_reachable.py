import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from streams.brokers.clients import Hidden, client_options
from streams.brokers.process import free_port
from streams.brokers.reachable import require_broker
from streams.errors import BrokerError, SettingsError
from streams.settings import load_settings

SECRET = "S3CRET-xyz"


@pytest.fixture
def hangs_up() -> Iterator[str]:
    """A server that closes each connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_an_absent_broker_is_named() -> None:
    server = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match=rf"no broker at {server}: start it, or correct"):
        require_broker(load_settings(bootstrap_servers=server))


def test_a_host_that_nobody_knows_is_named() -> None:
    with pytest.raises(BrokerError, match=r"no broker at nobody\.invalid:9092"):
        require_broker(load_settings(bootstrap_servers="nobody.invalid:9092"))


def test_a_server_that_hangs_up_leads_to_the_security_settings(hangs_up: str) -> None:
    with pytest.raises(BrokerError, match=r"hangs up on us.*security\.tls"):
        require_broker(load_settings(bootstrap_servers=hangs_up))


def test_every_bootstrap_server_is_tried(hangs_up: str) -> None:
    absent = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match=absent):
        require_broker(load_settings(bootstrap_servers=f"{absent},{hangs_up}"))


def test_a_certificate_that_is_none_is_refused_before_any_connection(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pem = tmp_path_factory.mktemp("tls") / "ca.pem"
    pem.write_text("no certificate")
    with pytest.raises(SettingsError, match="must be PEM files"):
        client_options(load_settings(security={"ca_file": pem}))


def test_a_password_is_a_string_to_the_client_and_stars_in_its_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = client_options(
        load_settings(
            security={
                "sasl_mechanism": "PLAIN",
                "sasl_username": "duoshou",
                "sasl_password": SECRET,
            }
        )
    )
    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_plain_password"] == SECRET
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("client").debug("starting with %s", options)
    assert "**********" in caplog.text
    assert SECRET not in caplog.text
    assert Hidden(SECRET).encode() == SECRET.encode()
