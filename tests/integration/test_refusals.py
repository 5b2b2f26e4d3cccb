"""What an operator gets wrong: one sentence, soon, and never the secret."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.brokers.apache import ApacheKafka
from streams.brokers.process import free_port
from tests.conftest import require_jars

SECRET = "S3CRET-xyz"
RIGHT = "right-horse"
SOON_S = 30

COMMANDS = {
    "plan": ["topics", "plan"],
    "apply": ["topics", "apply"],
    "list": ["dead-letters", "list"],
    "replay": ["replay", "FILE"],
    "lender": ["lender", "--id", "platform"],
    "access": ["topics", "access", "--apply"],
}


@pytest.fixture(scope="module")
def password_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    require_jars()
    with ApacheKafka(
        tmp_path_factory.mktemp("password-kafka"), heap="512m", users={"duoshou": RIGHT}
    ) as broker:
        yield broker


def run(
    tmp_path: Path, command: list[str], servers: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "p.jsonl"
    file.touch()
    arguments = [str(file) if each == "FILE" else each for each in command]
    return subprocess.run(
        [sys.executable, "-m", "streams.commands.main", *arguments],
        env=os.environ
        | {"DUOSHOU_BOOTSTRAP_SERVERS": servers, "DUOSHOU_LOG_LEVEL": "DEBUG"}
        | variables,
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
    )


def password(secret: str) -> dict[str, str]:
    return {
        "DUOSHOU_SECURITY__SASL_MECHANISM": "SCRAM-SHA-512",
        "DUOSHOU_SECURITY__SASL_USERNAME": "duoshou",
        "DUOSHOU_SECURITY__SASL_PASSWORD": secret,
    }


def assert_one_sentence(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_absent_broker(tmp_path: Path, command: list[str]) -> None:
    server = f"127.0.0.1:{free_port()}"
    done = run(tmp_path, command, server, **password(SECRET))
    assert_one_sentence(done, f"There is no broker at {server}", "--bootstrap-servers")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_wrong_password(tmp_path: Path, command: list[str], password_kafka: ApacheKafka) -> None:
    done = run(tmp_path, command, password_kafka.sasl_bootstrap_servers, **password(SECRET))
    assert_one_sentence(done, "authentication failed", "DUOSHOU_SECURITY__SASL_PASSWORD")


def test_no_password_where_one_is_wanted(tmp_path: Path, password_kafka: ApacheKafka) -> None:
    done = run(tmp_path, COMMANDS["plan"], password_kafka.sasl_bootstrap_servers)
    assert_one_sentence(done, "hangs up on us", "security.sasl_mechanism")


def test_tls_where_none_is_spoken(tmp_path: Path, password_kafka: ApacheKafka) -> None:
    done = run(
        tmp_path,
        COMMANDS["plan"],
        password_kafka.bootstrap_servers,
        DUOSHOU_SECURITY__TLS="true",
    )
    assert_one_sentence(done, "security.tls")


def test_the_right_password_opens(tmp_path: Path, password_kafka: ApacheKafka) -> None:
    server = password_kafka.sasl_bootstrap_servers
    done = run(tmp_path, COMMANDS["apply"], server, **password(RIGHT))
    assert done.returncode == 0, done.stderr
    assert RIGHT not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["list", "replay"])
def test_a_missing_topic(tmp_path: Path, name: str, password_kafka: ApacheKafka) -> None:
    done = run(
        tmp_path,
        COMMANDS[name],
        password_kafka.bootstrap_servers,
        DUOSHOU_TOPIC_PREFIX="nowhere.",
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("run `duoshou topics apply`.")


def test_a_wrong_setting(tmp_path: Path) -> None:
    done = run(tmp_path, COMMANDS["plan"], "127.0.0.1:9092", DUOSHOU_PARTITIONS="many")
    assert_one_sentence(done, "Correct the setting partitions", "DUOSHOU_PARTITIONS")


def test_a_secret_in_the_wrong_place(tmp_path: Path) -> None:
    done = run(tmp_path, COMMANDS["plan"], "127.0.0.1:9092", DUOSHOU_SECURITY=SECRET)
    assert_one_sentence(done, "DUOSHOU_SECURITY__SASL_USERNAME")
