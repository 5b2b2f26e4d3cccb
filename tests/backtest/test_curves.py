from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.measures import Decile, Roc, auc, calibration, roc
from streams.backtest.curves import curves, mean_calibration, mean_roc

Pairs = list[tuple[bool, float]]

SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8)), min_size=2, max_size=30
).filter(lambda pairs: 0 < sum(bad for bad, _ in pairs) < len(pairs))


def columns(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([bad for bad, _ in pairs]), np.array([score for _, score in pairs])


def area(curve: Roc) -> float:
    return float(np.trapezoid(curve.bad, curve.good))


@given(st.lists(SCORED, min_size=1, max_size=5))
def test_the_area_under_the_mean_curve_is_the_mean_auc(folds: list[Pairs]) -> None:
    mean = mean_roc([roc(*columns(fold)) for fold in folds])
    assert area(mean) == pytest.approx(np.mean([auc(*columns(fold)) for fold in folds]))
    assert (np.diff(mean.good) >= 0).all()
    assert (np.diff(mean.bad) >= -1e-12).all()
    assert (mean.good[0], mean.good[-1]) == (0, 1)
    assert mean.bad[-1] == pytest.approx(1)


@given(SCORED)
def test_the_mean_of_one_curve_is_that_curve(fold: Pairs) -> None:
    alone = roc(*columns(fold))
    mean = mean_roc([alone])
    corners = set(zip(mean.good.tolist(), mean.bad.tolist(), strict=True))
    for good in alone.good:
        at = alone.bad[alone.good == good]
        assert {(good, at.min()), (good, at.max())} <= corners


def test_the_mean_curve_keeps_a_rise_at_its_place() -> None:
    steep = Roc(good=np.array([0.0, 0.0, 1.0]), bad=np.array([0.0, 1.0, 1.0]))
    chance = Roc(good=np.array([0.0, 1.0]), bad=np.array([0.0, 1.0]))
    mean = mean_roc([steep, chance])
    assert mean.good.tolist() == [0, 0, 1, 1]
    assert mean.bad.tolist() == [0, 0.5, 1, 1]


@given(st.integers(1, 4), st.integers(2, 20), st.randoms(use_true_random=False))
def test_log_loss_so_far_is_the_sum_of_what_came_before_as_a_mean_over_the_seeds(
    seeds: int, loans: int, random: np.random.RandomState
) -> None:
    bad = [True, False] + [random.random() < 0.3 for _ in range(loans - 2)]
    scores = [[random.random() for _ in bad] for _ in range(seeds)]
    scored = [(np.array(bad), np.array(each)) for each in scores]
    found = curves(scored, scored).log_loss_so_far
    for n in range(loans):
        total = 0.0
        for each in scores:
            for i in range(n + 1):
                given_to_what_happened = each[i] if bad[i] else 1 - each[i]
                total -= math.log(max(given_to_what_happened, 1e-12))
        assert found[n] == pytest.approx(total / seeds)


def test_calibration_is_the_mean_of_each_seeds_own_tenths() -> None:
    one = [Decile(7, 0.1, 0.0), Decile(6, 0.5, 0.5)]
    two = [Decile(7, 0.3, 0.2), Decile(6, 0.7, 1.0)]
    assert mean_calibration([one, two]) == [Decile(7, 0.2, 0.1), Decile(6, 0.6, 0.75)]
    bad, scores = np.array([False, True] * 10), np.linspace(0.1, 0.9, 20)
    assert curves([(bad, scores)], [(bad, scores)]).calibration == calibration(bad, scores)
