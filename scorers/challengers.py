"""The challenger that is no scorecard: it shows whether a curve would do better than a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED: Final = 1
LEAST: Final = 1e-4
"""A leaf that has seen no bad loan says 0, which no loan is."""


class TreeChallenger:
    """A Hoeffding adaptive tree over the standardised features.

    River's tree cannot be stored so that it goes on to the same bits: it is learnt anew from the
    log, and with the fixed seed the same outcomes give the same tree.

    >>> challenger = TreeChallenger()
    >>> for _ in range(99):
    ...     challenger.learn({"trend": 0.0}, False)
    >>> challenger.learn({"trend": -2.0}, True)
    >>> 0 < challenger.probability({"trend": 0.0}) < 0.1
    True
    """

    def __init__(self) -> None:
        # Dear to import (scipy), and this module is imported by all who read models.
        from river import tree

        self._tree: Any = tree.HoeffdingAdaptiveTreeClassifier(leaf_prediction="mc", seed=SEED)

    def probability(self, z: Mapping[str, float]) -> float:
        """Return the probability of default, from `LEAST` to 1 - `LEAST`."""
        said = float(self._tree.predict_proba_one(dict(z)).get(True, 0.0))
        return min(max(said, LEAST), 1 - LEAST)

    def learn(self, z: Mapping[str, float], defaulted: bool) -> None:
        """Learn one outcome."""
        self._tree.learn_one(dict(z), defaulted)
