from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.hashing import hash_of
from scorers.explanation import explain
from scorers.hold_out import SALT, constant, draw_of, is_held_out, settle
from scorers.limits import args_of
from scorers.partition import Partition, Version
from scorers.policy import BUILT_IN
from scorers.reasons import CUT_OFF, HOLD_OUT, reason_code, reason_text
from streams.decode.routing import murmur2
from tests.scorers.limits_model import model_constant, model_held_out, model_settle
from tests.scorers.logs import DAY, HELD_OUT, HOUR, MERCHANTS, NOON, Record, columns, logs, tick
from tests.scorers.merchants import NEW_STALL, STEADY_STALL, feature_dicts, vector_of
from tests.scorers.partition_model import ModelPartition
from tests.scorers.runs import EAGER, ZONE, by, rows_of, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scorers.evaluation import Updates

ARGS = args_of(BUILT_IN)
MANY = 100_000

pds = st.floats(0, 1)
limits = st.integers(0, BUILT_IN.cap // BUILT_IN.step).map(lambda steps: steps * BUILT_IN.step)
versions = st.integers(0, 5)


def sharing(share: float, version: Version = EAGER) -> Version:
    return by(version, hold_out_share=share)


def held_out(merchant: bytes, share: float = BUILT_IN.hold_out_share) -> bool:
    args = args_of(msgspec.structs.replace(BUILT_IN, hold_out_share=share))
    return bool(is_held_out(np.uint64(hash_of(merchant)), args))


def given_by(features: dict[str, float], pd: float, limit: int = 0, version: int = 0) -> int:
    return int(constant(vector_of(features), pd, limit, version, ARGS))


def trade(merchant: bytes, days: int, amount: int, *, start: int = NOON) -> list[Record]:
    """Return six payments a day from as many payers."""
    return [
        Record(
            merchant=merchant,
            payment_id=f"{start}-{day}-{i}",
            amount=amount,
            payer=f"payer{i}",
            occurred_at=start + day * DAY + i * HOUR,
        )
        for day in range(days)
        for i in range(6)
    ]


def reasons_of(partition: Partition, log: Sequence[Record], first_offset: int = 0) -> list[object]:
    """Return the codes and effects of the reasons of each update."""
    events, text = columns(log, first_offset)
    gathered: list[object] = []

    def gather(updates: Updates) -> None:
        for reasons, effects in zip(updates.reason, updates.effect, strict=True):
            gathered.append(
                [
                    (reason_code(int(reason)), float(effect))
                    for reason, effect in zip(reasons, effects, strict=True)
                    if reason >= 0
                ]
            )

    partition.apply(events, text, gather)
    return gathered


# Who is in it.


def name_of(i: int) -> bytes:
    return b"merchant-%d" % i


def partition_of(i: int) -> int:
    """Return the merchant's partition of twelve."""
    return int(murmur2(np.frombuffer(name_of(i), np.uint8), 0, len(name_of(i)))) % 12


@pytest.fixture(scope="module")
def draws() -> NDArray[np.float64]:
    """The draws of many merchants, by number."""
    hashes = (np.uint64(hash_of(name_of(i))) for i in range(MANY))
    return np.array([draw_of(hashed) for hashed in hashes])


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_the_share_of_many_merchants_that_is_held_out_is_the_policys(
    draws: NDArray[np.float64], share: float
) -> None:
    deviation = math.sqrt(share * (1 - share) * MANY)
    # Beyond four standard deviations a binomial count comes once in 10,000 tries.
    assert abs(int((draws < share).sum()) - share * MANY) <= 4 * deviation


@pytest.mark.parametrize(
    ("of", "parts"),
    [
        (partition_of, 12),
        (lambda i: hash_of(name_of(i)) % 12, 12),
        (lambda i: hash_of(name_of(i)) >> 60, 16),
        (lambda i: i % 12, 12),
    ],
    ids=["partition", "slot of the index", "tag of the index", "row number"],
)
def test_the_hold_out_has_nothing_to_do_with_where_a_merchant_is(
    draws: NDArray[np.float64], of: Callable[[int], int], parts: int
) -> None:
    parts_of_all = np.array([of(i) for i in range(MANY)])
    everybody = np.bincount(parts_of_all, minlength=parts)
    drawn = np.bincount(parts_of_all[draws < 0.1], minlength=parts)
    expected = everybody * (drawn.sum() / MANY)
    # Chi-square of 11 to 15 degrees of freedom: above 45 comes once in 10,000 tries.
    assert float(((drawn - expected) ** 2 / expected).sum()) < 45


def test_the_same_merchants_are_held_out_for_ever() -> None:
    """Another choice would put those who lived with limits among those who did not."""
    assert int(SALT) == hash_of(b"duoshou hold-out") == 0x509A9583B66BB85A
    chosen = [i for i in range(1000) if held_out(b"m%d" % i)]
    assert chosen == [142, 172, 203, 380, 410, 588, 593, 692, 750]
    assert [held_out(merchant) for merchant in MERCHANTS] == [False, False, False, True]


@given(st.binary(min_size=1, max_size=64), st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_larger_share_only_adds_merchants(merchant: bytes, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert held_out(merchant, large) or not held_out(merchant, small)
    assert not held_out(merchant, 0.0)


@given(st.binary(min_size=1, max_size=64), st.floats(0, 0.1))
def test_the_choice_agrees_with_the_plain_model(merchant: bytes, share: float) -> None:
    policy = msgspec.structs.replace(BUILT_IN, hold_out_share=share)
    assert held_out(merchant, share) == model_held_out(merchant, policy)


# What its limit is.


@given(feature_dicts(), pds, limits, versions)
def test_the_limit_is_the_starter_amount_or_nothing(
    features: dict[str, float], pd: float, limit: int, version: int
) -> None:
    whole = given_by(features, pd, limit, version)
    assert whole in (0, BUILT_IN.starter_amount)
    assert whole == model_constant(features, pd, limit, version, BUILT_IN)


@given(feature_dicts(), st.floats(0, BUILT_IN.pd_cut_off, exclude_max=True), versions)
def test_no_payments_and_no_pd_below_the_cut_off_move_a_limit_once_given(
    features: dict[str, float], pd: float, version: int
) -> None:
    assert given_by(features, pd, BUILT_IN.starter_amount, version) == BUILT_IN.starter_amount


@given(feature_dicts(), pds, pds, limits, versions)
def test_a_higher_probability_of_default_never_raises_it(
    features: dict[str, float], one: float, other: float, limit: int, version: int
) -> None:
    low, high = sorted((one, other))
    assert given_by(features, high, limit, version) <= given_by(features, low, limit, version)


@given(st.sampled_from([0, BUILT_IN.starter_amount]), limits, versions, st.integers(0, 3 * DAY))
def test_what_becomes_of_a_limit_agrees_with_the_plain_model(
    whole: int, limit: int, version: int, since: int
) -> None:
    new, waits = settle(whole, limit, version, 0, since, ARGS)
    assert (new, waits) == model_settle(whole, limit, version, 0, since, BUILT_IN)


def test_it_is_earned_by_the_starter_counts_like_everybodys() -> None:
    just = NEW_STALL | {"payments_28": 10, "payers_28": 5, "active_days_28": 3}
    assert given_by(just, 0.1) == BUILT_IN.starter_amount
    for figure in ("payments_28", "payers_28", "active_days_28"):
        assert given_by(just | {figure: just[figure] - 1}, 0.1) == 0


def test_from_the_cut_off_on_the_lender_is_protected_and_it_must_be_earned_anew() -> None:
    cut_off, starter = BUILT_IN.pd_cut_off, BUILT_IN.starter_amount
    assert given_by(STEADY_STALL, cut_off, starter, 1) == 0
    assert given_by(STEADY_STALL, math.nan, starter, 1) == 0
    assert given_by(STEADY_STALL, 0.99 * cut_off, 0, 2) == 0
    assert given_by(STEADY_STALL, 0.89 * cut_off, 0, 2) == starter
    assert given_by(STEADY_STALL | {"payments_28": 0}, 0.01, 0, 2) == 0


def test_who_comes_in_with_another_limit_gets_the_starter_amount_at_once() -> None:
    assert settle(50_000, 750_000, 4, 0, 1, ARGS) == (50_000, False)
    assert settle(50_000, 60_000, 4, 0, 1, ARGS) == (50_000, False)


def test_after_a_cut_a_raise_waits_for_the_end_of_the_cool_down() -> None:
    assert settle(50_000, 0, 2, 0, DAY - 1, ARGS) == (0, True)
    assert settle(50_000, 0, 2, 0, DAY, ARGS) == (50_000, False)


# In a partition.


def test_a_held_out_merchant_keeps_the_starter_amount_whatever_he_collects() -> None:
    partition = Partition(ZONE)
    log = [
        *trade(HELD_OUT, 40, 50_000),
        *trade(HELD_OUT, 40, 5_000_000, start=NOON + 40 * DAY),
        *trade(HELD_OUT, 40, 100, start=NOON + 80 * DAY),
    ]
    _, updates = run(partition, log)
    assert [update.limit for update in updates] == [BUILT_IN.starter_amount]
    _, updates = run(Partition(ZONE), [replace(record, merchant=b"m0") for record in log])
    assert max(update.limit for update in updates) > 10 * BUILT_IN.starter_amount


def test_a_shop_that_falls_silent_loses_it_by_its_probability_of_default_and_by_time() -> None:
    partition = Partition(ZONE)
    settled = trade(HELD_OUT, 40, 50_000)
    assert reasons_of(partition, settled) == [[("hold_out", 0.0)]]
    silence = [tick(NOON + 40 * DAY + hours * HOUR) for hours in range(24 * 100)]
    assert reasons_of(partition, silence, len(settled)) == [
        [("hold_out", 0.0), ("pd_cut_off", -1.0)]
    ]


def test_the_reasons_of_the_hold_out_are_sentences() -> None:
    assert reason_code(HOLD_OUT) == "hold_out"
    assert "does not follow payments" in reason_text(HOLD_OUT)
    assert reason_code(CUT_OFF) == "pd_cut_off"
    assert "ends the limit" in reason_text(CUT_OFF)


@settings(max_examples=40)
@given(logs(min_size=40), st.sampled_from([0.03, 0.05, 0.1, 0.2]))
def test_a_partition_of_held_out_merchants_agrees_with_the_plain_model(
    log: list[Record], pd_cut_off: float
) -> None:
    """Cut-offs near the ordinary PD: limits end and come back."""
    everybody = dict(zip(MERCHANTS, (b"m172", b"m203", b"m380", HELD_OUT), strict=True))
    log = [
        replace(record, merchant=everybody.get(record.merchant, record.merchant)) for record in log
    ]
    version = by(EAGER, pd_cut_off=pd_cut_off)
    partition, model = Partition(ZONE, version), ModelPartition(ZONE, version)
    outcomes, updates = run(partition, log)
    assert outcomes == [model.apply(offset, record) for offset, record in enumerate(log)]
    assert updates == model.updates
    assert {update.limit for update in updates} <= {0, EAGER.policies.everybodys.starter_amount}


@settings(max_examples=50)
@given(logs())
def test_with_a_share_of_0_everybody_is_treated_alike(log: list[Record]) -> None:
    partition, model = Partition(ZONE, sharing(0.0)), ModelPartition(ZONE, sharing(0.0))
    outcomes, updates = run(partition, log)
    assert outcomes == [model.apply(offset, record) for offset, record in enumerate(log)]
    assert updates == model.updates
    renamed = [
        replace(record, merchant=b"m3") if record.merchant == HELD_OUT else record for record in log
    ]
    _, others = run(Partition(ZONE, EAGER), renamed)
    assert [update[1:] for update in others] == [update[1:] for update in updates]


@settings(max_examples=50)
@given(logs())
def test_the_others_get_what_they_would_get_without_a_hold_out(log: list[Record]) -> None:
    with_one, without = Partition(ZONE, sharing(0.1)), Partition(ZONE, sharing(0.0))
    _, updates = run(with_one, log)
    _, free = run(without, log)
    assert [each for each in updates if each.merchant != HELD_OUT] == [
        each for each in free if each.merchant != HELD_OUT
    ]
    rows, free_rows = rows_of(with_one), rows_of(without)
    assert {name: row for name, row in rows.items() if name != HELD_OUT} == {
        name: row for name, row in free_rows.items() if name != HELD_OUT
    }


# What is said of him.


def test_an_explanation_says_so_and_names_nothing_that_would_raise_the_limit() -> None:
    partition = Partition(ZONE)
    run(partition, trade(HELD_OUT, 40, 50_000))
    row = partition.row_bytes(HELD_OUT)
    assert row is not None
    explanation = explain(HELD_OUT, row, Version(), "Asia/Shanghai", 0)
    assert explanation.held_out
    assert explanation.limit == explanation.target == BUILT_IN.starter_amount
    assert explanation.levers == []
    assert {feature.effect for feature in explanation.features} == {0.0}
    assert any(feature.log_odds for feature in explanation.features)


def test_an_explanation_of_anybody_else_names_what_would_raise_the_limit() -> None:
    partition = Partition(ZONE)
    run(partition, trade(b"m0", 40, 50_000))
    row = partition.row_bytes(b"m0")
    assert row is not None
    explanation = explain(b"m0", row, Version(), "Asia/Shanghai", 0)
    assert not explanation.held_out
    assert explanation.target > BUILT_IN.starter_amount
    assert [lever.name for lever in explanation.levers].count("volume") == 1
