"""A batch fit: what one pass over the outcomes is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scorers.learner import BIAS_SD, OnlineScorecard
from scorers.prior import BUILT_IN
from tests.scorers.simulated import of_scorecard, probabilities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def batch_fit(
    features: Sequence[Mapping[str, float | None]],
    bad: Sequence[bool] | NDArray[np.bool_],
    width: float,
    weight: float | NDArray[np.float64] = 1.0,
) -> NDArray[np.float64]:
    """Bias and weights at the posterior's mode, by Newton's method over all outcomes at once.

    Args:
        features: of each loan.
        bad: whether it defaulted.
        width: of the prior, one standard deviation of each weight.
        weight: how much each outcome counts.
    """
    learner, start = OnlineScorecard(), of_scorecard(BUILT_IN)
    z = np.array([[1.0, *learner.standardised(x).values()] for x in features])
    y = np.array(bad, np.float64)
    precision = np.diag([1 / BIAS_SD**2] + [1 / width**2] * (len(start) - 1))
    mode = start
    for _ in range(40):
        p = probabilities(mode, z)
        slope = z.T @ (weight * (p - y)) + precision @ (mode - start)
        step = np.linalg.solve((z.T * (weight * p * (1 - p))) @ z + precision, slope)
        mode = mode - step * min(1.0, 2 / float(np.abs(step).max()))
    return mode
