"""One log for all of these tests, and what a quiet run over it leaves behind."""

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from streams.brokers.apache import ApacheKafka
from streams.brokers.provision import apply_topics
from streams.settings import Settings
from tests.faults.crew import Crew
from tests.faults.ledger import Entry, make_log, write
from tests.faults.outcome import (
    Outcome,
    assert_adds_up,
    assert_same,
    await_committed,
    read_outcome,
)

EVENTS = 150_000
MERCHANTS = 1_500
DRAINED_WITHIN_S = 180.0

# kafka-python leaves its sockets to the collector when a broker goes away under it.
LEFT_SOCKETS = "ignore::pytest.PytestUnraisableExceptionWarning"

MakeSettings = Callable[..., Settings]


class Quiet(NamedTuple):
    """A log, and what one undisturbed worker made of it."""

    log: list[Entry]
    outcome: Outcome

    def assert_left_by(self, settings: Settings) -> None:
        """Another run over the log must have left the same, and nothing lost or counted twice."""
        found = read_outcome(settings)
        assert_same(found, self.outcome)
        assert_adds_up(found, self.log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(LEFT_SOCKETS))


@pytest.fixture(autouse=True)
def _collect_left_sockets() -> Iterator[None]:
    """Collect what a test of this folder left, so that no later test is told of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def quiet(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    """The log that the other runs write too, and what an undisturbed run made of it."""
    settings = faulty_settings(kafka.bootstrap_servers, "quiet.", checkpoint_interval_s=1.0)
    log = make_log(EVENTS, MERCHANTS, settings.partitions)
    apply_topics(settings)
    write(settings, log)
    with Crew(settings, tmp_path_factory.mktemp("quiet")) as crew:
        crew.start().await_ready()
        await_committed(settings, DRAINED_WITHIN_S)
    outcome = read_outcome(settings)
    assert_adds_up(outcome, log)
    return Quiet(log, outcome)


def faulty_settings(bootstrap_servers: str, prefix: str, **chosen: object) -> Settings:
    """Settings under which a lost worker is missed soon and checkpoints come often."""
    settings: dict[str, object] = {
        "bootstrap_servers": bootstrap_servers,
        "topic_prefix": prefix,
        "session_timeout_s": 6,
        "checkpoint_interval_s": 0.3,
        "ticks": False,
        **chosen,
    }
    return Settings.model_validate(settings)


@pytest.fixture
def settings_of(kafka: ApacheKafka, prefix: str) -> MakeSettings:
    """Makes the settings of a test whose topics are there."""

    def make(**chosen: object) -> Settings:
        settings = faulty_settings(kafka.bootstrap_servers, prefix, **chosen)
        apply_topics(settings)
        return settings

    return make
