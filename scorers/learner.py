"""The online learner: Bayesian logistic regression that starts from an expert scorecard.

The weights of the expert scorecard are the mean of a normal prior, and outcomes move it
(`scorers.posterior`). How far the expert may be wrong nobody knows beforehand, so there are several
priors of the same mean, one wide and one narrow, each with a posterior of its own, and what is
learnt is their average by how well each foretold the outcomes (Bayesian model averaging: Hoeting,
Madigan, Raftery and Volinsky 1999; evidence in sequence: Dawid 1984). With a memory, what was
learnt long ago fades back to the expert's, and so does that evidence.

It is a River classifier, and what it has learnt is a `Scorecard`.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import numpy as np
from river import base

from features.compiler import kernel
from scorers.measures import SMALLEST
from scorers.posterior import Posterior, PosteriorState, logistic
from scorers.prior import BUILT_IN
from scorers.scorecard import (
    FEATURE_NAMES,
    Scorecard,
    Weights,
    check_scorecard,
    standardised,
    weights_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Features = Mapping[Any, float | None]
    """Features by name, as `features.vector` defines them; absent: left out, or None."""

WEIGHT_SDS = (0.5, 0.15)
"""Standard deviations of each weight about the expert's, log-odds a standardised unit: what real
loans needed, and that of an expert who is right. `docs/learning.md` has the figures."""
BIAS_SD = 1.5
"""Standard deviation of the bias about the expert's, log-odds: base rates differ most."""
LARGEST_INPUT = 1e18
"""No feature comes near: a larger value is an error of whoever sent it."""
FORGET_EVERY = 50
"""Outcomes between two steps of forgetting: each step inverts two matrices."""


class LearnerState(msgspec.Struct, frozen=True):
    """Everything that a learner has become; as JSON it restores to the same bits.

    Attributes:
        features: names, so that a release with more features can tell.
        examples: outcomes learnt.
        rejected: examples refused.
        memory: outcomes after which what was learnt has faded to 1/e; None: it never does.
        posteriors: one for each width of the prior; none in what releases with a single one
            stored, of which nothing else is read.
        evidence: of each, log of how well it foretold the outcomes, 0 for the best.
    """

    features: list[str]
    examples: int
    rejected: int
    memory: int | None
    posteriors: list[PosteriorState] = []
    evidence: list[float] = []


class OnlineScorecard(base.Classifier):
    """Learns a scorecard from outcomes, one at a time.

    Args:
        prior: where learning starts; its means, scales, transforms and clips are kept, and a
            feature that it leaves out is not learnt.
        weight_sds: how far a weight may be from the prior's (one standard deviation), one for
            each posterior that is averaged.
        bias_sd: the same of the bias, in all of them.
        memory: outcomes after which what was learnt has faded to 1/e, `FORGET_EVERY` at least;
            None: it never does.

    Raises:
        ValueError: there is no standard deviation, or one is not above 0, or the memory is too
            short.

    Attributes:
        examples: outcomes learnt.
        rejected: examples refused; they have changed nothing.

    >>> learner = OnlineScorecard()
    >>> learner.predict_proba_one({})[True] < 0.03
    True
    >>> learner.learn_one({"silence_days": float("nan")}, True)
    >>> learner.examples, learner.rejected
    (0, 1)
    >>> learner.learn_one({"silence_days": 6.0}, True)
    >>> learner.predict_proba_one({"silence_days": 6.0})[True] > 0.1
    True
    """

    def __init__(
        self,
        prior: Scorecard = BUILT_IN,
        weight_sds: tuple[float, ...] = WEIGHT_SDS,
        bias_sd: float = BIAS_SD,
        memory: int | None = None,
    ) -> None:
        if not (weight_sds and min(weight_sds) > 0 and bias_sd > 0):
            raise ValueError("the standard deviations of the prior must be above 0")
        if memory is not None and memory < FORGET_EVERY:
            raise ValueError(f"a memory is of {FORGET_EVERY} outcomes or more, not {memory}")
        self.prior, self.weight_sds, self.bias_sd = prior, weight_sds, bias_sd
        self.memory = memory
        self._weights = weights_of(prior)
        mean = np.concatenate(([self._weights.bias], self._weights.weight))
        known = {entry.feature for entry in prior.features}
        learnable = np.array([True] + [name in known for name in FEATURE_NAMES])
        # What the prior leaves out has no variance, and nothing is learnt of it.
        self._posteriors = [
            Posterior(mean, learnable * np.array([bias_sd] + [sd] * len(FEATURE_NAMES)) ** 2)
            for sd in weight_sds
        ]
        self._evidence = [0.0] * len(weight_sds)
        self._average()
        self._last = _read({}, self._weights)
        self.examples = 0
        self.rejected = 0

    def accepts(self, x: Features) -> bool:
        """Return whether every value is finite and no larger than a feature can be."""
        return self._read(x).sound

    def learn_one(self, x: Features, y: Any) -> None:
        """Learn one outcome.

        Args:
            x: features as `features.vector` defines them; one that is absent is left out or None.
            y: whether the loan defaulted.

        An example with a value that is not finite, or larger than any feature, is counted as
        rejected and changes nothing.
        """
        read, defaulted = self._read(x), bool(y)
        steps = [posterior.step(read.z, defaulted) for posterior in self._posteriors]
        if not (read.sound and all(step.finite for step in steps)):
            self.rejected += 1
            return
        foretold = [
            math.log(max(step.probability if defaulted else 1 - step.probability, SMALLEST))
            for step in steps
        ]
        for posterior, step in zip(self._posteriors, steps, strict=True):
            posterior.take(step, defaulted)
        self._evidence = [e + f for e, f in zip(self._evidence, foretold, strict=True)]
        self.examples += 1
        at_rest = self.examples % FORGET_EVERY == 0
        if at_rest and self.memory is not None:
            self._fade(math.exp(-FORGET_EVERY / self.memory))
        if at_rest or defaulted:
            for posterior in self._posteriors:
                posterior.settle()
        self._average()

    @property
    def shares(self) -> dict[float, float]:
        """How much each width of the prior counts in what is learnt, by `weight_sds`; sums to 1."""
        return dict(zip(self.weight_sds, self._shares, strict=True))

    def copy(self) -> Self:
        """Return a learner of its own that goes on from here."""
        learner = copy.copy(self)
        learner._posteriors = [posterior.copy() for posterior in self._posteriors]
        return learner

    def forget(self, kept: float) -> None:
        """Go back towards the prior, as if the outcomes had been fewer.

        Args:
            kept: how much the outcomes still count, 0 (the prior) to 1 (as before).

        Raises:
            ValueError: `kept` is not between 0 and 1.
        """
        if not 0 <= kept <= 1:
            raise ValueError(f"the part kept is between 0 and 1, not {kept}")
        self._fade(kept)
        self._average()

    def _fade(self, kept: float) -> None:
        for posterior in self._posteriors:
            posterior.forget(kept)
        self._evidence = [kept * each for each in self._evidence]

    def _average(self) -> None:
        """Average bias and weights over the posteriors, by the evidence for each."""
        best = max(self._evidence)
        # What counts is how much more there is for one than for another.
        self._evidence = [each - best for each in self._evidence]
        likelihoods = [math.exp(each) for each in self._evidence]
        whole = sum(likelihoods)
        self._shares = [likelihood / whole for likelihood in likelihoods]
        self._mean = np.zeros_like(self._posteriors[0].mean)
        for posterior, share in zip(self._posteriors, self._shares, strict=True):
            self._mean += posterior.mean * share

    def predict_proba_one(self, x: Features, **_: Any) -> dict[Any, float]:
        """Return the probability of default (True) and of none (False).

        A value that cannot be true counts as absent.
        """
        p = logistic(float(self._mean @ self._read(x).z))
        return {False: 1.0 - p, True: p}

    def doubtful_probability(self, x: Features) -> float:
        """Return the probability of default, the nearer to 1/2 the less sure the weights are.

        It is the mean of the probability over the weights' uncertainty, 1e-9 to 1 - 1e-9.
        `predict_proba_one` gives that of the likeliest weights, as the kernels do.
        """
        z, mean = self._read(x).z, 0.0
        for posterior, share in zip(self._posteriors, self._shares, strict=True):
            mean += posterior.doubtful_probability(z) * share
        return min(max(mean, 1e-9), 1 - 1e-9)

    def scorecard(self, version: int) -> Scorecard:
        """Return what has been learnt, for the kernels.

        Raises:
            ValueError: it is not fit to be published.
        """
        learnt = dict(zip(FEATURE_NAMES, self._mean[1:].tolist(), strict=True))
        features = tuple(
            msgspec.structs.replace(entry, weight=learnt[entry.feature])
            for entry in self.prior.features
        )
        card = Scorecard(version=version, bias=float(self._mean[0]), features=features)
        check_scorecard(card)
        return card

    def state(self) -> LearnerState:
        """Return everything learnt, to be stored."""
        return LearnerState(
            list(FEATURE_NAMES),
            self.examples,
            self.rejected,
            self.memory,
            [posterior.state() for posterior in self._posteriors],
            list(self._evidence),
        )

    def restored(self, state: LearnerState) -> Self:
        """Return a learner of the same prior that goes on from `state`.

        Raises:
            ValueError: the state has other features or posteriors, another shape, or is not finite.
        """
        if state.features != list(FEATURE_NAMES):
            raise ValueError("the learner's state is of other features: learn anew from the log")
        widths = len(self.weight_sds)
        if not len(state.posteriors) == len(state.evidence) == widths:
            raise ValueError(
                f"the learner's state is not of {widths} widths of the prior: learn anew from "
                "the log"
            )
        if not all(map(math.isfinite, state.evidence)):
            raise ValueError("the learner's state is not finite")
        learner = type(self)(self.prior, self.weight_sds, self.bias_sd, state.memory)
        learner._posteriors = [
            posterior.restored(stored)
            for posterior, stored in zip(learner._posteriors, state.posteriors, strict=True)
        ]
        learner._evidence = list(state.evidence)
        learner._average()
        learner.examples, learner.rejected = state.examples, state.rejected
        return learner

    def standardised(self, x: Features) -> dict[str, float]:
        """Return the features as the learner sees them: standardised, clipped, none absent.

        A value that cannot be true counts as absent.
        """
        return dict(zip(FEATURE_NAMES, self._read(x).z[1:].tolist(), strict=True))

    def _read(self, x: Features) -> _Read:
        """Read an example once: it is predicted, doubted and learnt in a row."""
        if x != self._last.x:
            self._last = _read(x, self._weights)
        return self._last


class _Read(NamedTuple):
    x: Features
    z: NDArray[np.float64]
    """1 and the standardised features."""
    sound: bool
    """Whether every value is finite and no larger than a feature can be."""


def _read(x: Features, weights: Weights) -> _Read:
    values = [x.get(name) for name in FEATURE_NAMES]
    z = np.empty(len(FEATURE_NAMES) + 1)
    impossible = _fill(np.array(values, np.float64), weights, z)
    return _Read(dict(x), z, impossible == values.count(None))


@kernel
def _fill(vector: NDArray[np.float64], weights: Weights, z: NDArray[np.float64]) -> int:
    """Write 1 and the standardised features to `z`; return how many are absent or too large."""
    z[0] = 1.0
    absent = 0
    for feature in range(len(vector)):
        value = vector[feature]
        possible = abs(value) <= LARGEST_INPUT
        absent += not possible
        z[feature + 1] = standardised(value if possible else math.nan, feature, weights)
    return absent
