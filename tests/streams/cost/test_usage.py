"""What is read off a metrics page."""

import pytest
from prometheus_client import generate_latest

from streams.cost.usage import Reading, Usage, ask, read, since
from streams.errors import OperatorError
from streams.observability import Metrics, serve
from streams.observability.training import TrainingMetrics
from tests.streams.cost.pages import CPU_SECONDS, MEMORY_BYTES, STARTED_AT, page

USAGE = Usage(60.0, 10.0, 1e9, 2e9, 100, 5_000, 20, 3)


def test_what_counts_is_read_and_all_else_is_not() -> None:
    reading = read("w:1", page(), STARTED_AT + 50)
    assert reading.started_at == STARTED_AT
    assert reading.usage == Usage(
        seconds=50,
        cpu_seconds=CPU_SECONDS,
        memory_bytes=MEMORY_BYTES,
        written_bytes=1_000,
        merchants=2,
        decisions=4,
        applications=0,
        loans=1,
    )


def test_a_trainer_costs_and_decides_nothing() -> None:
    text = generate_latest(TrainingMetrics().registry).decode()
    usage = read("t:1", text, STARTED_AT).usage
    assert usage.cpu_seconds > 0
    assert usage.memory_bytes > 0
    assert (usage.written_bytes, usage.merchants, usage.decisions, usage.loans) == (0, 0, 0, 0)


def test_a_page_is_asked_for_where_it_is() -> None:
    with serve(Metrics(), port=0) as server:
        reading = ask(f"127.0.0.1:{server.port}")
        assert reading.usage.memory_bytes > 10_000_000
    with pytest.raises(OperatorError, match=r"No worker answers at 127\.0\.0\.1:\d+ .*--worker"):
        ask(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize("address", ["worker", "worker:", ":9464", "http://worker:9464/x", "a:b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(OperatorError, match=r"is not host:port"):
        ask(address)


@pytest.mark.parametrize("text", ["", "<html>", "up 1\n", 'duoshou_events_total{kind="x"} 1\n'])
def test_a_page_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="no worker and no trainer"):
        read("w:1", text, STARTED_AT)


def test_between_two_looks_only_what_was_new_counts() -> None:
    later = Usage(90.0, 12.0, 3e9, 2.5e9, 110, 5_600, 21, 3)
    (used,) = since([Reading("w:1", 5.0, USAGE)], [Reading("w:1", 5.2, later)])
    assert used == Usage(30.0, 2.0, 3e9, 0.5e9, 110, 600, 1, 0)


def test_of_a_worker_that_came_in_between_all_counts() -> None:
    before = [Reading("w:1", 5.0, USAGE)]
    again, new = Reading("w:1", 40.0, USAGE), Reading("w:2", 41.0, USAGE)
    assert since(before, [again, new]) == [USAGE, USAGE]
