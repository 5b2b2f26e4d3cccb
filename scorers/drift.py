"""Whether the world has changed: Page-Hinkley tests on the log-loss and on each feature.

Each series is compared with its own mean so far; what lies beyond a slack adds up, upwards and
downwards apart, and where a sum passes the threshold the series has drifted and starts anew
(Page 1954). All of it is plain numbers, so that it restores to the same bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np

from scorers.scorecard import FEATURE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_LOSS: Final = "log-loss"
SERIES: Final = (LOG_LOSS, *FEATURE_NAMES)

SLACK = 0.05
"""A mean that moves by less, in standard deviations of the series, is no drift."""
THRESHOLD = 100.0
"""Standard deviations by which a sum must lie beyond the mean."""
WARM_UP = 300
"""Outcomes before a series can have drifted."""
LARGEST_SURPRISE = 30.0
"""No outcome counts more in the log-loss, so that it takes several to pass the threshold."""


class DriftState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that the tests remember, by series in the order of `series`.

    Attributes:
        series: names, so that a release with more features can tell.
        outcomes: since the series started or drifted.
        mean: over these.
        squares: sum of squared distances from the mean.
        above: what lay above the mean beyond the slack, not below 0.
        below: the same below it.
        drifts: how often the series has drifted.
    """

    series: list[str]
    outcomes: list[float]
    mean: list[float]
    squares: list[float]
    above: list[float]
    below: list[float]
    drifts: list[int]


class Drift:
    """Watches the champion's log-loss and the standardised features.

    A rise of the log-loss counts, a fall does not; of a feature both do.

    >>> drift = Drift()
    >>> for _ in range(2000):
    ...     drift.watch(0.02, False, {})
    >>> for _ in range(200):
    ...     drift.watch(0.02, True, {})
    >>> drift.drifts()["log-loss"] > 0
    True
    """

    def __init__(self) -> None:
        self._outcomes, self._mean, self._squares, self._above, self._below = np.zeros(
            (5, len(SERIES))
        )
        self._drifts = np.zeros(len(SERIES), np.int64)

    def watch(self, probability: float, defaulted: bool, z: Mapping[str, float]) -> None:
        """Take one outcome.

        Args:
            probability: what the champion gave default before it learnt the outcome.
            defaulted: the outcome.
            z: standardised features by name; one that is left out is ordinary.
        """
        given = [z.get(name, 0.0) for name in FEATURE_NAMES]
        values = np.array([_surprise(probability, defaulted), *given])
        self._outcomes += 1
        distance = values - self._mean
        self._mean += distance / self._outcomes
        self._squares += distance * (values - self._mean)
        # A feature that hardly ever varied counts in scales of the scorecard.
        deviation = np.maximum(np.sqrt(self._squares / self._outcomes), 1.0)
        beyond = (values - self._mean) / deviation
        self._above = np.maximum(self._above + beyond - SLACK, 0.0)
        self._below = np.maximum(self._below - beyond - SLACK, 0.0)
        self._below[0] = 0.0
        drifted = np.maximum(self._above, self._below) > THRESHOLD
        drifted &= self._outcomes >= WARM_UP
        if drifted.any():
            self._drifts += drifted
            for kept in (self._outcomes, self._mean, self._squares, self._above, self._below):
                kept[drifted] = 0.0

    def drifts(self) -> dict[str, int]:
        """Return how often each series that has drifted did so."""
        counts = zip(SERIES, self._drifts.tolist(), strict=True)
        return {name: count for name, count in counts if count}

    def state(self) -> DriftState:
        """Return everything remembered, to be stored."""
        return DriftState(
            list(SERIES),
            self._outcomes.tolist(),
            self._mean.tolist(),
            self._squares.tolist(),
            self._above.tolist(),
            self._below.tolist(),
            self._drifts.tolist(),
        )

    @classmethod
    def restored(cls, state: DriftState) -> Self:
        """Return tests that go on from `state`.

        Raises:
            ValueError: the state has other series or another shape.
        """
        if state.series != list(SERIES):
            raise ValueError("the state of the drift tests is of other features: learn anew")
        drift = cls()
        drift._outcomes, drift._mean = np.array(state.outcomes), np.array(state.mean)
        drift._squares = np.array(state.squares)
        drift._above, drift._below = np.array(state.above), np.array(state.below)
        drift._drifts = np.array(state.drifts, np.int64)
        kept = (drift._outcomes, drift._mean, drift._squares, drift._above, drift._below)
        if any(each.shape != (len(SERIES),) for each in (*kept, drift._drifts)):
            raise ValueError(f"the state of the drift tests is not of {len(SERIES)} series")
        return drift


def _surprise(probability: float, defaulted: bool) -> float:
    """Return by how much the log-loss exceeds what the probability expects of it.

    In standard deviations of what it expects: 0 in the mean whatever the probabilities are, as
    long as they are right.
    """
    p = min(max(probability, 1e-12), 1 - 1e-12)
    towards_default = ((1.0 if defaulted else 0.0) - p) / math.sqrt(p * (1 - p))
    surprise = towards_default if p < 0.5 else -towards_default
    return min(max(surprise, -LARGEST_SURPRISE), LARGEST_SURPRISE)
