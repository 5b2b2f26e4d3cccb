"""The page of a worker over real sockets on loopback."""

import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.observability import Health, Metrics, MetricsServer, PortUnavailableError, serve


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    with serve(metrics, port=0) as running:
        yield running


def get(server: MetricsServer, path: str, method: str = "GET") -> tuple[HTTPResponse, str]:
    with closing(HTTPConnection(server.host, server.port, timeout=5)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read().decode()


def test_the_page_listens_on_loopback_only(server: MetricsServer) -> None:
    assert server.host == "127.0.0.1"


def test_metrics_can_be_read_by_a_prometheus_parser(
    server: MetricsServer, metrics: Metrics
) -> None:
    metrics.misrouted(4)
    response, body = get(server, "/metrics")
    assert response.status == 200
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["duoshou_misrouted"].samples[0].value == 4
    assert "process_cpu_seconds" in families
    assert families["duoshou_build_info"].samples[0].labels["schema_version"] == "1"


def test_prometheus_may_ask_for_openmetrics(server: MetricsServer) -> None:
    with closing(HTTPConnection(server.host, server.port, timeout=5)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        response = connection.getresponse()
        assert response.getheader("Content-Type", "").startswith("application/openmetrics-text")
        assert response.read().endswith(b"# EOF\n")


def test_livez_turns_503_and_says_why() -> None:
    now = 0.0
    metrics = Metrics(Health(liveness_timeout_s=60, clock=lambda: now))
    with serve(metrics, port=0) as server:
        metrics.lag("payments", 0, records=12, seconds=3.0)
        assert get(server, "/livez")[0].status == 200
        now = 61.0
        response, body = get(server, "/livez")
    assert response.status == 503
    assert body.startswith("12 records wait and nothing has progressed for 61 s")


def test_readyz_is_503_until_compiled_and_recovered(
    server: MetricsServer, metrics: Metrics
) -> None:
    answers = [get(server, "/readyz")]
    for step in (
        metrics.kernels_compiled,
        metrics.recovery_started,
        lambda: metrics.recovery_done(0.1),
    ):
        step()
        answers.append(get(server, "/readyz"))
    assert [(response.status, body) for response, body in answers] == [
        (503, "starting\n"),
        (503, "compiled\n"),
        (503, "recovering\n"),
        (200, "ready\n"),
    ]


def test_any_other_path_is_told_what_there_is(server: MetricsServer) -> None:
    response, body = get(server, "/admin")
    assert response.status == 404
    assert body == "there are: /metrics /livez /readyz\n"


def test_nothing_can_be_written(server: MetricsServer) -> None:
    assert get(server, "/metrics", method="POST")[0].status == 501


def test_head_sends_no_body(server: MetricsServer) -> None:
    response, body = get(server, "/livez", method="HEAD")
    assert response.status == 200
    assert body == ""


def test_a_query_string_does_not_hide_a_page(server: MetricsServer) -> None:
    assert get(server, "/livez?verbose=1")[0].status == 200


def test_a_client_that_says_nothing_keeps_nobody_else_waiting(server: MetricsServer) -> None:
    with socket.create_connection((server.host, server.port)):
        assert get(server, "/livez")[0].status == 200


def test_scrapes_in_parallel_are_all_answered_while_counting_goes_on(
    server: MetricsServer, metrics: Metrics
) -> None:
    statuses: list[int] = []

    def scrape() -> None:
        for _ in range(5):
            statuses.append(get(server, "/metrics")[0].status)
            metrics.lag("payments", len(statuses) % 4, records=1, seconds=0.1)

    threads = [Thread(target=scrape) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20


def test_a_taken_port_is_one_sentence_that_says_what_to_do(
    server: MetricsServer, metrics: Metrics
) -> None:
    with pytest.raises(PortUnavailableError) as refusal:
        serve(metrics, port=server.port)
    assert str(refusal.value) == (
        f"Metrics cannot be served on 127.0.0.1:{server.port} (Address already in use): stop the "
        "process that uses the port or choose another one with --metrics-port "
        "(0 takes a free one)."
    )


def test_a_closed_page_gives_its_port_back(metrics: Metrics) -> None:
    with serve(metrics, port=0) as first:
        port = first.port
    with serve(metrics, port=port) as second:
        assert second.port == port
