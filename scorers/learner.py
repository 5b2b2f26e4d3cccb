"""The online learner: Bayesian logistic regression that starts from an expert scorecard.

The weights of the expert scorecard are the mean of a normal prior. Each outcome moves mean and
covariance to the mode and the curvature of the posterior along the one direction that the example
speaks about (a Laplace step of rank one: Spiegelhalter and Lauritzen 1990; with the covariance
kept, one pass is nearly worth a batch fit). What no example speaks about stays as the expert had
it, and the covariance says how firmly. With a memory, what was learnt long ago fades back to the
expert's. The bias is kept where as many loans are expected to go bad as do (`scorers.level`).

It is a River classifier, and what it has learnt is a `Scorecard`.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import numpy as np
from river import base

from features.compiler import inlined, kernel
from scorers.level import Level, LevelState
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

WEIGHT_SD = 0.5
"""Standard deviation of each weight about the expert's, log-odds a standardised unit."""
BIAS_SD = 1.5
"""Standard deviation of the bias about the expert's, log-odds: base rates differ most."""
LARGEST_INPUT = 1e18
"""No feature comes near: a larger value is an error of whoever sent it."""
FORGET_EVERY = 50
"""Outcomes between two steps of forgetting: each step inverts two matrices."""
STEPS = 50


class LearnerState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a learner has become; as JSON it restores to the same bits.

    Attributes:
        mean: bias, then the weights in the order of `features`, log-odds.
        covariance: of the mean, row by row; symmetric.
        features: names, so that a release with more features can tell.
        examples: outcomes learnt.
        rejected: examples refused.
        memory: outcomes after which what was learnt has faded to 1/e; None: it never does.
        level: of the probabilities; null in what was stored before it was kept.
    """

    mean: list[float]
    covariance: list[list[float]]
    features: list[str]
    examples: int
    rejected: int
    memory: int | None
    level: LevelState | None = None


class OnlineScorecard(base.Classifier):
    """Learns a scorecard from outcomes, one at a time.

    Args:
        prior: where learning starts; its means, scales, transforms and clips are kept, and a
            feature that it leaves out is not learnt.
        weight_sd: how far a weight may be from the prior's (one standard deviation).
        bias_sd: the same of the bias.
        memory: outcomes after which what was learnt has faded to 1/e, `FORGET_EVERY` at least;
            None: it never does.

    Raises:
        ValueError: a standard deviation is not above 0, or the memory is too short.

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
        weight_sd: float = WEIGHT_SD,
        bias_sd: float = BIAS_SD,
        memory: int | None = None,
    ) -> None:
        if not (weight_sd > 0 and bias_sd > 0):
            raise ValueError("the standard deviations of the prior must be above 0")
        if memory is not None and memory < FORGET_EVERY:
            raise ValueError(f"a memory is of {FORGET_EVERY} outcomes or more, not {memory}")
        self.prior, self.weight_sd, self.bias_sd = prior, weight_sd, bias_sd
        self.memory = memory
        self._weights = weights_of(prior)
        self._prior_mean = np.concatenate(([self._weights.bias], self._weights.weight))
        deviations = np.full(len(self._prior_mean), float(weight_sd))
        deviations[0] = bias_sd
        known = {entry.feature for entry in prior.features}
        deviations[1:][[name not in known for name in FEATURE_NAMES]] = 0.0
        self._prior_variance = deviations**2
        self._mean = self._prior_mean.copy()
        self._covariance = np.diag(self._prior_variance)
        # What the prior leaves out has no variance, and nothing is learnt of it.
        self._learnt = np.flatnonzero(self._prior_variance)
        self._level = Level(pull=1 / bias_sd**2)
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
        if not self.accepts(x):
            self.rejected += 1
            return
        mean, covariance = np.empty_like(self._mean), np.empty_like(self._covariance)
        direction, z = np.empty_like(mean), self._inputs(x)
        if not _learn(self._mean, self._covariance, z, bool(y), direction, mean, covariance):
            self.rejected += 1
            return
        self._follow(mean - self._mean, _logistic(float(mean @ z)), bool(y))
        self._mean, self._covariance = mean, covariance
        self.examples += 1
        at_rest = self.examples % FORGET_EVERY == 0
        if at_rest and self.memory is not None:
            self.forget(math.exp(-FORGET_EVERY / self.memory))
        if at_rest or y:
            mean = self._mean.copy()
            mean[0] += self._level.shift(float(mean[0] - self._prior_mean[0]))
            self._mean = mean

    def copy(self) -> Self:
        """Return a learner of its own that goes on from here."""
        learner = copy.copy(self)
        # The arrays are never changed, only replaced; the level is.
        learner._level = copy.copy(self._level)
        return learner

    def forget(self, kept: float) -> None:
        """Go back towards the prior, as if the outcomes had been fewer.

        Precision L becomes k L + (1 - k) L0, and the product of precision and mean likewise, with
        k the part kept and L0 the prior's.

        Args:
            kept: how much the outcomes still count, 0 (the prior) to 1 (as before).

        Raises:
            ValueError: `kept` is not between 0 and 1.
        """
        if not 0 <= kept <= 1:
            raise ValueError(f"the part kept is between 0 and 1, not {kept}")
        learnt, prior = self._learnt, 1 / self._prior_variance[self._learnt]
        of_outcomes = self._of_outcomes()
        before = self._mean[learnt]
        covariance = np.linalg.inv(kept * of_outcomes + np.diag(prior))
        covariance = (covariance + covariance.T) / 2
        of_prior = (1 - kept) * prior * self._prior_mean[learnt]
        mean = covariance @ (kept * (of_outcomes @ before + prior * before) + of_prior)
        self._level.moved(float(of_outcomes[0] @ (mean - before)))
        self._level.fade(kept)
        self._mean, self._covariance = self._mean.copy(), np.zeros_like(self._covariance)
        self._mean[learnt], self._covariance[np.ix_(learnt, learnt)] = mean, covariance

    def _of_outcomes(self) -> NDArray[np.float64]:
        """Return the part of the precision that outcomes gave, of what is learnt."""
        precision = np.linalg.inv(self._covariance[np.ix_(self._learnt, self._learnt)])
        of_outcomes: NDArray[np.float64] = precision - np.diag(
            1 / self._prior_variance[self._learnt]
        )
        return of_outcomes

    def _follow(self, step: NDArray[np.float64], probability: float, y: bool) -> None:
        """Let the level follow the step that an outcome has led to, and count the outcome.

        Args:
            step: of the mean.
            probability: of the outcome's default, behind the step.
            y: whether it did.
        """
        # At the mode the step times the outcomes' precision is this, to the first order.
        change = y - probability - float(step[0]) * self._level.pull
        if y:
            learnt = step[self._learnt]
            change += self._level.skew * float(learnt @ self._of_outcomes() @ learnt) / 2
        self._level.moved(change)
        self._level.learnt(probability, y)

    def predict_proba_one(self, x: Features, **_: Any) -> dict[Any, float]:
        """Return the probability of default (True) and of none (False).

        A value that cannot be true counts as absent.
        """
        p = _logistic(float(self._mean @ self._inputs(x)))
        return {False: 1.0 - p, True: p}

    def doubtful_probability(self, x: Features) -> float:
        """Return the probability of default, the nearer to 1/2 the less sure the weights are.

        It is the mean of the probability over the weights' uncertainty (MacKay 1992), 1e-9 to
        1 - 1e-9. `predict_proba_one` gives that of the likeliest weights, as the kernels do.
        """
        z = self._inputs(x)
        variance = float(z @ self._covariance @ z)
        log_odds = float(self._mean @ z) / math.sqrt(1 + math.pi * variance / 8)
        return min(max(_logistic(log_odds), 1e-9), 1 - 1e-9)

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
            self._mean.tolist(),
            self._covariance.tolist(),
            list(FEATURE_NAMES),
            self.examples,
            self.rejected,
            self.memory,
            self._level.state(),
        )

    def restored(self, state: LearnerState) -> Self:
        """Return a learner of the same prior that goes on from `state`.

        Raises:
            ValueError: the state has other features, another shape, or is not finite.
        """
        mean, covariance = np.array(state.mean), np.array(state.covariance)
        size = len(FEATURE_NAMES) + 1
        if state.features != list(FEATURE_NAMES):
            raise ValueError("the learner's state is of other features: learn anew from the log")
        if mean.shape != (size,) or covariance.shape != (size, size):
            raise ValueError(f"the learner's state is not of {size} weights")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise ValueError("the learner's state is not finite")
        learner = type(self)(self.prior, self.weight_sd, self.bias_sd, state.memory)
        learner._mean, learner._covariance = mean, covariance
        learner.examples, learner.rejected = state.examples, state.rejected
        learner._level = learner._level_of(state)
        return learner

    def _level_of(self, state: LearnerState) -> Level:
        """Return the level of a state, or the one at which a state without one is at rest."""
        if state.level is not None:
            return self._level.restored(state.level)
        expected = max(float(self._of_outcomes()[0, 0]), 0.0)
        bad = expected + float(self._mean[0] - self._prior_mean[0]) * self._level.pull
        sums = (expected, expected, expected)
        return self._level.restored(LevelState(max(bad, 0.0), expected, expected, sums))

    def standardised(self, x: Features) -> dict[str, float]:
        """Return the features as the learner sees them: standardised, clipped, none absent."""
        return dict(zip(FEATURE_NAMES, self._inputs(x)[1:].tolist(), strict=True))

    def _inputs(self, x: Features) -> NDArray[np.float64]:
        """Return 1 and the standardised features; a value that cannot be true counts as absent."""
        return self._read(x).z

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


class _Step(NamedTuple):
    gain: float
    """y less the probability at the posterior mode, -1 to 1."""
    curvature: float
    """p (1 - p) there."""


@inlined
def _logistic(log_odds: float) -> float:
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


@inlined
def _posterior_step(log_odds: float, spread: float, y: bool) -> _Step:
    """Return the mode of the posterior along an example's direction.

    The mode solves gain = y - p(log_odds + spread * gain); the left side rises and the right
    side falls with the gain, so there is one solution between y - 1 and y. Bisection with Newton
    steps finds it to the last bit or two.
    """
    low, high = (0.0, 1.0) if y else (-1.0, 0.0)
    gain = (low + high) / 2
    p = 0.5
    for _ in range(STEPS):
        p = _logistic(log_odds + spread * gain)
        error = gain - (1.0 - p if y else -p)
        if error > 0:
            high = gain
        else:
            low = gain
        newton = gain - error / (1.0 + spread * p * (1.0 - p))
        following = newton if low < newton < high else (low + high) / 2
        if following == gain:
            break
        gain = following
    return _Step(gain, p * (1.0 - p))


@kernel
def _learn(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    z: NDArray[np.float64],
    y: bool,
    direction: NDArray[np.float64],
    mean_after: NDArray[np.float64],
    covariance_after: NDArray[np.float64],
) -> bool:
    """Write mean and covariance after one example; return whether all of it is finite."""
    log_odds, spread = 0.0, 0.0
    for row in range(len(z)):
        along = 0.0
        for column in range(len(z)):
            along += covariance[row, column] * z[column]
        direction[row] = along
        log_odds += mean[row] * z[row]
        spread += along * z[row]
    moved = _posterior_step(log_odds, spread, y)
    shrink = moved.curvature / (1.0 + moved.curvature * spread)
    finite = True
    for row in range(len(z)):
        mean_after[row] = mean[row] + direction[row] * moved.gain
        finite = finite and math.isfinite(mean_after[row])
        for column in range(len(z)):
            after = covariance[row, column] - direction[row] * direction[column] * shrink
            covariance_after[row, column] = after
            finite = finite and math.isfinite(after)
    return finite


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
