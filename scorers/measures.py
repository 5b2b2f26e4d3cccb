"""How good probabilities of default are, against what came of the loans."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

SMALLEST = 1e-12
"""A probability counts as no nearer to 0 or 1 than this in the log-loss."""


class Decile(NamedTuple):
    """One tenth of the loans, by rising probability."""

    loans: int
    expected: float
    """Mean probability."""
    observed: float
    """Share that defaulted."""


class Roc(NamedTuple):
    """What a threshold catches, from one that flags no loan to one that flags all."""

    good: NDArray[np.float64]
    """Share of the good loans flagged, rising from 0 to 1."""
    bad: NDArray[np.float64]
    """Share of the bad loans flagged at the same threshold."""


def auc(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Return the chance that a bad loan scores above a good one, ties counting half; exact.

    It is the Mann-Whitney U over the number of pairs; NaN when all loans ended alike.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), auc([0, 1], [0.5, 0.5])
    (0.75, 0.5)
    """
    bad, values = np.asarray(outcomes, bool), np.asarray(scores, float)
    positives, negatives = int(bad.sum()), int((~bad).sum())
    if not positives or not negatives:
        return float("nan")
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - counts + ends + 1) / 2
    u = float(ranks[places][bad].sum()) - positives * (positives + 1) / 2
    return u / (positives * negatives)


def roc(outcomes: ArrayLike, scores: ArrayLike) -> Roc:
    """Return the ROC curve: one point for each score that occurs; loans that tie move together.

    The area under its straight lines is `auc`. Good and bad loans must both be there.

    >>> curve = roc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> curve.good.tolist(), curve.bad.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    bad, values = np.asarray(outcomes, bool), np.asarray(scores, float)
    falling = np.unique(values)[::-1]

    def flagged(among: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.searchsorted(np.sort(among), falling, "left")
        return np.concatenate(([0.0], (len(among) - below) / len(among)))

    return Roc(good=flagged(values[~bad]), bad=flagged(values[bad]))


def ks(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov distance between the scores of bad and of good loans.

    >>> ks([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    1.0
    """
    bad, values = np.asarray(outcomes, bool), np.asarray(scores, float)
    if bad.all() or not bad.any():
        return float("nan")
    steps = np.unique(values)
    below_bad = np.searchsorted(np.sort(values[bad]), steps, "right") / bad.sum()
    below_good = np.searchsorted(np.sort(values[~bad]), steps, "right") / (~bad).sum()
    return float(np.abs(below_bad - below_good).max())


def log_losses(outcomes: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return each loan's -ln of the probability that was given to what happened."""
    bad = np.asarray(outcomes, bool)
    p = np.clip(np.asarray(probabilities, float), SMALLEST, 1 - SMALLEST)
    losses: NDArray[np.float64] = -np.log(np.where(bad, p, 1 - p))
    return losses


def log_loss(outcomes: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean of `log_losses`.

    >>> round(log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    """
    return float(log_losses(outcomes, probabilities).mean())


def brier(outcomes: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared distance of the probabilities from the outcomes.

    >>> brier([1, 0], [0.5, 0.5])
    0.25
    """
    distance = np.asarray(probabilities, float) - np.asarray(outcomes, float)
    return float((distance**2).mean())


def calibration(outcomes: ArrayLike, probabilities: ArrayLike, parts: int = 10) -> list[Decile]:
    """Return expected and observed defaults of the loans, in `parts` of rising probability."""
    bad, p = np.asarray(outcomes, float), np.asarray(probabilities, float)
    return [
        Decile(len(part), float(p[part].mean()), float(bad[part].mean()))
        for part in np.array_split(np.argsort(p, kind="stable"), parts)
        if len(part)
    ]


def bootstrap(
    measure: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    outcomes: ArrayLike,
    scores: ArrayLike,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a measure (percentiles, loans drawn by outcome).

    Good and bad loans are drawn apart, so that every draw has as many bad ones as there are.
    """
    bad, values = np.asarray(outcomes, bool), np.asarray(scores, float)
    random = np.random.default_rng(seed)
    ones, zeros = np.flatnonzero(bad), np.flatnonzero(~bad)
    found = []
    for _ in range(draws):
        drawn = np.concatenate((random.choice(ones, len(ones)), random.choice(zeros, len(zeros))))
        found.append(measure(bad[drawn], values[drawn]))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
