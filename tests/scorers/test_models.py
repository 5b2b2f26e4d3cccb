from __future__ import annotations

import msgspec
import pytest

from scorers.models import (
    FIRST,
    Learning,
    Model,
    Models,
    Origin,
    dump_model,
    load_model,
    promoted,
    record_key,
    rolled_back,
)
from scorers.prior import BUILT_IN
from scorers.training import LINEAR, TREE, Training


def learnt(version: int, offset: int, outcomes: int = 3) -> Model:
    """A model that has learnt so many outcomes, up to an offset of `examples`."""
    training = Training()
    for number in range(outcomes):
        training.take({"silence_days": float(number)}, number % 3 == 0)
    learning = Learning(offset, {0: 10 * offset}, training.state())
    return Model(training.scorecard(version), Origin.LEARNT, learning=learning)


def written(version: int, bias: float = BUILT_IN.bias) -> Model:
    """A model that an operator wrote."""
    return Model(msgspec.structs.replace(BUILT_IN, version=version, bias=bias), Origin.PUBLISHED)


def models_of(*added: Model) -> Models:
    models = Models(keep_learning=True)
    for model in added:
        models.add(model)
    return models


def test_a_model_reads_back_as_it_was_written() -> None:
    model = learnt(1, 7)
    assert load_model(dump_model(model)) == model


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"scorecard": 1}'])
def test_what_is_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a model"):
        load_model(raw)


def test_the_newest_counts_and_all_can_be_named() -> None:
    models = models_of(written(1), learnt(5, 7))
    assert models.newest.version == 5
    assert [model.version for model in models] == [0, 1, 5]
    assert models[1] == written(1)
    with pytest.raises(KeyError):
        models[2]


def test_of_a_version_the_first_counts() -> None:
    models = models_of(written(1, -3.0))
    models.add(written(1, -3.0))
    with pytest.raises(ValueError, match="comes behind"):
        models.add(written(1, -2.0))
    assert models.newest == written(1, -3.0)


def test_a_version_below_the_newest_does_not_count() -> None:
    models = models_of(written(3))
    with pytest.raises(ValueError, match="model 2 comes behind version 3"):
        models.add(written(2))


def test_only_a_person_may_move_the_probabilities_far() -> None:
    far = written(1, BUILT_IN.bias + 6.0)
    by_trainer = msgspec.structs.replace(far, origin=Origin.LEARNT)
    models = models_of()
    with pytest.raises(ValueError, match="mean probability"):
        models.add(by_trainer)
    assert models.newest == FIRST
    models.add(far)
    assert models.newest == far


def test_what_older_models_had_learnt_is_kept_only_where_it_is_wanted() -> None:
    first, second = learnt(1, 3), learnt(2, 7, outcomes=5)
    kept, dropped = models_of(first, second), Models()
    for model in (first, second):
        dropped.add(model)
    assert kept[1].learning == first.learning
    assert dropped[1].learning is None
    assert dropped.newest.learning == second.learning


def test_learning_goes_on_behind_what_was_learnt_whoever_published_last() -> None:
    models = models_of(learnt(1, 3), learnt(2, 7))
    assert models.position == (7, {0: 70})
    models.add(written(3))
    assert models.position == (7, {0: 70})


@pytest.mark.parametrize("live", [learnt(2, 7, outcomes=5), written(2)])
def test_going_back_takes_up_what_was_learnt_then_at_the_present_example(live: Model) -> None:
    first = learnt(1, 3)
    models = models_of(first, live)
    again = rolled_back(models, first)
    assert again.version == 3
    assert again.scorecard == msgspec.structs.replace(first.scorecard, version=3)
    assert again.learning is not None
    assert first.learning is not None
    assert again.learning.training == first.learning.training
    assert again.learning.offset == models.position.offset
    models.add(again)
    assert models.newest == again


def test_a_challenger_takes_the_champions_place_with_all_that_it_has_learnt() -> None:
    live = learnt(1, 3, outcomes=60)
    assert live.learning is not None
    model = promoted(models_of(live), LINEAR)
    assert (model.version, model.origin) == (2, Origin.PROMOTED)
    assert model.learning is not None
    assert model.learning.training.champion == live.learning.training.challenger
    assert model.learning.offset == 3


def test_a_tree_cannot_be_the_champion_and_without_learning_there_is_no_challenger() -> None:
    with pytest.raises(ValueError, match="no scorecard"):
        promoted(models_of(learnt(1, 3)), TREE)
    with pytest.raises(ValueError, match="no challengers"):
        promoted(models_of(), LINEAR)


def test_other_content_never_has_the_same_key() -> None:
    one, other = dump_model(written(1, -3.0)), dump_model(written(1, -2.0))
    assert record_key(1, one) != record_key(1, other)
    assert record_key(1, one).startswith(b"1.")
