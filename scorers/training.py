"""Training: each outcome first judges the models, then all of them learn it.

A pure state machine over outcomes in the order in which they became known. The champion is what
is published; the challengers show whether something else would do better. Every model is judged
by the probability that it gives just before it learns the outcome (progressive validation).
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np

from scorers.challengers import TreeChallenger
from scorers.contrary import Contrary, ContraryState
from scorers.drift import Drift, DriftState
from scorers.learner import LearnerState, OnlineScorecard
from scorers.measures import SMALLEST, Decile, auc, brier, calibration, ks, log_loss
from scorers.prior import BUILT_IN
from scorers.scorecard import Scorecard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scorers.learner import Features

CHAMPION: Final = "champion"
PRIOR: Final = "prior"
BASE_RATE: Final = "base rate"
LINEAR: Final = "linear challenger"
TREE: Final = "tree challenger"

CHAMPION_MEMORY = 5_000
"""Outcomes; `docs/learning.md` has the figures behind both memories."""
CHALLENGER_MEMORY = 2_000
WINDOW = 1_000
"""Outcomes over which the models are compared."""
PROMOTION_BAD = 20
"""Without so many bad loans in the window nothing is said about who is better."""
PROMOTION_MARGIN = 0.03
"""A challenger is better when its mean log-loss is lower by this part of the champion's."""
LONGEST_DISBELIEF = 1_000
"""Outcomes in a row after which what they contradict is given up: nobody errs for so long."""
BASE_RATE_START = 50
"""Outcomes that the prior's rate of the ordinary merchant counts for in the base rate."""


class TrainingState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that goes on to the same bits; as JSON it does so too.

    Attributes:
        prior: where learning started.
        champion: what the champion has become.
        challenger: the same of the linear challenger.
        outcomes: learnt.
        bad: how many of them defaulted.
        rejected: examples refused.
        promotions: how often champion and linear challenger have changed places.
        losses: sum of the log-losses of all outcomes, by model.
        defaulted: the last `WINDOW` outcomes, oldest first.
        probabilities: what each model had given default, by model, beside `defaulted`.
        drift: of the tests for drift.
        contrary: of the test for outcomes that say the contrary.
        trusted: champion and challenger before the outcomes that `contrary` has evidence from;
            null while there is none, or while they are not learnt.
    """

    prior: Scorecard
    champion: LearnerState
    challenger: LearnerState
    outcomes: int
    bad: int
    rejected: int
    promotions: int
    losses: dict[str, float]
    defaulted: list[bool]
    probabilities: dict[str, list[float]]
    drift: DriftState
    contrary: ContraryState = ContraryState()
    trusted: tuple[LearnerState, LearnerState] | None = None


class Figures(msgspec.Struct, frozen=True):
    """How good one model's probabilities were, each given before the outcome was learnt.

    Attributes:
        outcomes: the last ones that all but the last attribute are of, `WINDOW` at most.
        bad: how many of them defaulted.
        log_loss: mean, nats.
        brier: mean squared distance from the outcomes.
        auc: exact; None when all loans ended alike.
        ks: Kolmogorov-Smirnov distance; None when all loans ended alike.
        deciles: expected and observed defaults by rising probability.
        mean_log_loss: over all outcomes; of the tree challenger, since the start of the process.
    """

    outcomes: int
    bad: int
    log_loss: float
    brier: float
    auc: float | None
    ks: float | None
    deciles: list[Decile]
    mean_log_loss: float


class Report(msgspec.Struct, frozen=True):
    """What a person asks of a training.

    Attributes:
        outcomes: learnt.
        bad: how many of them defaulted.
        rejected: examples refused.
        promotions: how often champion and linear challenger have changed places.
        models: figures by model; a model that has judged nothing yet is left out.
        better: challengers that beat the champion by the margin.
        drifts: how often the log-loss, or a feature, has drifted.
        passed_over: outcomes that were judged and not learnt: they said the contrary.
        widths: how far the champion takes the prior's weights to be off (standard deviation), and
            how much each belief counts; sums to 1.
    """

    outcomes: int
    bad: int
    rejected: int
    promotions: int
    models: dict[str, Figures]
    better: list[str]
    drifts: dict[str, int]
    passed_over: int = 0
    widths: dict[float, float] = {}


class Training:
    """Champion, prior, base rate and challengers over a sequence of outcomes.

    A run of outcomes that say the contrary of what the champion expects is unlearnt as soon as it
    can be told from honest ones, and until it is over nothing is learnt.

    Args:
        prior: where champion and linear challenger start, and what they are compared with.

    >>> training = Training()
    >>> training.take({"silence_days": 6.0}, True)
    >>> training.take({"silence_days": float("inf")}, True)
    >>> training.report().outcomes, training.report().rejected
    (1, 1)
    """

    def __init__(self, prior: Scorecard = BUILT_IN) -> None:
        self._prior = OnlineScorecard(prior)
        self._ordinary_rate = self._prior.predict_proba_one({})[True]
        self._champion = OnlineScorecard(prior, memory=CHAMPION_MEMORY)
        self._challenger = OnlineScorecard(prior, memory=CHALLENGER_MEMORY)
        self._tree = TreeChallenger()
        self._trusted = self._learners()
        self._contrary = Contrary()
        self._drift = Drift()
        self._outcomes = 0
        self._bad = 0
        self._rejected = 0
        self._promotions = 0
        self._records = {name: _Record() for name in (CHAMPION, PRIOR, BASE_RATE, LINEAR, TREE)}

    def take(self, features: Features, defaulted: bool) -> None:
        """Let every model give its probability, then learn the outcome.

        Args:
            features: as `features.vector` defines them; one that is absent is left out or None.
            defaulted: what became of the loan.

        An example with a value that is not finite, or larger than any feature, is counted as
        rejected and changes nothing.
        """
        if not self._champion.accepts(features):
            self._rejected += 1
            return
        said = self._champion.predict_proba_one(features)[True]
        base = self._bad + self._ordinary_rate * BASE_RATE_START
        self._records[CHAMPION].add(said, defaulted)
        self._records[PRIOR].add(self._prior.predict_proba_one(features)[True], defaulted)
        self._records[BASE_RATE].add(base / (self._outcomes + BASE_RATE_START), defaulted)
        self._records[LINEAR].add(self._challenger.predict_proba_one(features)[True], defaulted)
        z = self._champion.standardised(features)
        self._drift.watch(said, defaulted, z)
        self._learn(features, defaulted)
        self._take_tree(z, defaulted)
        self._outcomes += 1
        self._bad += int(defaulted)

    def replayed(self, features: Features, defaulted: bool) -> None:
        """Take an outcome that the restored state has learnt: only the tree has yet to learn it."""
        if self._champion.accepts(features):
            self._take_tree(self._champion.standardised(features), defaulted)

    def scorecard(self, version: int) -> Scorecard:
        """Return what the champion has learnt, for the kernels.

        Outcomes that may yet turn out to say the contrary are not in it.

        Raises:
            ValueError: it is not fit to be published, or outcomes are not believed.
        """
        if self._contrary.in_a_row:
            raise ValueError(
                f"nothing is learnt: {self._contrary.in_a_row} outcomes in a row, up to the last "
                "one, say the contrary of what was expected, as if told the wrong way round"
            )
        champion = self._trusted[0] if self._contrary.evidence else self._champion
        return champion.scorecard(version)

    def promote(self, name: str) -> None:
        """Let a challenger and the champion change places, each with what it has shown.

        Raises:
            ValueError: the challenger is no scorecard, or there is none of that name.
        """
        if name == TREE:
            raise ValueError(
                f"the {TREE} is there to show whether a curve tells loans apart better than a "
                "line, and cannot be promoted, since it is no scorecard and workers score by "
                "linear scorecards only"
            )
        if name != LINEAR:
            raise ValueError(f"there is no challenger {name!r}: only the {LINEAR} can be promoted")
        self._champion, self._challenger = self._challenger, self._champion
        self._trusted = self._trusted[::-1]
        records = self._records
        records[CHAMPION], records[LINEAR] = records[LINEAR], records[CHAMPION]
        self._promotions += 1

    def auto_promotion(self) -> str | None:
        """Return the challenger that deserves to be promoted, if there is one.

        Its mean log-loss over the last `WINDOW` outcomes, with `PROMOTION_BAD` bad ones or more,
        is lower than the champion's by `PROMOTION_MARGIN` of it.
        """
        return LINEAR if self._is_better(LINEAR) else None

    def report(self) -> Report:
        """Return how all models do."""
        return Report(
            outcomes=self._outcomes,
            bad=self._bad,
            rejected=self._rejected,
            promotions=self._promotions,
            models={name: each.figures() for name, each in self._records.items() if each.defaulted},
            better=[name for name in (LINEAR, TREE) if self._is_better(name)],
            drifts=self._drift.drifts(),
            passed_over=self._contrary.passed_over,
            widths=self._champion.shares,
        )

    def state(self) -> TrainingState:
        """Return everything that goes on to the same bits, to be stored."""
        kept = {name: record for name, record in self._records.items() if name != TREE}
        doubted = self._contrary.evidence > 0 and not self._contrary.in_a_row
        champion, challenger = self._trusted
        return TrainingState(
            prior=self._prior.prior,
            champion=self._champion.state(),
            challenger=self._challenger.state(),
            outcomes=self._outcomes,
            bad=self._bad,
            rejected=self._rejected,
            promotions=self._promotions,
            losses={name: record.loss for name, record in kept.items()},
            defaulted=list(self._records[CHAMPION].defaulted),
            probabilities={name: list(record.probabilities) for name, record in kept.items()},
            drift=self._drift.state(),
            contrary=self._contrary.state(),
            trusted=(champion.state(), challenger.state()) if doubted else None,
        )

    @classmethod
    def restored(cls, state: TrainingState, prior: Scorecard = BUILT_IN) -> Self:
        """Return a training that goes on from `state`.

        What the state cannot hold, the tree challenger, is learnt anew by `replayed`.

        Raises:
            ValueError: the state grew from another prior, is of other features or models, or
                its parts do not fit together.
        """
        if state.prior != prior:
            raise ValueError("the training's state grew from another prior: learn anew")
        training = cls(prior)
        kept = {name for name in training._records if name != TREE}
        if set(state.losses) != kept or set(state.probabilities) != kept:
            raise ValueError("the training's state is of other models: learn anew")
        lengths = {len(given) for given in state.probabilities.values()}
        if lengths != {len(state.defaulted)} or len(state.defaulted) > state.outcomes:
            raise ValueError("the training's state holds windows that do not fit together")
        training._champion = training._champion.restored(state.champion)
        training._challenger = training._challenger.restored(state.challenger)
        training._trusted = training._learners()
        if state.trusted is not None:
            champion, challenger = training._trusted
            before, beside = state.trusted
            training._trusted = champion.restored(before), challenger.restored(beside)
        training._contrary = Contrary.restored(state.contrary)
        training._drift = Drift.restored(state.drift)
        training._outcomes, training._bad = state.outcomes, state.bad
        training._rejected, training._promotions = state.rejected, state.promotions
        for name in kept:
            record = training._records[name]
            record.outcomes, record.loss = state.outcomes, state.losses[name]
            record.defaulted.extend(state.defaulted)
            record.probabilities.extend(state.probabilities[name])
        return training

    def _learners(self) -> tuple[OnlineScorecard, OnlineScorecard]:
        """Return champion and challenger as they are now: what they learn later does not show."""
        return self._champion.copy(), self._challenger.copy()

    def _learn(self, features: Features, defaulted: bool) -> None:
        """Teach an outcome to champion and challenger, if it can be believed."""
        if self._contrary.evidence == 0.0:
            self._trusted = self._learners()
        if self._contrary.believes(self._champion.doubtful_probability(features), defaulted):
            self._champion.learn_one(features, defaulted)
            self._challenger.learn_one(features, defaulted)
            return
        self._champion, self._challenger = self._trusted
        if self._contrary.in_a_row == LONGEST_DISBELIEF:
            self._champion = self._champion.clone()
            self._challenger = self._challenger.clone()
            self._contrary.start_anew()

    def _take_tree(self, z: dict[str, float], defaulted: bool) -> None:
        self._records[TREE].add(self._tree.probability(z), defaulted)
        self._tree.learn(z, defaulted)

    def _is_better(self, name: str) -> bool:
        """Return whether a challenger beats the champion by the margin, over a full window."""
        champion, challenger = self._records[CHAMPION], self._records[name]
        if len(challenger.defaulted) < WINDOW or sum(challenger.defaulted) < PROMOTION_BAD:
            return False
        bound = (1 - PROMOTION_MARGIN) * champion.window_loss()
        return len(champion.defaulted) == WINDOW and challenger.window_loss() < bound


class _Record:
    """What one model said before it learnt, and what came of the loans."""

    def __init__(self) -> None:
        self.outcomes = 0
        self.loss = 0.0
        self.defaulted: deque[bool] = deque(maxlen=WINDOW)
        self.probabilities: deque[float] = deque(maxlen=WINDOW)

    def add(self, probability: float, defaulted: bool) -> None:
        self.outcomes += 1
        given = probability if defaulted else 1 - probability
        self.loss -= math.log(max(given, SMALLEST))
        self.defaulted.append(bool(defaulted))
        self.probabilities.append(probability)

    def window_loss(self) -> float:
        return log_loss(*self._window())

    def figures(self) -> Figures:
        outcomes, probabilities = self._window()
        ranked, apart = auc(outcomes, probabilities), ks(outcomes, probabilities)
        return Figures(
            outcomes=len(outcomes),
            bad=int(outcomes.sum()),
            log_loss=log_loss(outcomes, probabilities),
            brier=brier(outcomes, probabilities),
            auc=None if math.isnan(ranked) else ranked,
            ks=None if math.isnan(apart) else apart,
            deciles=calibration(outcomes, probabilities),
            mean_log_loss=self.loss / self.outcomes,
        )

    def _window(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        return np.array(self.defaulted, np.bool_), np.array(self.probabilities, np.float64)
