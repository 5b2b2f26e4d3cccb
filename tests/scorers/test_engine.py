from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Kind, Outcome
from scorers.partition import Partition
from scorers.reasons import reason_text
from tests.scorers.logs import DAY, HOUR, MINUTE, NOON, Record, columns, logs, tick
from tests.scorers.partition_model import ModelPartition
from tests.scorers.runs import EAGER, ZONE, by, new_partition, rows_of, run


def days_of_trade(
    days: int, each: int = 6, amount: int = 30_000, *, start: int = NOON
) -> list[Record]:
    """Return steady trade: `each` payments a day, half an hour apart, from as many payers."""
    return [
        Record(
            payment_id=f"steady{day}-{i}",
            amount=amount,
            payer=f"payer{i}",
            occurred_at=start + day * DAY + i * 30 * MINUTE,
        )
        for day in range(days)
        for i in range(each)
    ]


@settings(max_examples=50)
@given(logs())
def test_the_engine_agrees_with_the_plain_model(log: list[Record]) -> None:
    partition, model = new_partition(), ModelPartition(ZONE, EAGER)
    outcomes, updates = run(partition, log)
    assert outcomes == [model.apply(offset, record) for offset, record in enumerate(log)]
    assert updates == model.updates
    assert list(partition.merchants()) == list(model.merchants)


@settings(max_examples=100)
@given(logs(), st.lists(st.integers(0, 80), max_size=6), st.integers(1, 3))
def test_any_split_into_batches_gives_the_same_rows_and_updates(
    log: list[Record], cuts: list[int], updates_at_once: int
) -> None:
    whole, split = new_partition(), new_partition(updates_at_once=updates_at_once)
    outcomes, updates = run(whole, log)
    bounds = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    pieces = [run(split, log[start:end], start) for start, end in pairwise(bounds)]
    assert [outcome for part, _ in pieces for outcome in part] == outcomes
    assert [update for _, part in pieces for update in part] == updates
    assert rows_of(split) == rows_of(whole)
    assert split.clock_state() == whole.clock_state()


def test_a_new_stall_gets_the_starter_amount_on_its_third_day() -> None:
    partition = Partition(ZONE)
    log = days_of_trade(3, each=5, amount=2_000)
    _, updates = run(partition, log)
    [update] = updates
    assert (update.merchant, update.version, update.previous) == (b"stall", 1, 0)
    assert update.limit == 50_000
    assert update.as_of == NOON + 2 * DAY
    assert not update.by_time


def test_an_update_names_three_reasons_and_the_probability_of_default() -> None:
    partition = new_partition()
    events, text = columns(days_of_trade(1))
    seen: list[tuple[list[str], float, list[float]]] = []
    partition.apply(
        events,
        text,
        lambda updates: seen.append(
            (
                [reason_text(int(reason)) for reason in updates.reason[0]],
                float(updates.pd[0]),
                updates.effect[0].tolist(),
            )
        ),
    )
    [(texts, pd, effects)] = seen
    assert "Has collected payments for a short time only: lowers the limit" in texts
    assert len(set(texts)) == len(effects) == 3
    assert 0 < pd < 0.2


def test_a_steady_merchant_gets_no_update_in_a_thousand_events_that_change_nothing() -> None:
    partition = Partition(ZONE)
    settled = days_of_trade(300)
    run(partition, settled)
    _, updates = run(partition, days_of_trade(170, start=NOON + 300 * DAY), len(settled))
    assert updates == []


def hovering(count: int, *, start: int) -> list[Record]:
    """Return payments and the voids that take them back, in turn, of 2 % of the volume."""
    volume = 28 * 6 * 30_000
    return [
        Record(
            payment_id=f"hover{i}",
            kind=Kind.VOID if i % 2 else Kind.PAYMENT,
            amount=volume // 50,
            occurred_at=start + i * MINUTE,
            payer=f"passer-by{i}",
        )
        for i in range(count)
    ]


def test_a_merchant_who_hovers_gets_at_most_two_updates_in_200_events() -> None:
    partition = Partition(ZONE)
    settled = days_of_trade(120)
    run(partition, settled)
    _, updates = run(partition, hovering(200, start=NOON + 120 * DAY), len(settled))
    assert len(updates) <= 2


def test_a_silent_merchants_limit_falls_to_nothing_by_ticks_alone() -> None:
    partition = new_partition()
    trade = days_of_trade(20)
    _, granted = run(partition, trade)
    assert granted[-1].limit > 0
    silence = [tick(NOON + 19 * DAY + hours * HOUR) for hours in range(4, 24 * 40)]
    _, updates = run(partition, silence, len(trade))
    assert updates[-1].limit == 0
    assert all(update.by_time for update in updates)
    versions = [update.version for update in granted + updates]
    assert versions == list(range(1, len(versions) + 1))


def test_a_raise_that_waits_comes_with_the_first_tick_after_the_cool_down() -> None:
    partition = new_partition()
    log = [replace(record, amount=10**10) for record in days_of_trade(1)]
    _, [first] = run(partition, log)
    assert first.limit == EAGER.policies.everybodys.raise_step
    _, updates = run(
        partition,
        [tick(first.as_of + DAY - 1), tick(first.as_of + DAY + HOUR)],
        len(log),
    )
    assert [(update.as_of, update.by_time) for update in updates] == [
        (first.as_of + DAY + HOUR, True)
    ]


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (Record(payment_id="b", outcome=Outcome.NOT_JSON), Outcome.NOT_JSON),
        (tick(NOON), Outcome.TICK),
        (
            Record(payment_id="b", occurred_at=NOON + 5 * MINUTE + 1, timestamp=NOON),
            Outcome.FROM_THE_FUTURE,
        ),
        (Record(payment_id="b", occurred_at=NOON + 5 * MINUTE, timestamp=NOON), Outcome.APPLIED),
        (Record(payment_id="b", occurred_at=NOON - DAY - 1, timestamp=NOON), Outcome.TOO_LATE),
        (Record(payment_id="b", occurred_at=NOON - DAY, timestamp=NOON), Outcome.APPLIED),
        (Record(payment_id="b", currency="USD"), Outcome.OTHER_CURRENCY),
        (Record(payment_id="a"), Outcome.DUPLICATE),
        (Record(payment_id="a", amount=1), Outcome.CONFLICT),
        (Record(payment_id="a", merchant=b"another"), Outcome.CONFLICT),
        (Record(payment_id="b"), Outcome.APPLIED),
    ],
    ids=lambda value: value.name if isinstance(value, Outcome) else "",
)
def test_what_becomes_of_an_event(record: Record, outcome: Outcome) -> None:
    partition = new_partition()
    outcomes, _ = run(partition, [Record(payment_id="a"), record])
    assert outcomes == [Outcome.APPLIED, outcome]


def test_an_event_that_would_overflow_a_tile_changes_nothing_and_its_id_stays_free() -> None:
    partition = new_partition()
    large = [Record(payment_id=f"p{i}", amount=10**15) for i in range(144)]
    outcomes, _ = run(partition, large)
    assert outcomes == [Outcome.APPLIED] * 144
    before = rows_of(partition)
    outcomes, _ = run(partition, [Record(payment_id="last", amount=2 * 10**14)], 144)
    assert outcomes == [Outcome.OVERFLOW]
    assert rows_of(partition) == before
    outcomes, _ = run(partition, [Record(payment_id="last", amount=100)], 145)
    assert outcomes == [Outcome.APPLIED]


def test_a_merchant_in_another_currency_than_the_policys_has_no_limit() -> None:
    partition = new_partition()
    log = [replace(record, currency="JPY") for record in days_of_trade(5)]
    outcomes, updates = run(partition, log)
    assert outcomes == [Outcome.APPLIED] * len(log)
    assert updates == []


def test_a_tick_from_the_future_does_not_age_the_past_away() -> None:
    partition = new_partition()
    outcomes, _ = run(partition, [replace(tick(NOON + 9 * DAY), timestamp=NOON)])
    assert outcomes == [Outcome.FROM_THE_FUTURE]
    assert partition.watermark == -1


def test_a_new_policy_holds_from_its_activation_on() -> None:
    partition = new_partition()
    trade = days_of_trade(3)
    _, updates = run(partition, trade)
    assert updates[-1].limit > 0
    strict = by(EAGER, version=1, cap=0, starter_amount=0)
    partition.activate(strict)
    _, updates = run(partition, [Record(payment_id="next", occurred_at=NOON + 3 * DAY)], len(trade))
    assert [update.limit for update in updates] == [0]
    assert partition.version == strict


def test_what_makes_no_sense_is_not_activated() -> None:
    partition = new_partition()
    with pytest.raises(ValueError, match="policy refused"):
        partition.activate(by(EAGER, version=2, step=0))
    assert partition.version == EAGER


def test_an_empty_batch_changes_nothing() -> None:
    partition = new_partition()
    assert run(partition, []) == ([], [])
    assert partition.clock_state() == new_partition().clock_state()


def test_changed_rows_are_handed_out_once() -> None:
    partition = new_partition()
    run(partition, [Record(), Record(payment_id="q", merchant=b"other")])
    [changed] = partition.take_changed_rows()
    assert changed.keys.tobytes() == b"stallother"
    assert changed.key_length.tolist() == [5, 5]
    assert changed.rows[0].tobytes() == partition.row_bytes(b"stall")
    assert [len(changed.rows) for changed in partition.take_changed_rows()] == [0]
    assert partition.row_bytes(b"nobody") is None
