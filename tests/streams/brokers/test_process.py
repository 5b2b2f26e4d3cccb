import os
import sys
from pathlib import Path

import pytest

from streams.brokers import jars
from streams.brokers.apache import ApacheKafka
from streams.brokers.process import ServerProcess, free_port
from streams.errors import BrokerError

SERVER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""


def server(tmp_path: Path, *code: str) -> ServerProcess:
    port = free_port()
    return ServerProcess(
        "The server", [sys.executable, "-c", *code, str(port)], tmp_path / "log", port
    )


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", [ServerProcess.stop, ServerProcess.kill])
def test_a_server_runs_until_it_is_ended_and_can_be_started_again(
    tmp_path: Path, end: object
) -> None:
    process = server(tmp_path, SERVER)
    for _ in range(2):
        process.start()
        pid = process.pid
        assert pid is not None
        assert is_alive(pid)
        end(process)  # type: ignore[operator]
        assert process.pid is None
        assert not is_alive(pid)
    assert (tmp_path / "log").read_text().splitlines() == ["listening"] * 2


def test_ending_what_does_not_run_does_nothing(tmp_path: Path) -> None:
    process = server(tmp_path, SERVER)
    process.stop()
    process.kill()
    assert process.pid is None


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    process = server(tmp_path, "raise SystemExit('no licence')")
    with pytest.raises(BrokerError, match=rf"ended with 1 at its start: see {tmp_path}/log"):
        process.start()
    assert "no licence" in (tmp_path / "log").read_text()
    assert process.pid is None


def test_a_server_that_never_listens_is_ended(tmp_path: Path) -> None:
    process = server(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(BrokerError, match="did not listen on port"):
        process.start(timeout_s=0.3)
    assert process.pid is None


def test_apache_kafka_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    with pytest.raises(BrokerError, match="needs java and mvn: install them"):
        ApacheKafka(tmp_path, cache=tmp_path / "cache").start()


def test_a_download_that_fails_leaves_nothing_half_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mvn"
    program.write_text("#!/bin/sh\necho 'no route to host'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(jars, "missing_programs", list)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(BrokerError, match="it said: no route to host"):
        jars.server_jars(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
