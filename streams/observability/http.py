"""``/metrics``, ``/livez`` and ``/readyz``, served by a thread of their own.

Rendering never touches the event loop (a slow scrape must not stall payments) nor
Kafka (a broker that is down must not silence the page that shows it).
"""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from types import TracebackType
from typing import ClassVar, Final, Protocol, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streams.errors import OperatorError
from streams.observability.health import Health, Verdict

DEFAULT_PORT: Final = 9464
"""Where a worker serves its page unless told otherwise."""

_TEXT: Final = "text/plain; charset=utf-8"


class Page(Protocol):
    """What is served.

    Attributes:
        registry: the metrics.
        health: the rules behind the two probes.
    """

    registry: CollectorRegistry
    health: Health


class PortUnavailableError(OperatorError):
    """The page cannot be served there; the message says what to do."""


class MetricsServer:
    """The running page. Close it, or use it in a ``with`` statement.

    Attributes:
        host: address that it listens on.
        port: port that it listens on, also when 0 was asked for.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.host, self.port = str(server.server_address[0]), int(server.server_address[1])
        self._server = server
        self._thread = Thread(
            target=server.serve_forever,
            # How long close() may take, in seconds.
            kwargs={"poll_interval": 0.1},
            name="duoshou-metrics",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the port back."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(metrics: Page, port: int = DEFAULT_PORT, host: str = "127.0.0.1") -> MetricsServer:
    """Serve a page until the returned server is closed.

    Args:
        metrics: what to show; its `health` answers the two probes.
        port: 0 takes a free one.
        host: loopback unless something outside this machine has to scrape it.

    Raises:
        PortUnavailableError: the port is taken, not allowed, or the host is not ours.
    """

    class Handler(_Handler):
        page = metrics

    try:
        return MetricsServer(_Server((host, port), Handler))
    except OSError as error:
        raise PortUnavailableError(
            f"Metrics cannot be served on {host}:{port} ({error.strerror}): stop the process that "
            "uses the port or choose another one with --metrics-port (0 takes a free one)."
        ) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's own looks the host's name up, which waits where there is no DNS.
        TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    page: ClassVar[Page]
    protocol_version = "HTTP/1.1"
    server_version = "duoshou"
    sys_version = ""
    # Seconds: a client that opens a connection and says nothing keeps no thread.
    timeout = 10

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept") or "")
            self._answer(HTTPStatus.OK, encode(self.page.registry), content_type)
        elif path == "/livez":
            self._verdict(self.page.health.live())
        elif path == "/readyz":
            self._verdict(self.page.health.ready())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there are: /metrics /livez /readyz\n", _TEXT)

    do_HEAD = do_GET  # noqa: N815 (named by BaseHTTPRequestHandler)

    def _verdict(self, verdict: Verdict) -> None:
        status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, f"{verdict.reason}\n".encode(), _TEXT)

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep a probe every few seconds out of the worker's log."""
