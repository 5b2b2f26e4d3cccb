"""Does learning help? Models learn from some merchants' loans and score those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from river import compose, linear_model, optim, preprocessing, tree

from scorers.learner import OnlineScorecard
from scorers.measures import auc, bootstrap, brier, ks, log_loss
from streams.backtest.curves import Curves, curves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scorers.learner import Features
    from streams.backtest.recorded import Example

FOLDS = 5
SEEDS = 5
CHAMPION, PRIOR, BASE_RATE = "learner", "prior", "base rate"


class Quality(msgspec.Struct, frozen=True):
    """How good one model's probabilities were on loans of merchants that it had not seen.

    Attributes:
        auc_mean: mean AUC of the held folds, over all seeds.
        auc_low: lower end of the 95 % bootstrap interval.
        auc_high: upper end.
        log_loss: mean over all held loans and seeds.
        brier: the same of the Brier score.
        ks: mean Kolmogorov-Smirnov distance of each seed's held loans.
    """

    auc_mean: float
    auc_low: float
    auc_high: float
    log_loss: float
    brier: float
    ks: float


class Result(msgspec.Struct, frozen=True):
    """What `duoshou backtest outcomes` found.

    Attributes:
        loans: loans scored.
        bad: how many of them were bad.
        models: quality by model.
        curves: the same models' curves.
    """

    loans: int
    bad: int
    models: dict[str, Quality]
    curves: dict[str, Curves]

    def summary(self) -> dict[str, Any]:
        """Return the learner's figures beside the prior's, and its deciles, for programs."""
        learner, prior = self.models[CHAMPION], self.models[PRIOR]
        return {
            "auc_mean": learner.auc_mean,
            "auc_low": learner.auc_low,
            "auc_high": learner.auc_high,
            "log_loss": learner.log_loss,
            "log_loss_prior": prior.log_loss,
            "brier": learner.brier,
            "brier_prior": prior.brier,
            "calibration": [
                {"decile": number} | tenth._asdict()
                for number, tenth in enumerate(self.curves[CHAMPION].calibration, 1)
            ],
        }


class _BaseRate:
    """Says of every loan how many of those so far were bad."""

    def __init__(self) -> None:
        self._bad, self._loans = 1.0, 2.0

    def learn_one(self, _: Features, y: bool) -> None:
        self._bad, self._loans = self._bad + y, self._loans + 1

    def predict_proba_one(self, _: Features) -> dict[bool, float]:
        return {True: self._bad / self._loans}


class _Unlearning:
    """The prior as it is."""

    def __init__(self) -> None:
        self._prior = OnlineScorecard()

    def learn_one(self, _: Features, y: bool) -> None:
        pass

    def predict_proba_one(self, x: Features) -> dict[Any, float]:
        return self._prior.predict_proba_one(x)


class _Filled:
    """A River model on standardised features, 0 where one is absent."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._prior = OnlineScorecard()

    def _inputs(self, x: Features) -> dict[str, float]:
        return self._prior.standardised(x)

    def learn_one(self, x: Features, y: bool) -> None:
        self._model.learn_one(self._inputs(x), y)

    def predict_proba_one(self, x: Features) -> dict[bool, float]:
        return {True: float(self._model.predict_proba_one(self._inputs(x)).get(True, 0.0))}


MODELS: dict[str, Callable[[], Any]] = {
    CHAMPION: OnlineScorecard,
    PRIOR: _Unlearning,
    BASE_RATE: _BaseRate,
    "SGD": lambda: _Filled(
        compose.Pipeline(
            preprocessing.StandardScaler(),
            linear_model.LogisticRegression(optim.SGD(0.05), l2=0.01),
        )
    ),
    "adaptive tree": lambda: _Filled(
        tree.HoeffdingAdaptiveTreeClassifier(grace_period=20, delta=0.05, seed=1)
    ),
}
"""What is compared; each is made anew for every fold."""


class _Held(NamedTuple):
    places: np.ndarray
    """Of the loans, in the order in which all outcomes became known."""
    bad: np.ndarray
    scores: dict[str, np.ndarray]


def cross_validate(examples: Sequence[Example], progress: Callable[[], None]) -> Result:
    """Learn in one pass over four folds of merchants, score the fifth; over five seeds.

    Args:
        examples: in the order in which the outcomes became known.
        progress: called after each fold.

    Raises:
        ValueError: fewer than `FOLDS` merchants ended well, or badly.
    """
    bad = np.array([example.loan.bad for example in examples])
    seeds: list[list[_Held]] = []
    for seed in range(SEEDS):
        fold_of = _folds(examples, seed)
        folds = []
        for fold in range(FOLDS):
            held = np.array([fold_of[each.loan.merchant_id] == fold for each in examples])
            learnt = [each for each, out in zip(examples, held, strict=True) if not out]
            scored = [each for each, out in zip(examples, held, strict=True) if out]
            scores = {name: _scores(model, learnt, scored) for name, model in _made()}
            folds.append(_Held(np.flatnonzero(held), bad[held], scores))
            progress()
        seeds.append(folds)
    return _result(bad, seeds)


def train_and_score(train: Sequence[Example], score: Sequence[Example]) -> Result:
    """Learn in one pass over one set of loans and score another.

    Raises:
        ValueError: all loans to score ended alike.
    """
    bad = np.array([example.loan.bad for example in score])
    if bad.all() or not bad.any():
        raise ValueError("the loans to score must not all have ended alike")
    scores = {name: _scores(model, train, score) for name, model in _made()}
    return _result(bad, [[_Held(np.arange(len(score)), bad, scores)]])


def _made() -> list[tuple[str, Any]]:
    return [(name, make()) for name, make in MODELS.items()]


def _scores(model: Any, learnt: Sequence[Example], scored: Sequence[Example]) -> np.ndarray:
    for example in learnt:
        model.learn_one(example.features, example.loan.bad)
    return np.array([model.predict_proba_one(example.features)[True] for example in scored])


def _folds(examples: Sequence[Example], seed: int) -> dict[str, int]:
    """Deal the merchants to folds, those that were ever bad apart from the others."""
    ever_bad: dict[str, bool] = {}
    for example in examples:
        name = example.loan.merchant_id
        ever_bad[name] = ever_bad.get(name, False) or example.loan.bad
    random = np.random.default_rng(seed)
    folds = {}
    for wanted in (True, False):
        names = [name for name, was_bad in sorted(ever_bad.items()) if was_bad is wanted]
        if len(names) < FOLDS:
            raise ValueError(f"{FOLDS} folds need {FOLDS} merchants of each outcome at least")
        for place, name in enumerate(random.permutation(names)):
            folds[str(name)] = place % FOLDS
    return folds


def _result(bad: np.ndarray, seeds: list[list[_Held]]) -> Result:
    return Result(
        len(bad),
        int(bad.sum()),
        {name: _quality(name, seeds) for name in MODELS},
        {name: _curves(name, bad, seeds) for name in MODELS},
    )


def _curves(name: str, bad: np.ndarray, seeds: list[list[_Held]]) -> Curves:
    whole = []
    for folds in seeds:
        scores = np.empty(len(bad))
        for fold in folds:
            scores[fold.places] = fold.scores[name]
        whole.append((bad, scores))
    return curves([(fold.bad, fold.scores[name]) for folds in seeds for fold in folds], whole)


def _quality(name: str, seeds: list[list[_Held]]) -> Quality:
    whole = [
        (np.concatenate([f.bad for f in folds]), np.concatenate([f.scores[name] for f in folds]))
        for folds in seeds
    ]
    bad, scores = np.concatenate([b for b, _ in whole]), np.concatenate([s for _, s in whole])
    found = [auc(fold.bad, fold.scores[name]) for folds in seeds for fold in folds]
    intervals = [bootstrap(auc, b, s, draws=1000, seed=n) for n, (b, s) in enumerate(whole)]
    low, high = np.mean(intervals, axis=0)
    return Quality(
        auc_mean=float(np.mean(found)),
        auc_low=float(low),
        auc_high=float(high),
        log_loss=log_loss(bad, scores),
        brier=brier(bad, scores),
        ks=float(np.mean([ks(b, s) for b, s in whole])),
    )
