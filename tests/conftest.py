"""The brokers that tests run on: each started once a test run, and only if a test asks for it."""

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

# The Kafka clients take a second to import: only where a test needs them.
if TYPE_CHECKING:
    from streams.brokers.apache import ApacheKafka
    from streams.brokers.embedded import EmbeddedBroker
    from streams.settings import Settings

REQUIRE_KAFKA = "DUOSHOU_REQUIRE_KAFKA"

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"kafka", "settings", "password_kafka"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


@pytest.fixture(autouse=True)
def _settings_of_the_machine_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("DUOSHOU_")]:
        if name != REQUIRE_KAFKA:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ApacheKafka]":
    """A real Apache Kafka for the whole test run: use a topic prefix of your own on it."""
    from streams.brokers.apache import ApacheKafka

    require_jars()
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[EmbeddedBroker]":
    """The embedded broker for the whole test run: use a topic prefix of your own on it."""
    from streams.brokers.embedded import EmbeddedBroker

    with EmbeddedBroker(tmp_path_factory.mktemp("embedded")) as broker:
        yield broker


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test of this run uses; names the consumer group too."""
    return f"t{next(_numbers)}."


@pytest.fixture
def settings(kafka: "ApacheKafka", prefix: str) -> "Settings":
    """Settings for the real broker, with names of this test's own. The topics are not made yet."""
    from streams.settings import load_settings

    return load_settings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)


def require_jars() -> None:
    """Skip the test where Apache Kafka cannot be had; fail where it must be (in CI)."""
    from streams.brokers.jars import server_jars
    from streams.errors import BrokerError

    try:
        server_jars()
    except BrokerError as error:
        if os.environ.get(REQUIRE_KAFKA) == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
