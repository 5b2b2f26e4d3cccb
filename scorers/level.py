"""The level of a learner's probabilities: so many loans went bad, so many are expected to.

At the mode of a posterior both agree, but for the prior's pull on the bias. One pass does not keep
that up: the step of a bad loan is long, the probabilities rise by more than in proportion to it
(they are nearly exponential in the weights), and what the step did to the outcomes before it is
never looked at again. So the level is followed to the second order here, and the bias shifted to
where both agree. A level that walks at random from outcome to outcome fades by a Kalman filter's
rule: the rarer bad loans are, the longer it remembers.
"""

from __future__ import annotations

import math
from typing import Final, Self

import msgspec

FADES: Final = 2
"""The level fades as many times as fast as the weights."""
SMALLEST: Final = 1e-9
LARGEST_RISE: Final = 2.0
LARGEST_FALL: Final = 0.9
"""A step changes what is expected by no more than these parts of it."""
STEPS: Final = 30
CLOSE: Final = 1e-9


class LevelState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything remembered of a level.

    Attributes:
        bad: loans that went bad.
        expected: how many of them the weights as they are now expect.
        curvature: sum of p (1 - p), as the learner's precision has it.
        sums: of p, p (1 - p) and p (1 - p) (1 - 2 p), each as it was learnt; their ratios count.
    """

    bad: float
    expected: float
    curvature: float
    sums: tuple[float, float, float]


class Level:
    """What came and what is expected, of the outcomes in memory.

    Args:
        pull: precision of the prior's bias.

    Attributes are those of `LevelState`.
    """

    def __init__(self, pull: float) -> None:
        self.pull = pull
        self.bad = self.expected = self.curvature = 0.0
        self.sums = (0.0, 0.0, 0.0)

    @property
    def skew(self) -> float:
        """Third derivative of the log-likelihood over the second: near 1 with rare bad loans."""
        return max(0.0, self.sums[2] / self.sums[1]) if self.sums[1] > SMALLEST else 0.0

    @property
    def _slope(self) -> float:
        """By how much what is expected rises with the bias, as a part of it."""
        return self.sums[1] / self.sums[0] if self.sums[0] > SMALLEST else 1.0

    def moved(self, change: float) -> None:
        """Follow a step of the weights that changes the sum of p by so much."""
        if self.curvature > SMALLEST:
            part = min(max(change / self.curvature, -LARGEST_FALL), LARGEST_RISE)
            self.expected *= 1 + self._slope * part

    def learnt(self, probability: float, defaulted: bool) -> None:
        """Count an outcome, with the probability that the weights give it once they learnt it."""
        variance = probability * (1 - probability)
        self.bad += defaulted
        self.expected += probability
        self.curvature += variance
        p, v, w = self.sums
        self.sums = (p + probability, v + variance, w + variance * (1 - 2 * probability))

    def shift(self, off: float) -> float:
        """Return the shift of the bias at which what is expected agrees with what came.

        Args:
            off: how far the bias is above the prior's.
        """
        if self.expected < SMALLEST:
            return 0.0
        by, slope = 0.0, self._slope
        for _ in range(STEPS):
            expected = self.expected * (1 + slope * math.expm1(by))
            left = self.bad - expected - (off + by) * self.pull
            step = left / (self.expected * slope * math.exp(by) + self.pull)
            by += min(max(step, -1.0), 1.0)
            # Newton's next step would be of its square.
            if abs(step) < CLOSE:
                break
        self.expected *= 1 + slope * math.expm1(by)
        return by

    def fade(self, kept: float) -> None:
        """Fade while the weights do, of which a part is kept: 0 (nothing) to 1 (all)."""
        self.bad *= kept**FADES
        self.expected *= kept**FADES
        self.curvature *= kept
        p, v, w = self.sums
        self.sums = (p * kept, v * kept, w * kept)

    def state(self) -> LevelState:
        """Return everything remembered, to be stored."""
        return LevelState(self.bad, self.expected, self.curvature, self.sums)

    def restored(self, state: LevelState) -> Self:
        """Return a level of the same prior that goes on from `state`."""
        level = type(self)(self.pull)
        level.bad, level.expected = state.bad, state.expected
        level.curvature, level.sums = state.curvature, state.sums
        return level
