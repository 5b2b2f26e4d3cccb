"""One model's ROC, calibration and cumulative log-loss: means over folds and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorers.measures import Decile, Roc, calibration, log_losses, roc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    # Outcomes (true: bad) and probabilities of the same loans.
    Scored = tuple[NDArray[np.bool_], NDArray[np.float64]]


class Curves(NamedTuple):
    """How one model did, as curves.

    Attributes:
        roc: mean over the held folds; the area under it is the mean AUC.
        calibration: tenths of the loans by rising probability; means over the seeds.
        log_loss_so_far: summed log-loss (nats) after each loan, in the order of the outcomes;
            mean over the seeds.
    """

    roc: Roc
    calibration: list[Decile]
    log_loss_so_far: NDArray[np.float64]


def curves(folds: Sequence[Scored], seeds: Sequence[Scored]) -> Curves:
    """Return the curves of one model.

    Args:
        folds: each held fold of each seed, with good and bad loans in it.
        seeds: for each seed all loans, in the order in which their outcomes became known.
    """
    losses = np.mean([log_losses(bad, scores) for bad, scores in seeds], axis=0)
    return Curves(
        mean_roc([roc(bad, scores) for bad, scores in folds]),
        mean_calibration([calibration(bad, scores) for bad, scores in seeds]),
        np.cumsum(losses),
    )


def mean_roc(each: Sequence[Roc]) -> Roc:
    """Return the mean height of the curves above every share of good loans.

    Where one of them rises straight up, the mean has both the lower and the upper end.
    """
    at = np.unique(np.concatenate([curve.good for curve in each]))
    ends = np.mean([_heights(curve, at) for curve in each], axis=0)
    return Roc(good=np.repeat(at, 2), bad=ends.ravel())


def _heights(curve: Roc, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower and the upper end of a curve above each share of good loans."""
    between = np.interp(at, curve.good, curve.bad)
    first = np.searchsorted(curve.good, at, "left")
    last = np.searchsorted(curve.good, at, "right") - 1
    corner = curve.good[last] == at
    return np.column_stack([np.where(corner, curve.bad[end], between) for end in (first, last)])


def mean_calibration(each: Sequence[Sequence[Decile]]) -> list[Decile]:
    """Return the mean of every tenth; each seed has the same number of loans in it."""
    return [
        Decile(
            tenths[0].loans,
            float(np.mean([tenth.expected for tenth in tenths])),
            float(np.mean([tenth.observed for tenth in tenths])),
        )
        for tenths in zip(*each, strict=True)
    ]
