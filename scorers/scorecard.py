"""The scorecard: the probability that a merchant defaults, from its feature vector.

Linear on purpose. Each feature is transformed, standardised and clipped, each has one weight,
and the weighted sum is the log-odds of default. It is what `StandardScaler | LogisticRegression`
of River learns, so what is learnt online can be published as one of these.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from features.compiler import inlined
from features.vector import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

# Beyond this the sum of all contributions could overflow, and no honest weight comes near.
LARGEST_WEIGHT = 1e6
# Below this the reciprocal overflows.
SMALLEST_SCALE = 1e-300


class Transform(StrEnum):
    """What is done to a feature before it is standardised.

    `LOG1P` is ln(1 + x), with x below 0 taken as 0.
    """

    IDENTITY = "identity"
    LOG1P = "log1p"


class FeatureWeight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one feature enters the log-odds of default.

    Attributes:
        feature: name in `features.vector.FEATURES`.
        weight: log-odds of default for one standardised unit; above 0 a higher value is worse.
        mean: mean of the transformed feature: the ordinary merchant.
        scale: standard deviation of the transformed feature, above 0.
        transform: applied before standardising.
        clip: bound of the standardised value, both ways, above 0.
        absent: standardised value of a feature that is absent or not finite; 0 is ordinary.
    """

    feature: str
    weight: float
    mean: float
    scale: float
    transform: Transform = Transform.IDENTITY
    clip: float = 3.0
    absent: float = 0.0


class Scorecard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scorecard as it is published on the topic `models`.

    Attributes:
        version: rises with each one published; the built-in one is 0.
        bias: log-odds of default of the ordinary merchant.
        features: one entry a feature; a feature that is left out weighs nothing.
    """

    version: int
    bias: float
    features: tuple[FeatureWeight, ...]


class Weights(NamedTuple):
    """A scorecard as the kernels read it; arrays are in the order of `FEATURES`."""

    version: int
    bias: float
    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    per_scale: NDArray[np.float64]
    """1 / scale."""
    logarithm: NDArray[np.bool_]
    """Whether the transform is ln(1 + x)."""
    clip: NDArray[np.float64]
    absent: NDArray[np.float64]


def load_scorecard(raw: bytes) -> Scorecard:
    """Read a scorecard from JSON.

    Raises:
        ValueError: it is malformed; the message lists everything that is wrong.
    """
    try:
        scorecard = msgspec.json.decode(raw, type=Scorecard)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a scorecard: {error}") from None
    check_scorecard(scorecard)
    return scorecard


def dump_scorecard(scorecard: Scorecard) -> bytes:
    """Write a scorecard as JSON that `load_scorecard` reads back unchanged."""
    return msgspec.json.encode(scorecard)


def check_scorecard(scorecard: Scorecard) -> None:
    """Refuse a scorecard that cannot be trusted to give a finite probability.

    Raises:
        ValueError: lists everything that is wrong.
    """
    wrong = []
    if scorecard.version < 0:
        wrong.append(f"version is {scorecard.version}, below 0")
    if not abs(scorecard.bias) <= LARGEST_WEIGHT:
        wrong.append(f"bias is {scorecard.bias}, not between -1e6 and 1e6")
    seen: set[str] = set()
    for entry in scorecard.features:
        if entry.feature not in FEATURE_NAMES:
            wrong.append(f"there is no feature {entry.feature!r}")
        if entry.feature in seen:
            wrong.append(f"{entry.feature} is there twice")
        seen.add(entry.feature)
        if not abs(entry.weight) <= LARGEST_WEIGHT:
            wrong.append(f"the weight of {entry.feature} is {entry.weight}, not within 1e6")
        if not math.isfinite(entry.mean):
            wrong.append(f"the mean of {entry.feature} is {entry.mean}, not finite")
        if not SMALLEST_SCALE <= entry.scale < math.inf:
            wrong.append(f"the scale of {entry.feature} is {entry.scale}, not finite and above 0")
        if not 0 < entry.clip <= LARGEST_WEIGHT:
            wrong.append(f"the clip of {entry.feature} is {entry.clip}, not in (0, 1e6]")
        if not abs(entry.absent) <= entry.clip:
            wrong.append(f"the absent value of {entry.feature} is {entry.absent}, beyond its clip")
    if wrong:
        raise ValueError("scorecard refused: " + "; ".join(wrong))


def weights_of(scorecard: Scorecard) -> Weights:
    """Lay a scorecard out for the kernels.

    Raises:
        ValueError: `check_scorecard` refuses it.
    """
    check_scorecard(scorecard)
    by_name = {entry.feature: entry for entry in scorecard.features}
    entries = [by_name.get(name, FeatureWeight(name, 0.0, 0.0, 1.0)) for name in FEATURE_NAMES]
    return Weights(
        version=scorecard.version,
        bias=float(scorecard.bias),
        weight=np.array([entry.weight for entry in entries], np.float64),
        mean=np.array([entry.mean for entry in entries], np.float64),
        per_scale=1.0 / np.array([entry.scale for entry in entries], np.float64),
        logarithm=np.array([entry.transform is Transform.LOG1P for entry in entries], np.bool_),
        clip=np.array([entry.clip for entry in entries], np.float64),
        absent=np.array([entry.absent for entry in entries], np.float64),
    )


@inlined
def log1p(value: float) -> float:
    """Return ln(1 + value), with a value below 0 taken as 0.

    To within 1e-15 of `math.log1p`, in half the time.
    """
    return math.log(1.0 + max(value, 0.0))


@inlined
def standardised(value: float, feature: int, weights: Weights) -> float:
    """Return a feature transformed, standardised and clipped; its absent value when not finite."""
    if not math.isfinite(value):
        return float(weights.absent[feature])
    value = float(value)
    if weights.logarithm[feature]:
        value = log1p(value)
    z = (value - float(weights.mean[feature])) * float(weights.per_scale[feature])
    bound = float(weights.clip[feature])
    return min(max(z, -bound), bound)


@inlined
def probability(
    vector: NDArray[np.float64], weights: Weights, contributions: NDArray[np.float64]
) -> float:
    """Return the probability of default, between 0 and 1 and finite whatever the vector holds.

    Args:
        vector: the merchant's features, in the order of `FEATURES`; NaN is absent.
        weights: the scorecard.
        contributions: filled with what each feature adds to the log-odds of default.
    """
    log_odds = weights.bias
    for feature in range(len(contributions)):
        if weights.weight[feature] == 0.0:
            contributions[feature] = 0.0
            continue
        added = weights.weight[feature] * standardised(vector[feature], feature, weights)
        contributions[feature] = added
        log_odds += added
    # Each branch takes the exponential of a number that is not positive, so none overflows.
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)
