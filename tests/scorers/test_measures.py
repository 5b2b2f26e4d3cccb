from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.measures import auc, bootstrap, brier, calibration, ks, log_loss, roc

SCORED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20).map(lambda n: n / 20)), min_size=2, max_size=60
).filter(lambda pairs: 0 < sum(bad for bad, _ in pairs) < len(pairs))


@given(SCORED)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[bool, float]]) -> None:
    bad = [score for was_bad, score in pairs if was_bad]
    good = [score for was_bad, score in pairs if not was_bad]
    wins = sum((b > g) + (b == g) / 2 for b in bad for g in good)
    assert auc(*zip(*pairs, strict=True)) == pytest.approx(wins / (len(bad) * len(good)))


@given(SCORED)
def test_roc_counts_at_every_threshold_the_loans_above_it(pairs: list[tuple[bool, float]]) -> None:
    def flagged(wanted: bool, threshold: float) -> float:
        scores = [value for bad, value in pairs if bad is wanted]
        return sum(value >= threshold for value in scores) / len(scores)

    curve = roc(*zip(*pairs, strict=True))
    thresholds = [math.inf, *sorted({score for _, score in pairs}, reverse=True)]
    assert curve.good.tolist() == [flagged(False, each) for each in thresholds]
    assert curve.bad.tolist() == [flagged(True, each) for each in thresholds]
    assert np.trapezoid(curve.bad, curve.good) == pytest.approx(auc(*zip(*pairs, strict=True)))


@given(SCORED)
def test_ks_is_the_widest_gap_between_the_two_distributions(
    pairs: list[tuple[bool, float]],
) -> None:
    def below(wanted: bool, score: float) -> float:
        scores = [value for bad, value in pairs if bad is wanted]
        return sum(value <= score for value in scores) / len(scores)

    widest = max(abs(below(True, score) - below(False, score)) for _, score in pairs)
    assert ks(*zip(*pairs, strict=True)) == pytest.approx(widest)


def test_without_both_outcomes_there_is_nothing_to_rank() -> None:
    assert math.isnan(auc([0, 0], [0.1, 0.2]))
    assert math.isnan(ks([1, 1], [0.1, 0.2]))


def test_auc_is_exact_where_outcomes_are_rare_and_probabilities_small() -> None:
    random = np.random.default_rng(1)
    bad = random.random(10_000) < 0.003
    p = random.random(10_000) * 0.01 + bad * 0.005
    wins = (p[bad][:, None] > p[~bad][None, :]).mean()
    assert auc(bad, p) == pytest.approx(wins)
    assert 0.7 < wins < 0.95


def test_a_certain_error_costs_much_but_not_infinitely() -> None:
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(1e-12))
    assert brier([1], [0.0]) == 1.0


def test_calibration_sets_expected_against_observed_by_rising_probability() -> None:
    parts = calibration([0, 1, 0, 1], [0.1, 0.8, 0.2, 0.9], parts=2)
    assert [part.loans for part in parts] == [2, 2]
    assert [part.expected for part in parts] == pytest.approx([0.15, 0.85])
    assert [part.observed for part in parts] == [0.0, 1.0]


def test_the_bootstrap_interval_holds_the_figure_and_narrows_with_more_loans() -> None:
    random = np.random.default_rng(2)
    bad = random.random(2000) < 0.2
    p = random.normal(size=2000) + bad
    few = bootstrap(auc, bad[:200], p[:200], draws=300)
    many = bootstrap(auc, bad, p, draws=300)
    assert many[0] < auc(bad, p) < many[1]
    assert many[1] - many[0] < few[1] - few[0]
