from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.limits import args_of, decide, wanted
from scorers.policy import BUILT_IN, Policy, dump_policy, load_policy
from tests.scorers.limits_model import model_decide, model_wanted
from tests.scorers.merchants import NEW_STALL, STEADY_STALL, YUAN, feature_dicts, vector_of

ARGS = args_of(BUILT_IN)
HOUR = 3_600_000
DAY = 24 * HOUR

pds = st.floats(0, 1)
limits = st.integers(0, BUILT_IN.cap // BUILT_IN.step).map(lambda steps: steps * BUILT_IN.step)
versions = st.integers(0, 5)


def wanted_by(features: dict[str, float], pd: float, limit: int = 0, version: int = 0) -> int:
    return int(wanted(vector_of(features), pd, limit, version, ARGS))


def after(whole: int, limit: int, version: int, raised_at: int, as_of: int) -> tuple[int, bool]:
    new, waits = decide(whole, limit, version, raised_at, as_of, ARGS)
    return int(new), bool(waits)


@given(feature_dicts(), pds, limits, versions)
def test_a_limit_is_never_negative_nor_above_the_cap_and_in_whole_steps(
    features: dict[str, float], pd: float, limit: int, version: int
) -> None:
    whole = wanted_by(features, pd, limit, version)
    assert 0 <= whole <= BUILT_IN.cap
    assert whole % BUILT_IN.step == 0


@given(feature_dicts(), pds, limits, versions, st.integers(0, 10**10))
def test_more_volume_never_lowers_a_limit(
    features: dict[str, float], pd: float, limit: int, version: int, more: int
) -> None:
    larger = features | {"net_28": features["net_28"] + more}
    before = wanted_by(features, pd, limit, version)
    assert wanted_by(larger, pd, limit, version) >= before


@given(feature_dicts(), pds, pds, limits, versions)
def test_a_higher_probability_of_default_never_raises_a_limit(
    features: dict[str, float], one: float, other: float, limit: int, version: int
) -> None:
    low, high = sorted((one, other))
    at_low = wanted_by(features, low, limit, version)
    assert wanted_by(features, high, limit, version) <= at_low


@given(limits, limits, limits, versions, st.integers(0, 3 * DAY))
def test_a_larger_wanted_amount_never_gives_a_lower_limit(
    one: int, other: int, limit: int, version: int, since: int
) -> None:
    small, large = sorted((one, other))
    lower, _ = after(small, limit, version, 0, since)
    higher, _ = after(large, limit, version, 0, since)
    assert lower <= higher


@given(feature_dicts(), pds, limits, versions)
def test_wanted_agrees_with_the_plain_model(
    features: dict[str, float], pd: float, limit: int, version: int
) -> None:
    ours = wanted_by(features, pd, limit, version)
    plain = model_wanted(features, pd, limit, version, BUILT_IN)
    # The order of the multiplications may put a figure on the other side of a whole step.
    assert abs(ours - plain) <= BUILT_IN.step
    assert ours == plain or abs(ours - plain) / max(ours, plain) < 1e-3 or ours < 10**6


@given(limits, limits, versions, st.integers(0, 3 * DAY))
def test_decide_agrees_with_the_plain_model(
    whole: int, limit: int, version: int, since: int
) -> None:
    plain = model_decide(whole, limit, version, 0, since, BUILT_IN)
    assert after(whole, limit, version, 0, since) == plain


def test_from_the_cut_off_on_nothing_is_lent() -> None:
    assert wanted_by(STEADY_STALL, BUILT_IN.pd_cut_off) == 0
    assert wanted_by(STEADY_STALL, math.nextafter(BUILT_IN.pd_cut_off, 0)) > 0


@pytest.mark.parametrize(
    ("figure", "worse"),
    [
        ("tenure_days", 10),
        ("active_days_28", 4),
        ("payers_28", 5),
        ("largest_payer_share", 0.9),
        ("volatility_28", 2.5),
    ],
)
def test_each_factor_takes_something_off_but_never_everything(figure: str, worse: float) -> None:
    assert 0 < wanted_by(STEADY_STALL | {figure: worse}, 0.02) < wanted_by(STEADY_STALL, 0.02)


def test_an_absent_figure_counts_as_half_way() -> None:
    absent = wanted_by(STEADY_STALL | {"volatility_28": math.nan}, 0.02)
    assert absent == wanted_by(STEADY_STALL | {"volatility_28": 2.0}, 0.02)
    assert 0 < absent < wanted_by(STEADY_STALL, 0.02)


def test_absent_volume_earns_nothing() -> None:
    nothing = STEADY_STALL | {"net_28": math.nan, "payments_28": 0}
    assert wanted_by(nothing, 0.02) == 0


def test_the_starter_amount_comes_with_the_last_of_payments_payers_and_days() -> None:
    just = NEW_STALL | {"payments_28": 10, "payers_28": 5, "active_days_28": 3, "net_28": 30 * YUAN}
    assert wanted_by(just, 0.1) == BUILT_IN.starter_amount
    for figure in ("payments_28", "payers_28", "active_days_28"):
        assert wanted_by(just | {figure: just[figure] - 1}, 0.1) == 0


def test_one_voided_payment_does_not_take_the_starter_amount_away() -> None:
    voided = NEW_STALL | {
        "payments_28": 9,
        "payers_28": 5,
        "active_days_28": 3,
        "net_28": 30 * YUAN,
    }
    assert wanted_by(voided, 0.1, limit=BUILT_IN.starter_amount, version=1) == 50_000


def test_who_was_cut_to_nothing_comes_back_only_well_below_the_cut_off() -> None:
    assert wanted_by(STEADY_STALL, 0.99 * BUILT_IN.pd_cut_off, limit=0, version=2) == 0
    assert wanted_by(STEADY_STALL, 0.89 * BUILT_IN.pd_cut_off, limit=0, version=2) > 0


def test_a_raise_adds_at_most_one_raise_step_a_cool_down() -> None:
    assert after(30_000_000, 0, 0, 0, DAY) == (500_000, True)
    assert after(30_000_000, 500_000, 1, DAY, 2 * DAY - 1) == (500_000, True)
    assert after(30_000_000, 500_000, 1, DAY, 2 * DAY) == (1_000_000, True)
    assert after(1_000_000, 500_000, 1, DAY, 2 * DAY) == (1_000_000, False)


def test_a_cut_outside_the_dead_band_comes_at_once_and_whole() -> None:
    assert after(200_000, 30_000_000, 9, DAY, DAY) == (200_000, False)


def test_a_change_inside_the_dead_band_waits() -> None:
    assert after(1_100_000, 1_000_000, 3, 0, 9 * DAY) == (1_000_000, False)
    assert after(1_110_000, 1_000_000, 3, 0, 9 * DAY) == (1_110_000, False)
    assert after(900_000, 1_000_000, 3, 0, 9 * DAY) == (1_000_000, False)
    assert after(890_000, 1_000_000, 3, 0, 9 * DAY) == (890_000, False)


def test_the_end_of_a_limit_is_no_wavering() -> None:
    assert after(0, 10_000, 3, 0, 9 * DAY) == (0, False)


def test_a_lowered_cap_holds_even_inside_the_dead_band() -> None:
    lowered = args_of(msgspec.structs.replace(BUILT_IN, cap=29_900_000))
    assert decide(29_900_000, 30_000_000, 3, 0, 9 * DAY, lowered) == (29_900_000, False)


def updates_in_200_events(pairs: tuple[tuple[dict[str, float], float], ...], *, every: int) -> int:
    limit, version, raised_at, updates = 0, 0, 0, 0
    for event in range(200):
        features, pd = pairs[event % len(pairs)]
        as_of = event * every
        whole = wanted_by(features, pd, limit, version)
        new, _ = after(whole, limit, version, raised_at, as_of)
        if new != limit:
            if new > limit:
                raised_at = as_of
            limit, version, updates = new, version + 1, updates + 1
    return updates


@given(st.floats(0, 0.25), st.sampled_from([60_000, HOUR, 25 * HOUR]))
def test_a_pd_that_hovers_by_one_percent_gives_at_most_two_updates(
    around: float, every: int
) -> None:
    hovering = tuple((STEADY_STALL, around * side) for side in (0.99, 1.01))
    assert updates_in_200_events(hovering, every=every) <= 2


@given(st.integers(0, 20_000 * YUAN), st.sampled_from([60_000, HOUR, 25 * HOUR]))
def test_a_volume_that_hovers_by_one_percent_gives_at_most_two_updates(
    around: int, every: int
) -> None:
    hovering = tuple(
        (STEADY_STALL | {"net_28": float(round(around * side))}, 0.02) for side in (0.99, 1.01)
    )
    assert updates_in_200_events(hovering, every=every) <= 2


def test_the_built_in_policy_survives_json() -> None:
    assert load_policy(dump_policy(BUILT_IN)) == BUILT_IN


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"step": 0}, "step is 0, not between 1 and 10**15"),
        ({"cap": -10_000}, "cap is -10000, not between 0 and 10**15"),
        ({"cap": 30_000_001}, "cap is 30000001, not a multiple of the step 10000"),
        ({"raise_step": 10_000}, "one step is inside the dead band"),
        ({"starter_amount": 510_000}, "above the cap or the raise_step"),
        ({"starter_amount": 10_000}, "it is inside the dead band"),
        ({"starter_payments": 0}, "starter_payments is 0, not between 1 and 10**15"),
        ({"cool_down_ms": -1}, "cool_down_ms is -1, not between 0 and 10**15"),
        ({"advance_rate": math.nan}, "advance_rate is nan, not in (0, 100]"),
        ({"pd_cut_off": 0.0}, "pd_cut_off is 0.0, not in (0, 1]"),
        ({"dead_band": 1.0}, "dead_band is 1.0, not in [0, 1)"),
        ({"hold_out_share": -0.01}, "hold_out_share is -0.01, not in [0, 0.1]"),
        ({"hold_out_share": 0.11}, "hold_out_share is 0.11, not in [0, 0.1]"),
        ({"hold_out_share": math.nan}, "hold_out_share is nan, not in [0, 0.1]"),
        ({"currency": "yuan"}, "a currency is three capital letters, not 'yuan'"),
        ({"valid_from": 9, "valid_to": 9}, "valid_to is 9, not after valid_from"),
        ({"tenure_days": {"worst": 1, "best": 1, "floor": 0.5}}, "the same worst and best, 1.0"),
        ({"tenure_days": {"worst": 0, "best": 1, "floor": 0.0}}, "a floor of 0.0, not in (0, 1]"),
        ({"payers_28": {"worst": -1, "best": 1, "floor": 0.5}}, "a bound below 0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(change: dict[str, object], complaint: str) -> None:
    changed = msgspec.convert(msgspec.to_builtins(BUILT_IN) | change, Policy)
    with pytest.raises(ValueError, match="policy refused") as refusal:
        args_of(changed)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b'{"version":1,"advance":2}',
        b'{"version":"1"}',
        b'{"version":-1}',
        b'{"version":1,"lender":""}',
        b'{"version":1,"product":"gift"}',
    ],
)
def test_what_is_no_policy_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a policy: \w"):
        load_policy(raw)
