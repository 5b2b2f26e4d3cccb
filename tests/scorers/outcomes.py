"""Outcomes to learn from."""

from __future__ import annotations

import math

import numpy as np

Example = tuple[dict[str, float | None], bool]


def present(features: dict[str, float]) -> dict[str, float | None]:
    """The features as an example carries them: None where one is absent."""
    return {name: value if math.isfinite(value) else None for name, value in features.items()}


def synthetic(n: int, bad_share_log_odds: float = -2.0, seed: int = 0) -> list[Example]:
    """Synthetic outcomes: silence and a low trend are bad, many payers are good."""
    random = np.random.default_rng(seed)
    examples: list[Example] = []
    for _ in range(n):
        silence, trend = random.exponential(2.0), random.normal(0, 0.2)
        log_odds = bad_share_log_odds + 0.8 * (silence - 2) / 2.5 - 1.5 * trend / 0.2
        bad = bool(random.random() < 1 / (1 + math.exp(-log_odds)))
        examples.append(({"silence_days": silence, "trend": trend}, bad))
    return examples
