"""A worker that was set up wrongly: it ends soon, says in one sentence what to do, keeps secrets.

The other commands' errors are in `test_refusals`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from streams.brokers.apache import ApacheKafka
from streams.brokers.process import free_port
from streams.brokers.provision import apply_topics
from streams.settings import Security, Settings
from streams.worker.process import WorkerProcess
from tests.conftest import require_jars

SECRET = "S3CRET-xyz"
SOON_S = 30
POLL_S = 0.05
CHECKPOINTED_WITHIN_S = 20


@pytest.fixture(scope="module")
def password_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A broker whose right password is the secret that must never be shown."""
    require_jars()
    with ApacheKafka(
        tmp_path_factory.mktemp("password-kafka"), heap="512m", users={"duoshou": SECRET}
    ) as broker:
        yield broker


def security(password: str) -> dict[str, str]:
    return {
        "DUOSHOU_SECURITY__SASL_MECHANISM": "SCRAM-SHA-512",
        "DUOSHOU_SECURITY__SASL_USERNAME": "duoshou",
        "DUOSHOU_SECURITY__SASL_PASSWORD": password,
    }


def worker_ends(*arguments: str, **variables: str) -> str:
    """Run a worker that cannot start; returns its one sentence, after all else that must hold."""
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.commands.main", "worker", *arguments],
            env=os.environ
            | {"DUOSHOU_LOG_LEVEL": "DEBUG", "DUOSHOU_METRICS_PORT": "0"}
            | variables,
            stdout=output,
            stderr=output,
        )
        shown_to_others = Path(f"/proc/{process.pid}/cmdline").read_text()
        ended = has_ended(process, SOON_S)
        if not ended:
            process.kill()
            process.wait()
        output.seek(0)
        said = output.read()
    assert ended, f"still running after {SOON_S} s: {said[-3000:]}"
    assert process.returncode == 1, said
    assert SECRET not in said + shown_to_others
    assert "Traceback" not in said
    # Behind what was logged: at INFO, and even at DEBUG, it is what stands last.
    return said.strip().splitlines()[-1]


def has_ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Whether it ends in time, counted in naps: a machine that stood still is not late."""
    for _ in range(int(within_s / POLL_S)):
        if process.poll() is not None:
            return True
        time.sleep(POLL_S)
    return False


def test_a_setting_of_the_wrong_kind() -> None:
    sentence = worker_ends(DUOSHOU_PARTITIONS="many", **security(SECRET))
    assert "Correct the setting partitions" in sentence
    assert "DUOSHOU_PARTITIONS" in sentence


def test_a_misspelt_setting_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text("partition = 4\n")
    sentence = worker_ends("--config", str(file), **security(SECRET))
    assert f"Correct the setting partition in {file}" in sentence
    assert "did you mean partitions" in sentence


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text(f'[security]\nsasl_password = "{SECRET}\n')
    assert f"Correct the settings file {file}" in worker_ends("--config", str(file))


def test_a_password_without_a_name() -> None:
    sentence = worker_ends(DUOSHOU_SECURITY__SASL_PASSWORD=SECRET)
    assert "sasl_mechanism, sasl_username and sasl_password belong together" in sentence


def test_an_absent_broker() -> None:
    server = f"127.0.0.1:{free_port()}"
    sentence = worker_ends("--bootstrap-servers", server, **security(SECRET))
    assert f"There is no broker at {server}" in sentence
    assert "--bootstrap-servers" in sentence


def test_something_else_listens_where_the_broker_should() -> None:
    """It takes the connection and never answers: no error comes from the network."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        sentence = worker_ends("--bootstrap-servers", server, **security(SECRET))
    assert server in sentence


def test_a_missing_topic(password_kafka: ApacheKafka) -> None:
    server = password_kafka.bootstrap_servers
    sentence = worker_ends("--bootstrap-servers", server, DUOSHOU_TOPIC_PREFIX="nowhere.")
    assert "nowhere.payments" in sentence
    assert "run `duoshou topics apply`" in sentence


def test_a_topic_with_other_partitions(password_kafka: ApacheKafka) -> None:
    server = password_kafka.bootstrap_servers
    apply_topics(Settings(bootstrap_servers=server, topic_prefix="two.", partitions=2))
    sentence = worker_ends("--bootstrap-servers", server, DUOSHOU_TOPIC_PREFIX="two.")
    assert "two.payments" in sentence
    assert "partitions" in sentence


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = worker_ends("--metrics-port", str(port))
    assert str(port) in sentence
    assert "--metrics-port" in sentence


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    sentence = worker_ends(DUOSHOU_DATA_DIRECTORY=str(tmp_path / "file" / "below"))
    assert str(tmp_path / "file" / "below") in sentence
    assert "data_directory" in sentence


def test_a_data_directory_that_is_not_there_yet_is_made(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"data_directory": tmp_path / "not" / "there"})
    apply_topics(elsewhere)
    with WorkerProcess(elsewhere, tmp_path) as worker:
        worker.await_ready()
    assert (tmp_path / "not" / "there").is_dir()


def test_a_wrong_password(password_kafka: ApacheKafka) -> None:
    server = password_kafka.sasl_bootstrap_servers
    wrong = f"{SECRET}-but-wrong"
    sentence = worker_ends("--bootstrap-servers", server, **security(wrong))
    assert "authentication failed" in sentence
    assert "DUOSHOU_SECURITY__SASL_PASSWORD" in sentence


def test_a_working_worker_never_shows_its_password(
    password_kafka: ApacheKafka, tmp_path: Path
) -> None:
    """With everything logged, on its page, and in what other users may see of the process."""
    settings = Settings(
        bootstrap_servers=password_kafka.sasl_bootstrap_servers,
        security=Security.model_validate(
            {
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": "duoshou",
                "sasl_password": SECRET,
            }
        ),
        topic_prefix="secret.",
        tick_interval_s=1,
        log_level="DEBUG",
    )
    apply_topics(settings)
    with WorkerProcess(settings, tmp_path) as process:
        process.await_ready()
        deadline = time.monotonic() + CHECKPOINTED_WITHIN_S
        while not process.metric("duoshou_checkpoint_rows_total") and not process.metric(
            "duoshou_events_total"
        ):
            process.check()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        page = process.page("/metrics")
        shown_to_others = Path(f"/proc/{process.pid}/cmdline").read_text()
    said = process.log.read_text()
    assert page
    assert " DEBUG " in said
    assert SECRET not in page + shown_to_others + said
    assert SECRET not in repr(settings) + str(settings)
