"""A synthetic stream of loans whose true probabilities of default are known.

Merchants are drawn about the means and scales of the built-in scorecard: amounts and counts are
log-normal and share one size, shares and gaps are skewed, and every second merchant has no
outflows. The truth is a logistic whose weights differ from the expert's. Halfway it changes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorers.prior import BUILT_IN
from scorers.scorecard import FEATURE_NAMES, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scorers.scorecard import Scorecard

DEVIATION_SD = 0.3
"""Of the true weights about the expert's, unless said."""
DRAWS_A_DAY = 20
DAYS_UNTIL_KNOWN = 30
DELAY = DRAWS_A_DAY * DAYS_UNTIL_KNOWN
"""Draws between a draw and its outcome."""
CHANGED_WEIGHTS = 4
CHANGE = 0.6
"""By how much each of them changes, one way or the other."""
HELD = 20_000
"""Merchants over whom mean PD and AUC are taken."""

_WEIGHTS = weights_of(BUILT_IN)
_SCALE = 1 / _WEIGHTS.per_scale
_MEAN = _WEIGHTS.mean
_NORMAL = ("trend", "active_days_28", "outflow_share", "lowest_balance_56", "lowest_balance")
_OF_OUTFLOWS = ("outflow_share", "lowest_balance_56", "lowest_balance")
_OF_SIZE = (
    "net_28",
    "net_7",
    "payments_28",
    "payments_24h",
    "mean_day_net_28",
    "payers_7",
    "payers_28",
    "mean_month_net",
    "mean_month_payments",
)


def merchants(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Feature vectors of n synthetic merchants; NaN is absent."""
    size, outflows = random.normal(size=n), random.random(n) < 0.5
    vectors = np.empty((n, len(FEATURE_NAMES)))
    for place, name in enumerate(FEATURE_NAMES):
        mean, scale = _MEAN[place], _SCALE[place]
        if _WEIGHTS.logarithm[place]:
            own = random.normal(size=n)
            z = 0.8 * size + 0.6 * own if name in _OF_SIZE else own
            values = np.maximum(np.expm1(mean + scale * z), 0.0)
        elif name in _NORMAL:
            values = random.normal(mean, scale, n)
        else:
            mean = max(mean, scale / 5)
            values = random.gamma((mean / scale) ** 2, scale**2 / mean, n)
        vectors[:, place] = np.where(outflows, values, math.nan) if name in _OF_OUTFLOWS else values
    return vectors


def inputs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 and the standardised features, by merchant."""
    transformed = np.where(_WEIGHTS.logarithm, np.log1p(np.maximum(vectors, 0.0)), vectors)
    z = np.clip((transformed - _MEAN) * _WEIGHTS.per_scale, -_WEIGHTS.clip, _WEIGHTS.clip)
    z = np.where(np.isnan(vectors), _WEIGHTS.absent, z)
    return np.concatenate((np.ones((len(z), 1)), z), axis=1)


def probabilities(weights: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = 1 / (1 + np.exp(-(z @ weights)))
    return p


def of_scorecard(card: Scorecard) -> NDArray[np.float64]:
    """Bias and weights."""
    return np.concatenate(([card.bias], weights_of(card).weight))


def with_rate(
    weights: NDArray[np.float64], rate: float, z: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same weights with the bias that gives this share of bad loans."""
    low, high = -30.0, 30.0
    for _ in range(60):
        bias = (low + high) / 2
        found = np.concatenate(([bias], weights[1:]))
        low, high = (bias, high) if probabilities(found, z).mean() < rate else (low, bias)
    return found


def auc_of_truth(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """The AUC that scores without ties have when each loan is bad with its true probability."""
    bad = truth[np.argsort(scores)]
    good_below = np.cumsum(1 - bad) - (1 - bad)
    return float((bad * good_below).sum() / (bad.sum() * (1 - bad).sum()))


class Held(NamedTuple):
    """How a model does on merchants whom nobody learnt from, against the truth."""

    mean_pd: float
    true_rate: float
    auc: float
    best_auc: float
    """Of the true probabilities."""

    @property
    def ratio(self) -> float:
        """Mean PD over the true share of bad loans."""
        return self.mean_pd / self.true_rate

    @property
    def short(self) -> float:
        """How far the AUC is below the best."""
        return self.best_auc - self.auc


class Stream(NamedTuple):
    """Loans in the order of their draws, which is the order of their outcomes too."""

    features: list[dict[str, float | None]]
    bad: NDArray[np.bool_]
    truth: NDArray[np.float64]
    """Probability of default of each."""
    weights: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of the truth before the change and after it."""
    held: NDArray[np.float64]
    """`inputs` of merchants whom no model learns from."""

    def measured(self, card: Scorecard, changed: bool = False) -> Held:
        truth = probabilities(self.weights[changed], self.held)
        said = probabilities(of_scorecard(card), self.held)
        return Held(
            float(said.mean()),
            float(truth.mean()),
            auc_of_truth(truth, said),
            auc_of_truth(truth, truth),
        )


def stream(
    rate: float,
    before: int,
    after: int,
    seed: int,
    rise: float = 2.0,
    deviation: float = DEVIATION_SD,
) -> Stream:
    """A stream with this share of bad loans, and `rise` times that after the change."""
    random = np.random.default_rng(seed)
    held = inputs(merchants(HELD, random))
    first = of_scorecard(BUILT_IN)
    first[1:] += random.normal(0, deviation, len(FEATURE_NAMES))
    first = with_rate(first, rate, held)
    second = first.copy()
    changed = 1 + random.choice(len(FEATURE_NAMES), CHANGED_WEIGHTS, replace=False)
    second[changed] += CHANGE * random.choice([-1.0, 1.0], CHANGED_WEIGHTS)
    second = with_rate(second, rise * rate, held)
    vectors = merchants(before + after, random)
    z = inputs(vectors)
    truth = np.concatenate((probabilities(first, z[:before]), probabilities(second, z[before:])))
    features = [
        {
            name: None if math.isnan(value) else value
            for name, value in zip(FEATURE_NAMES, row, strict=True)
        }
        for row in vectors.tolist()
    ]
    bad = random.random(len(truth)) < truth
    return Stream(features, bad, truth, (first, second), held)


def played(
    loans: Stream,
    predicted: Callable[[dict[str, float | None]], float],
    learn: Callable[[dict[str, float | None], bool], None],
) -> list[float]:
    """Give each loan a probability at its draw, when only outcomes known by then were learnt."""
    said = []
    for at, drawn in enumerate(loans.features):
        if at >= DELAY:
            learn(loans.features[at - DELAY], bool(loans.bad[at - DELAY]))
        said.append(predicted(drawn))
    for at in range(len(said) - DELAY, len(said)):
        learn(loans.features[at], bool(loans.bad[at]))
    return said
