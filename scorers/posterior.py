"""A normal posterior of a scorecard's weights, which one outcome after the other moves.

Each outcome moves mean and covariance to the mode and the curvature of the posterior along the one
direction that the example speaks about (a Laplace step of rank one: Spiegelhalter and Lauritzen
1990; with the covariance kept, one pass is nearly worth a batch fit). What no example speaks about
stays as the prior had it, and the covariance says how firmly. The bias is kept where as many loans
are expected to go bad as do (`scorers.level`).
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
import numpy as np

from features.compiler import inlined, kernel
from scorers.level import Level, LevelState

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 50


class PosteriorState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a posterior has become; as JSON it restores to the same bits.

    Attributes:
        mean: bias, then the weights, log-odds.
        covariance: of the mean, row by row; symmetric.
        level: of the probabilities.
    """

    mean: list[float]
    covariance: list[list[float]]
    level: LevelState


class Step(NamedTuple):
    """Where an outcome moves a posterior."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    probability: float
    """Of default, before the step."""
    gain: float
    """y less the probability behind the step, -1 to 1."""
    bend: float
    """The step times the precision that outcomes gave times the step."""
    finite: bool
    """Whether all of it is."""


class Posterior:
    """Bias and weights as outcomes have them, about a prior.

    Args:
        mean: the prior's, log-odds.
        variance: the prior's, of each by itself; what has none is not learnt.

    Attributes:
        mean: log-odds; the array is never changed, only replaced.
    """

    def __init__(self, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
        self._prior_mean = mean
        self._learnt = np.flatnonzero(variance)
        self._prior_precision = np.zeros_like(variance)
        self._prior_precision[self._learnt] = 1 / variance[self._learnt]
        self.mean = mean
        self._covariance = np.diag(variance)
        self._level = Level(pull=float(self._prior_precision[0]))

    def copy(self) -> Self:
        """Return a posterior of its own that goes on from here."""
        posterior = copy.copy(self)
        posterior._level = copy.copy(self._level)
        return posterior

    def doubtful_probability(self, z: NDArray[np.float64]) -> float:
        """Return the mean probability of default over the weights' uncertainty (MacKay 1992).

        Args:
            z: 1 and the inputs.
        """
        variance = float(z @ self._covariance @ z)
        return logistic(float(self.mean @ z) / math.sqrt(1 + math.pi * variance / 8))

    def step(self, z: NDArray[np.float64], y: bool) -> Step:
        """Return where an outcome would move it; nothing has moved yet.

        Args:
            z: 1 and the inputs.
            y: whether the loan defaulted.
        """
        mean, covariance = np.empty_like(self.mean), np.empty_like(self._covariance)
        probability, gain, bend, finite = _step(
            self.mean,
            self._covariance,
            self._prior_precision,
            z,
            y,
            np.empty_like(mean),
            mean,
            covariance,
        )
        return Step(mean, covariance, probability, gain, bend, finite)

    def take(self, step: Step, y: bool) -> None:
        """Move to where the outcome leads, and let the level follow."""
        # At the mode the step times the outcomes' precision is this, to the first order.
        change = step.gain - float(step.mean[0] - self.mean[0]) * self._level.pull
        if y:
            change += self._level.skew * step.bend / 2
        self._level.moved(change)
        self._level.learnt(y - step.gain, y)
        self.mean, self._covariance = step.mean, step.covariance

    def settle(self) -> None:
        """Shift the bias to where as many loans are expected to go bad as did."""
        mean = self.mean.copy()
        mean[0] += self._level.shift(float(mean[0] - self._prior_mean[0]))
        self.mean = mean

    def forget(self, kept: float) -> None:
        """Go back towards the prior, as if the outcomes had been fewer.

        Precision L becomes k L + (1 - k) L0, and the product of precision and mean likewise, with
        k the part kept and L0 the prior's.

        Args:
            kept: how much the outcomes still count, 0 (the prior) to 1 (as before).
        """
        learnt, prior = self._learnt, self._prior_precision[self._learnt]
        precision = np.linalg.inv(self._covariance[np.ix_(learnt, learnt)])
        of_outcomes = precision - np.diag(prior)
        before = self.mean[learnt]
        covariance = np.linalg.inv(kept * of_outcomes + np.diag(prior))
        covariance = (covariance + covariance.T) / 2
        of_prior = (1 - kept) * prior * self._prior_mean[learnt]
        after = covariance @ (kept * (of_outcomes @ before + prior * before) + of_prior)
        self._level.moved(float(of_outcomes[0] @ (after - before)))
        self._level.fade(kept)
        self.mean, self._covariance = self.mean.copy(), np.zeros_like(self._covariance)
        self.mean[learnt], self._covariance[np.ix_(learnt, learnt)] = after, covariance

    def state(self) -> PosteriorState:
        """Return everything learnt, to be stored."""
        return PosteriorState(self.mean.tolist(), self._covariance.tolist(), self._level.state())

    def restored(self, state: PosteriorState) -> Self:
        """Return a posterior about the same prior that goes on from `state`.

        Raises:
            ValueError: the state has another shape, or is not finite.
        """
        mean, covariance = np.array(state.mean), np.array(state.covariance)
        size = len(self._prior_mean)
        if mean.shape != (size,) or covariance.shape != (size, size):
            raise ValueError(f"the learner's state is not of {size} weights")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise ValueError("the learner's state is not finite")
        posterior = copy.copy(self)
        posterior.mean, posterior._covariance = mean, covariance
        posterior._level = self._level.restored(state.level)
        return posterior


@inlined
def logistic(log_odds: float) -> float:
    """Return the probability of log-odds, without overflow."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


@inlined
def _gain(log_odds: float, spread: float, y: bool) -> float:
    """Return y less the probability at the mode of the posterior along an example's direction.

    The mode solves gain = y - p(log_odds + spread * gain); the left side rises and the right
    side falls with the gain, so there is one solution between y - 1 and y. Bisection with Newton
    steps finds it to the last bit or two.
    """
    low, high = (0.0, 1.0) if y else (-1.0, 0.0)
    gain = (low + high) / 2
    for _ in range(STEPS):
        p = logistic(log_odds + spread * gain)
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
    return gain


@kernel
def _step(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    prior_precision: NDArray[np.float64],
    z: NDArray[np.float64],
    y: bool,
    direction: NDArray[np.float64],
    mean_after: NDArray[np.float64],
    covariance_after: NDArray[np.float64],
) -> tuple[float, float, float, bool]:
    """Write C z to `direction`, and mean and covariance behind it; return the rest of `Step`.

    With C the covariance, L0 the prior's precision and the step C z gain, the step times the
    outcomes' precision, C^-1 - L0, times the step is gain^2 (z' C z - (C z)' L0 (C z)).
    """
    direction[:] = 0.0
    for column in range(len(z)):
        for row in range(len(z)):
            direction[row] += covariance[column, row] * z[column]
    log_odds, spread, of_prior = 0.0, 0.0, 0.0
    for row in range(len(z)):
        log_odds += mean[row] * z[row]
        spread += direction[row] * z[row]
        of_prior += direction[row] * direction[row] * prior_precision[row]
    gain = _gain(log_odds, spread, y)
    p = logistic(log_odds + spread * gain)
    curvature = p * (1.0 - p)
    shrink = curvature / (1.0 + curvature * spread)
    finite = True
    for row in range(len(z)):
        mean_after[row] = mean[row] + direction[row] * gain
        finite = finite and math.isfinite(mean_after[row])
        for column in range(len(z)):
            after = covariance[row, column] - direction[row] * direction[column] * shrink
            covariance_after[row, column] = after
        # Of a row of products the largest is not beyond the largest square.
        finite = finite and math.isfinite(covariance_after[row, row])
    return logistic(log_odds), gain, gain * gain * (spread - of_prior), finite
