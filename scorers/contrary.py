"""Outcomes that say the contrary of what was expected: a test in sequence, by likelihood ratios.

Each outcome is weighed under two stories. One is honest: the odds of default are those that the
champion gives, or up to `HONEST_ODDS` times as much or as little. The other is that the outcome
is told the wrong way round. The ratio of both likelihoods multiplies up from outcome to outcome
and starts anew whenever it falls below 1 (Page 1954). Under any honest story its mean does not
rise, so that by chance it passes a million once in a million outcomes at most (Ville 1939).
"""

from __future__ import annotations

import math
from typing import Final, Self

import msgspec

HONEST_ODDS: Final = 2.0
"""Factor by which the odds of a merchant may honestly be off, either way."""
ALARM: Final = math.log(1e6)
"""Log of the ratio from which on outcomes are not believed."""
MOST_OF_ONE: Final = ALARM / 3
"""No outcome counts more, so that it takes several."""


class ContraryState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that the test remembers.

    Attributes:
        evidence: log of the ratio now, 0 to `ALARM`.
        in_a_row: outcomes that were not believed since the alarm; 0 without one.
        passed_over: outcomes that were not believed, of all.
    """

    evidence: float = 0.0
    in_a_row: int = 0
    passed_over: int = 0


class Contrary:
    """Tells outcomes that may be learnt from those that say the contrary of everything learnt.

    Attributes are those of `ContraryState`.

    >>> contrary = Contrary()
    >>> [contrary.believes(0.05, True) for _ in range(7)]
    [True, True, True, True, True, True, False]
    >>> [contrary.believes(0.05, False) for _ in range(6)]
    [False, False, False, False, True, True]
    """

    def __init__(self) -> None:
        self.evidence, self.in_a_row, self.passed_over = 0.0, 0, 0

    def believes(self, probability: float, defaulted: bool) -> bool:
        """Weigh an outcome, and tell whether it may be learnt.

        After an alarm nothing is believed until all evidence is gone again.

        Args:
            probability: of default, above 0 and below 1, by a model that has not learnt it;
                nearer to 1/2 the less sure the model is.
            defaulted: what came of the loan.
        """
        self.evidence += _log_ratio(probability, defaulted)
        self.evidence = min(max(self.evidence, 0.0), ALARM)
        if self.evidence == 0.0 or (self.evidence < ALARM and not self.in_a_row):
            self.in_a_row = 0
            return True
        self.in_a_row += 1
        self.passed_over += 1
        return False

    def start_anew(self) -> None:
        """Forget the evidence: what it was against has been given up."""
        self.evidence, self.in_a_row = 0.0, 0

    def state(self) -> ContraryState:
        """Return everything remembered, to be stored."""
        return ContraryState(self.evidence, self.in_a_row, self.passed_over)

    @classmethod
    def restored(cls, state: ContraryState) -> Self:
        """Return a test that goes on from `state`."""
        contrary = cls()
        contrary.evidence, contrary.in_a_row = state.evidence, state.in_a_row
        contrary.passed_over = state.passed_over
        return contrary


def _log_ratio(probability: float, defaulted: bool) -> float:
    """Return by how much likelier an outcome is when it is told the wrong way round, as a log.

    Of all honest stories it is held against the one that makes the outcome likeliest.
    """
    expected = probability if defaulted else 1 - probability
    honest = expected * HONEST_ODDS / (1 + expected * (HONEST_ODDS - 1))
    return min(math.log((1 - expected) / honest), MOST_OF_ONE)
