from __future__ import annotations

import msgspec
import pytest
from typer.testing import CliRunner

from scorers.models import Learning, Model, Models, Origin
from scorers.prior import BUILT_IN
from scorers.training import Training
from streams.commands.models import app
from streams.errors import OperatorError


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """A broker that holds one learnt model; what is published there."""
    training, published = Training(), list[Model]()
    training.take({"trend": -0.3}, False)
    models = Models()
    learning = Learning(1, {0: 0}, training.state())
    models.add(Model(training.scorecard(1), Origin.LEARNT, "", learning))
    monkeypatch.setattr("streams.brokers.models.read_models", lambda _: (models, []))
    monkeypatch.setattr(
        "streams.brokers.models.publish_model", lambda _, model: published.append(model)
    )
    return published


def test_promoting_the_tree_says_what_it_is_for_and_why_it_cannot_be(learnt: list[Model]) -> None:
    with pytest.raises(OperatorError) as refused:
        CliRunner().invoke(app, ["promote", "tree challenger"], catch_exceptions=False)
    assert str(refused.value) == (
        "Nothing was promoted: the tree challenger is there to show whether a curve tells loans "
        "apart better than a line, and cannot be promoted, since it is no scorecard and workers "
        "score by linear scorecards only."
    )
    assert not learnt


@pytest.mark.parametrize("arguments", [["show"], ["show", "--json"]])
def test_a_model_of_which_no_more_can_be_read_shows_its_weights_and_says_why(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    training, models = Training(), Models()
    training.take({"trend": -0.3}, False)
    learnt = training.state()
    champion = msgspec.structs.replace(learnt.champion, posteriors=[], evidence=[])
    learning = Learning(1, {0: 0}, msgspec.structs.replace(learnt, champion=champion))
    models.add(Model(training.scorecard(1), Origin.LEARNT, "", learning))
    monkeypatch.setattr("streams.brokers.models.read_models", lambda _: (models, []))
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False).output
    assert "silence_days" in shown
    assert "learn anew from the log" in shown


def test_promoting_the_linear_challenger_publishes_it(learnt: list[Model]) -> None:
    done = CliRunner().invoke(app, ["promote", "--json"], catch_exceptions=False)
    assert msgspec.json.decode(done.output)["version"] == 2
    (model,) = learnt
    assert model.origin is Origin.PROMOTED
    assert model.scorecard != BUILT_IN
