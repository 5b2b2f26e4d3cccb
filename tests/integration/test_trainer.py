from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from scorers.loans import Example, LoanKind
from scorers.models import Learning, Model, Models, Origin
from scorers.prior import BUILT_IN
from scorers.training import Training
from streams.brokers.clients import producer_settings
from streams.brokers.models import publish_model, read_models
from streams.brokers.provision import apply_topics
from streams.commands.models import app
from streams.contract.examples import EXAMPLES
from streams.errors import OperatorError
from streams.settings import Settings, load_settings
from streams.worker.process import WorkerProcess
from tests.faults.outcome import everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from streams.brokers.apache import ApacheKafka

WITHIN_S = 90.0
KILLS = 2


@pytest.fixture
def learning(kafka: ApacheKafka, prefix: str) -> Settings:
    """Settings under which a model is published every 20 outcomes; the topics are there."""
    settings = load_settings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=prefix,
        session_timeout_s=6,
        snapshot_examples=20,
        snapshot_interval_s=0.5,
    )
    apply_topics(settings)
    return settings


@pytest.fixture
def run(learning: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `duoshou models` and returns what it prints as JSON."""
    for name, value in learning.as_environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    return run


def made(n: int, seed: int = 0) -> list[Example]:
    """Synthetic loans, over four partitions of a log; silence and a low trend are bad."""
    dice = random.Random(seed)
    (usual,) = (each for each in EXAMPLES[Example] if isinstance(each, Example))
    offsets = [0, 0, 0, 0]
    examples = []
    for number in range(n):
        partition = dice.randrange(4)
        offsets[partition] += dice.randint(1, 50)
        silence, trend = dice.expovariate(0.5), dice.gauss(0, 0.2)
        bad = dice.random() < 1 / (1 + 2.718 ** (3 - silence / 2 + 5 * trend))
        examples.append(
            msgspec.structs.replace(
                usual,
                loan_id=f"l{number}",
                outcome=LoanKind.DEFAULTED if bad else LoanKind.SETTLED,
                defaulted=bad,
                features={"silence_days": silence, "trend": trend, "payers_28": None},
                source_partition=partition,
                source_offset=offsets[partition],
            )
        )
    return examples


def send(settings: Settings, values: Sequence[Example | bytes]) -> None:
    producer = KafkaProducer(**producer_settings(settings))
    for value in values:
        raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
        producer.send(settings.topics.examples.name, raw, partition=0)
    producer.flush()
    producer.close()


def awaited(
    settings: Settings, outcomes: int, meanwhile: Callable[[], None] = lambda: None
) -> Models:
    """The models, once the newest has learnt so many outcomes."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        models, refused = read_models(settings)
        assert not refused
        learning = models.newest.learning
        if learning is not None and learning.training.outcomes >= outcomes:
            return models
        assert time.monotonic() < deadline, f"learnt {learning and learning.training.outcomes}"
        meanwhile()
        time.sleep(0.2)


@pytest.fixture
def trainer(learning: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(learning, tmp_path, "trainer") as trainer:
        trainer.await_ready()
        yield trainer


def test_killed_anywhere_it_learns_each_example_once_and_in_order(
    learning: Settings, tmp_path: Path
) -> None:
    examples = made(700)
    dice = random.Random(7)
    written: list[Example | bytes] = []
    for number, example in enumerate(examples):
        written.append(example)
        if number % 90 == 50:
            # A worker that crashed sends its last examples again.
            written += examples[number - 5 : number + 1]
        if number % 200 == 100:
            written += [b"{not an example", b'{"features": 1}']
    for part in range(KILLS + 1):
        some = slice(part * len(written) // (KILLS + 1), (part + 1) * len(written) // (KILLS + 1))
        send(learning, written[some])
        with WorkerProcess(learning, tmp_path, "trainer") as trainer:
            if part == KILLS:
                models = awaited(learning, len(examples), trainer.check)
            else:
                trainer.await_ready()
                time.sleep(dice.uniform(0.0, 1.0))
                trainer.kill()
    expected = Training()
    for example in examples:
        expected.take(example.features, example.defaulted)
    newest = models.newest
    assert newest.learning is not None
    assert newest.learning.training == expected.state()
    assert newest.scorecard == expected.scorecard(newest.version)
    assert [model.version for model in models] == list(range(newest.version + 1))
    letters = [dict(each.headers) for each in everything(learning, learning.topics.dead_letters)]
    assert {each["duoshou-reason"] for each in letters} == {b"wrong_type"}
    assert len({each["duoshou-offset"] for each in letters}) == 6


def test_a_second_trainer_takes_over_when_the_first_is_gone(
    learning: Settings, tmp_path: Path, trainer: WorkerProcess
) -> None:
    examples = made(120)
    (tmp_path / "second").mkdir()
    with WorkerProcess(learning, tmp_path / "second", "trainer") as second:
        send(learning, examples[:60])
        awaited(learning, 60, second.check)
        trainer.kill()
        send(learning, examples[60:])
        models = awaited(learning, 120, second.check)
    expected = Training()
    for example in examples:
        expected.take(example.features, example.defaulted)
    assert models.newest.learning is not None
    assert models.newest.learning.training == expected.state()


def test_learning_goes_on_from_the_model_that_an_operator_went_back_to(
    learning: Settings, trainer: WorkerProcess, run: Callable[..., Any]
) -> None:
    examples = made(100)
    send(learning, examples[:20])
    first = awaited(learning, 20, trainer.check).newest
    send(learning, examples[20:60])
    awaited(learning, 60, trainer.check)
    version = run("rollback", str(first.version))["version"]
    listed = run("list")["models"]
    assert [each["version"] for each in listed if each["live"]] == [version]
    assert listed[-1]["origin"] == "rolled_back"
    assert listed[-1]["outcomes"] == 20
    send(learning, examples[60:])
    models = awaited(learning, 60, trainer.check)
    deadline = time.monotonic() + WITHIN_S
    while models.newest.origin is Origin.ROLLED_BACK:
        assert time.monotonic() < deadline
        models = awaited(learning, 60, trainer.check)
    expected = Training()
    for example in (*examples[:20], *examples[60:]):
        expected.take(example.features, example.defaulted)
    newest = models.newest
    assert newest.learning is not None
    assert newest.learning.training == expected.state()
    shown = run("show")
    assert shown["report"]["models"]["champion"]["outcomes"] == 60
    assert len(run("show", "0")["scorecard"]["features"]) == len(BUILT_IN.features)


def test_what_another_release_learnt_is_learnt_anew_and_published_when_it_has_come_as_far(
    learning: Settings, tmp_path: Path
) -> None:
    examples, before, whole = made(150), Training(), Training()
    for number, example in enumerate(examples):
        whole.take(example.features, example.defaulted)
        if number < 130:
            before.take(example.features, example.defaulted)
    state = before.state()
    champion = msgspec.structs.replace(state.champion, posteriors=[], evidence=[])
    stored = msgspec.structs.replace(state, champion=champion)
    old = Model(before.scorecard(1), Origin.LEARNT, "", Learning(130, {}, stored))
    send(learning, examples)
    publish_model(learning, old)
    with WorkerProcess(learning, tmp_path, "trainer") as trainer:
        models = awaited(learning, len(examples), trainer.check)
    outcomes = [model.learning.training.outcomes for model in models if model.learning]
    assert outcomes[0] == 130
    assert min(outcomes) == 130
    newest = models.newest.learning
    assert newest is not None
    assert newest.training == whole.state()


def test_a_challenger_can_be_promoted_by_hand_and_a_tree_cannot(
    learning: Settings, trainer: WorkerProcess, run: Callable[..., Any]
) -> None:
    send(learning, made(20))
    awaited(learning, 20, trainer.check)
    with pytest.raises(OperatorError, match="no scorecard"):
        run("promote", "tree challenger")
    assert "promoted" in run("promote")["note"]
    assert run("list")["models"][-1]["origin"] == "promoted"


def test_without_a_model_that_has_learnt_there_is_nothing_to_promote_or_go_back_to(
    learning: Settings, run: Callable[..., Any]
) -> None:
    assert [each["note"] for each in run("list")["models"]] == ["built in"]
    with pytest.raises(OperatorError, match="no challengers"):
        run("promote")
    with pytest.raises(OperatorError, match="no model before"):
        run("rollback")
    with pytest.raises(OperatorError, match="There is no model 7; there are 0"):
        run("rollback", "7")


def test_weights_of_an_operator_are_where_learning_begins_anew(
    learning: Settings, trainer: WorkerProcess
) -> None:
    examples = made(60)
    send(learning, examples[:40])
    awaited(learning, 40, trainer.check)
    version = read_models(learning)[0].newest.version + 1
    theirs = msgspec.structs.replace(BUILT_IN, version=version, bias=-4.0)
    publish_model(learning, Model(theirs, Origin.PUBLISHED))
    deadline = time.monotonic() + WITHIN_S
    while trainer.metric("duoshou_model_version") != version:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    send(learning, examples[40:])
    while (models := read_models(learning)[0]).newest.version == version:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    models = awaited(learning, 20, trainer.check)
    expected = Training(theirs)
    for example in examples[40:]:
        expected.take(example.features, example.defaulted)
    assert models.newest.learning is not None
    assert models.newest.learning.training == expected.state()
