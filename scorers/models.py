"""Models as they are published: a scorecard, where it came from, and where learning goes on.

The models that count are those on the topic `models`, in its order: of a version the first counts,
versions only rise, and the newest is the live one. So everyone who reads the topic agrees.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorers.guards import check_move
from scorers.prior import BUILT_IN
from scorers.scorecard import Scorecard, check_scorecard
from scorers.training import Training, TrainingState

if TYPE_CHECKING:
    from collections.abc import Iterator


class Origin(StrEnum):
    """Where a model came from."""

    PUBLISHED = "published"
    """An operator wrote its weights."""
    LEARNT = "learnt"
    """The trainer learnt it from outcomes."""
    PROMOTED = "promoted"
    """A challenger took the champion's place."""
    ROLLED_BACK = "rolled_back"
    """An operator went back to an older version."""


GUARDED = frozenset({Origin.LEARNT, Origin.PROMOTED})
"""No person looks at these before they go live: they may move only so far at a time."""


class Learning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the trainer goes on from a model.

    Attributes:
        offset: of the next record of `examples` to learn from.
        sources: for each partition of the log, offset of the newest event learnt from.
        training: everything that has been learnt.
    """

    offset: int
    sources: dict[int, int]
    training: TrainingState


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model, on the topic `models`.

    Attributes:
        scorecard: What the workers score with; its version is the model's.
        origin: Where it came from.
        note: In words, for example the version that was gone back to.
        learning: Where learning goes on from it; null when it begins anew from the scorecard.
    """

    scorecard: Scorecard
    origin: Origin
    note: str = ""
    learning: Learning | None = None

    @property
    def version(self) -> int:
        """The scorecard's."""
        return self.scorecard.version


FIRST = Model(BUILT_IN, Origin.PUBLISHED, "built in")


def load_model(raw: bytes) -> Model:
    """Read a model from JSON.

    Raises:
        ValueError: it is malformed; the message says what is wrong.
    """
    try:
        model = msgspec.json.decode(raw, type=Model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a model: {error}") from None
    check_scorecard(model.scorecard)
    return model


def dump_model(model: Model) -> bytes:
    """Write a model as JSON that `load_model` reads back unchanged."""
    return msgspec.json.encode(model)


def record_key(version: int, raw: bytes) -> bytes:
    """Return the key of a model's record: in compaction no other content ever replaces it."""
    return f"{version}.{zlib.crc32(raw):08x}".encode()


class Position(NamedTuple):
    """How far learning has come on the topic `examples`, by what has been published."""

    offset: int
    sources: dict[int, int]
    """As in `Learning`."""


class Models:
    """All models that count, the built-in one first.

    Args:
        keep_learning: keep what older versions had learnt, to go back to them; else only the
            newest one's is kept.

    Attributes:
        position: where learning goes on, whichever model it goes on from: examples that were
            learnt from once are not learnt from again.
    """

    def __init__(self, *, keep_learning: bool = False) -> None:
        self._keep_learning = keep_learning
        self._models = {FIRST.version: FIRST}
        self._newest = FIRST
        self.position = Position(0, {})

    @property
    def newest(self) -> Model:
        """The live one."""
        return self._newest

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __getitem__(self, version: int) -> Model:
        """Return a version.

        Raises:
            KeyError: it has not been published, or was refused.
        """
        return self._models[version]

    def add(self, model: Model) -> None:
        """Take in a model that comes behind all others on the topic.

        Raises:
            ValueError: it does not count; what is live stays so.
        """
        version, newest = model.version, self._newest
        known = self._models.get(version)
        if known is not None and known.scorecard == model.scorecard:
            return
        if version <= newest.version:
            raise ValueError(f"model {version} comes behind version {newest.version}")
        if model.origin in GUARDED:
            check_move(model.scorecard, newest.scorecard)
        if not self._keep_learning:
            self._models[newest.version] = msgspec.structs.replace(newest, learning=None)
        self._models[version] = self._newest = model
        if model.learning is not None:
            self.position = Position(model.learning.offset, model.learning.sources)


def promoted(models: Models, challenger: str) -> Model:
    """Return the live model with a challenger in the champion's place, to be published.

    Raises:
        ValueError: there is no such challenger, or it cannot be the champion.
    """
    live = models.newest
    if live.learning is None:
        raise ValueError(f"model {live.version} has learnt nothing, so it has no challengers")
    state = live.learning.training
    training = Training.restored(state, state.prior)
    training.promote(challenger)
    learning = Learning(live.learning.offset, live.learning.sources, training.state())
    scorecard = training.scorecard(live.version + 1)
    return Model(scorecard, Origin.PROMOTED, f"an operator promoted the {challenger}", learning)


def rolled_back(models: Models, old: Model) -> Model:
    """Return an older model under a new version, to be published.

    Learning goes on from what it had learnt, at the example that learning had come to: what was
    learnt in between is forgotten and not learnt again.
    """
    learning = old.learning
    if learning is not None:
        learning = Learning(*models.position, learning.training)
    scorecard = msgspec.structs.replace(old.scorecard, version=models.newest.version + 1)
    return Model(scorecard, Origin.ROLLED_BACK, f"back to model {old.version}", learning)
