"""The online learner: Bayesian logistic regression that starts from an expert scorecard.

The weights of the expert scorecard are the mean of a normal prior. Each outcome moves mean and
covariance to the mode and the curvature of the posterior along the one direction that the example
speaks about (a Laplace step of rank one: Spiegelhalter and Lauritzen 1990; with the covariance
kept, one pass is nearly worth a batch fit). What no example speaks about stays as the expert had
it, and the covariance says how firmly.

It is a River classifier, and what it has learnt is a `Scorecard`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import numpy as np
from river import base

from scorers.prior import BUILT_IN
from scorers.scorecard import FEATURE_NAMES, Scorecard, check_scorecard, standardised, weights_of

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
STEPS = 50


class LearnerState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a learner has become; as JSON it restores to the same bits.

    Attributes:
        mean: bias, then the weights in the order of `features`, log-odds.
        covariance: of the mean, row by row; symmetric.
        features: names, so that a release with more features can tell.
        examples: outcomes learnt.
        rejected: examples refused.
    """

    mean: list[float]
    covariance: list[list[float]]
    features: list[str]
    examples: int
    rejected: int


class OnlineScorecard(base.Classifier):
    """Learns a scorecard from outcomes, one at a time.

    Args:
        prior: where learning starts; its means, scales, transforms and clips are kept, and a
            feature that it leaves out is not learnt.
        weight_sd: how far a weight may be from the prior's (one standard deviation).
        bias_sd: the same of the bias.

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
        self, prior: Scorecard = BUILT_IN, weight_sd: float = WEIGHT_SD, bias_sd: float = BIAS_SD
    ) -> None:
        if not (weight_sd > 0 and bias_sd > 0):
            raise ValueError("the standard deviations of the prior must be above 0")
        self.prior, self.weight_sd, self.bias_sd = prior, weight_sd, bias_sd
        self._weights = weights_of(prior)
        self._mean = np.concatenate(([self._weights.bias], self._weights.weight))
        deviations = np.full(len(self._mean), float(weight_sd))
        deviations[0] = bias_sd
        known = {entry.feature for entry in prior.features}
        deviations[1:][[name not in known for name in FEATURE_NAMES]] = 0.0
        self._covariance = np.diag(deviations**2)
        self.examples = 0
        self.rejected = 0

    def learn_one(self, x: Features, y: Any) -> None:
        """Learn one outcome.

        Args:
            x: features as `features.vector` defines them; one that is absent is left out or None.
            y: whether the loan defaulted.

        An example with a value that is not finite, or larger than any feature, is counted as
        rejected and changes nothing.
        """
        given = (x.get(name) for name in FEATURE_NAMES)
        if not all(value is None or _plausible(value) for value in given):
            self.rejected += 1
            return
        z = self._inputs(x)
        direction = self._covariance @ z
        spread = float(z @ direction)
        moved = _posterior_step(float(self._mean @ z), spread, bool(y))
        mean = self._mean + direction * moved.gain
        covariance = self._covariance - np.outer(direction, direction) * (
            moved.curvature / (1.0 + moved.curvature * spread)
        )
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            self.rejected += 1
            return
        self._mean, self._covariance = mean, covariance
        self.examples += 1

    def predict_proba_one(self, x: Features, **_: Any) -> dict[Any, float]:
        """Return the probability of default (True) and of none (False).

        A value that cannot be true counts as absent.
        """
        p = _logistic(float(self._mean @ self._inputs(x)))
        return {False: 1.0 - p, True: p}

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
        learner = type(self)(self.prior, self.weight_sd, self.bias_sd)
        learner._mean, learner._covariance = mean, covariance
        learner.examples, learner.rejected = state.examples, state.rejected
        return learner

    def standardised(self, x: Features) -> dict[str, float]:
        """Return the features as the learner sees them: standardised, clipped, none absent."""
        return dict(zip(FEATURE_NAMES, self._inputs(x)[1:].tolist(), strict=True))

    def _inputs(self, x: Features) -> NDArray[np.float64]:
        """Return 1 and the standardised features; a value that cannot be true counts as absent."""
        z = np.empty(len(FEATURE_NAMES) + 1)
        z[0] = 1.0
        for place, name in enumerate(FEATURE_NAMES):
            value = x.get(name)
            known = math.nan if value is None or not _plausible(value) else float(value)
            z[place + 1] = standardised(known, place, self._weights)
        return z


class _Step(NamedTuple):
    gain: float
    """y less the probability at the posterior mode, -1 to 1."""
    curvature: float
    """p (1 - p) there."""


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
        error = gain - (float(y) - p)
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


def _plausible(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= LARGEST_INPUT


def _logistic(log_odds: float) -> float:
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)
