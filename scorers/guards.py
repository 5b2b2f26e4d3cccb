"""Whether a learnt scorecard may be published after the last good one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from scorers.prior import BUILT_IN
from scorers.scorecard import FEATURE_NAMES, check_scorecard, probability, weights_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scorers.scorecard import Scorecard

REFERENCES: Final = 256
SEED: Final = 1
LARGEST_MOVE: Final = 8.0
"""Factor by which the mean probability of default, or of none, may change between snapshots.

`docs/learning.md` has the moves that honest and flipped outcomes make.
"""
_BELOW_0: Final = ("trend", "lowest_balance_56", "lowest_balance")


@cache
def reference_set() -> NDArray[np.float64]:
    """Return feature vectors of synthetic merchants, one a row: the same ones for ever.

    Each transformed feature is normal about the mean and with the scale of the built-in
    scorecard, apart from the others; what cannot be below 0 is 0 there.
    """
    weights = weights_of(BUILT_IN)
    draws = np.random.Generator(np.random.PCG64(SEED)).normal(size=(REFERENCES, len(FEATURE_NAMES)))
    values = weights.mean + draws / weights.per_scale
    values = np.where(weights.logarithm, np.expm1(values), values)
    signed = np.array([name in _BELOW_0 for name in FEATURE_NAMES])
    vectors: NDArray[np.float64] = np.where(signed, values, np.maximum(values, 0.0))
    vectors.setflags(write=False)
    return vectors


def mean_pd(scorecard: Scorecard) -> float:
    """Return the mean probability of default over the reference set.

    Raises:
        ValueError: the scorecard cannot be trusted to give finite probabilities.
    """
    weights, contributions = weights_of(scorecard), np.empty(len(FEATURE_NAMES))
    vectors = reference_set()
    return sum(probability(vector, weights, contributions) for vector in vectors) / len(vectors)


def check_move(candidate: Scorecard, last_good: Scorecard) -> None:
    """Refuse a scorecard that no honest learning can have made of the last good one.

    The mean probability of default over the reference set may change by a factor of
    `LARGEST_MOVE`, and so may the mean probability of none.

    Raises:
        ValueError: says what is wrong with the candidate.
    """
    check_scorecard(candidate)
    before, after = mean_pd(last_good), mean_pd(candidate)
    for was, now in ((before, after), (1 - before, 1 - after)):
        if not was / LARGEST_MOVE <= now <= was * LARGEST_MOVE:
            raise ValueError(
                f"scorecard refused: the mean probability of default over the reference set went "
                f"from {before:.3%} to {after:.3%}, further than by a factor of {LARGEST_MOVE:g}"
            )
