"""Single rules of the row, each by one small stream."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calendar import load_zone
from features.events import Funding, Kind
from features.layout import DAYS
from features.roll import can_decay
from features.update import LIFETIME_LIMIT, TILE_LIMIT
from tests.features.model import Event
from tests.features.running import DAY, HOUR, MINUTE, Outcome, Roll, Step, overflows, run, streams

NOON = 1_750_000_000_000 - 1_750_000_000_000 % DAY + 4 * HOUR
"""Noon in Shanghai."""
SHANGHAI = load_zone("Asia/Shanghai")


def pay(
    amount: int = 100, at: int = NOON, payer: int = 0, funding: Funding = Funding.UNKNOWN
) -> Event:
    return Event(Kind.PAYMENT, amount, at, funding=funding, payer=payer)


def last(steps: list[Step]) -> dict[str, float]:
    return run(steps).features[-1]


def nets(found: Outcome) -> list[int]:
    """Return the signed net of today, yesterday, and so on."""
    return [int(found.row.day_net[(found.row.day - age) % DAYS]) for age in range(DAYS)]


def test_a_refund_lowers_the_tile_of_the_day_it_refunds() -> None:
    found = run([pay(100, NOON), Event(Kind.REFUND, 30, NOON + 2 * DAY, NOON)])
    assert nets(found)[:3] == [0, 0, 70]


def test_a_refund_that_does_not_say_when_lowers_its_own_day() -> None:
    found = run([pay(100, NOON), Event(Kind.REFUND, 30, NOON + 2 * DAY)])
    assert nets(found)[:3] == [-30, 0, 100]


def test_a_day_s_net_reads_as_no_less_than_0_and_the_excess_is_kept() -> None:
    steps: list[Step] = [pay(100), Event(Kind.REFUND, 250, NOON + MINUTE), pay(40, NOON + DAY)]
    assert last(steps)["net_28"] == 40
    found = run([*steps, Roll(NOON + 35 * DAY)])
    assert found.row.excess == 150


def test_an_orphan_refund_leaves_nothing_below_0() -> None:
    found = last([Event(Kind.REFUND, 250, NOON)])
    assert (found["net_28"], found["net_7"]) == (0, 0)


def test_a_reversed_chargeback_gives_back_what_it_took() -> None:
    chargeback = Event(Kind.CHARGEBACK, 100, NOON + DAY, NOON)
    reverse = Event(Kind.CHARGEBACK_REVERSED, 100, NOON + 2 * DAY, NOON)
    taken, given_back = run([pay(), chargeback, reverse]).features[1:]
    assert (taken["net_28"], taken["chargeback_share"]) == (0, 1)
    assert (given_back["net_28"], given_back["chargeback_share"]) == (100, 0)


@given(streams(), st.integers(1, 10**15), st.sampled_from(list(Funding)))
def test_a_void_undoes_sums_and_counts_of_its_payment(
    steps: list[Step], amount: int, funding: Funding
) -> None:
    at = max(step.to_ms if isinstance(step, Roll) else step.occurred_at for step in steps)
    payment = Event(Kind.PAYMENT, amount, at, funding=funding)
    void = Event(Kind.VOID, amount, at + MINUTE, at, funding)
    # A payment also says when the merchant was last seen: that stays.
    tiny = Event(Kind.PAYMENT, 1, at)
    with_it, without = run([*steps, tiny, payment, void]), run([*steps, tiny, Roll(at + MINUTE)])
    assert with_it.features[-1] == pytest.approx(without.features[-1], nan_ok=True, rel=0, abs=0)


def test_a_void_is_no_refund() -> None:
    found = last([pay(100), pay(100), Event(Kind.VOID, 100, NOON)])
    assert (found["refund_share"], found["payments_28"], found["net_28"]) == (0, 1, 100)


def test_what_is_said_to_be_taken_back_later_than_now_is_taken_back_now() -> None:
    found = run([pay(100), Event(Kind.REFUND, 30, NOON, NOON + 3 * DAY)])
    assert nets(found)[0] == 70


def test_a_late_payment_counts_on_its_own_day() -> None:
    found = run([pay(100, NOON + DAY), pay(50, NOON)])
    assert nets(found)[:2] == [100, 50]


def test_what_is_older_than_the_ring_changes_lifetime_totals_only() -> None:
    found = run([Roll(NOON), pay(5, NOON - 70 * DAY)])
    assert (found.row.total_amount, found.row.total_payments) == (5, 1)
    assert found.features[-1]["net_28"] == 0
    assert math.isnan(found.features[-1]["mean_ticket"])


def test_the_longest_gap_is_the_present_one_while_it_lasts() -> None:
    payments = [pay(at=NOON), pay(at=NOON + 3 * DAY)]
    steps: list[Step] = [*payments, Roll(NOON + 4 * DAY), Roll(NOON + 8 * DAY)]
    assert [f["longest_gap_days"] for f in run(steps).features] == [0, 3, 3, 5]


def test_silence_counts_whole_local_days() -> None:
    # 23:59 and 00:01 local are two days.
    evening = NOON + 12 * HOUR - MINUTE
    assert [f["silence_days"] for f in run([pay(at=evening), Roll(evening + 2 * MINUTE)]).features
            ] == [0, 1]  # fmt: skip


@pytest.mark.parametrize(("hour", "night"), [(22, 0), (23, 1), (0, 1), (5, 1), (6, 0), (12, 0)])
def test_the_night_is_from_23_to_6_local(hour: int, night: int) -> None:
    assert last([pay(at=NOON + (hour - 12) * HOUR)])["night_share"] == night


def test_credit_is_a_share_of_the_payments_whose_funding_is_known() -> None:
    funded = [pay(funding=funding) for funding in Funding]
    assert last([*funded])["credit_share"] == 1 / 4
    assert math.isnan(last([pay()])["credit_share"])


# Cases from the field.


def test_sums_beyond_what_a_float_holds_are_exact_when_the_large_one_has_left() -> None:
    """18,014,398,509,481,984 and 1 and 1: a float would keep 0 or 4."""
    large, small = pay(2**54, NOON), [pay(1, NOON + 9 * DAY), pay(1, NOON + 9 * DAY)]
    found = run([large, *small, Roll(NOON + 27 * DAY), Roll(NOON + 28 * DAY)])
    assert found.features[-2]["net_28"] == float(2**54 + 2)
    assert (found.features[-1]["net_28"], found.row.total_amount) == (2, 2**54 + 2)
    assert nets(found)[19] == 2
    gone = run([large, *small, Roll(NOON + 84 * DAY), pay(1, NOON + 84 * DAY)])
    assert (gone.features[-1]["mean_ticket"], gone.features[-2]["net_28"]) == (1, 0)


def test_the_spread_of_nearly_equal_huge_tickets_does_not_cancel() -> None:
    found = last([pay(2**54), pay(2**54 + 2)])
    assert found["ticket_spread"] == pytest.approx(1 / (2**54 + 1), rel=1e-12)


def test_ten_fen_many_times_in_and_out_leave_nothing() -> None:
    found = run([*[pay(10)] * 2_000, *[Event(Kind.VOID, 10, NOON)] * 2_000])
    assert found.features[-1]["net_28"] == 0
    assert (nets(found)[0], found.row.block_square_high[0], found.row.block_square_low[0]) == (
        0,
        0,
        0,
    )


def test_counts_fall_back_to_0_in_turn_when_a_merchant_goes_quiet() -> None:
    later = [HOUR, 24 * HOUR, 7 * DAY, 31 * DAY]
    steps = [pay(payer=1)] * 5 + [Roll(NOON + after) for after in later]
    found = run([*steps]).features[4:]
    assert [f["payments_24h"] for f in found] == [5, 5, 0, 0, 0]
    assert [f["net_7"] for f in found] == [500, 500, 500, 0, 0]
    assert [f["payers_7"] for f in found] == [1, 1, 1, 0, 0]
    assert [f["payments_28"] for f in found] == [5, 5, 5, 5, 0]
    assert [f["net_28"] for f in found] == [500, 500, 500, 500, 0]


@given(streams(payers=40))
def test_whatever_comes_no_feature_is_infinite_and_only_ratios_are_absent(
    steps: list[Step],
) -> None:
    sums = ["active_days_28", "net_28", "net_7", "payments_28", "payments_24h"]
    for found in run(steps).features:
        assert not any(math.isinf(value) for value in found.values())
        assert not any(math.isnan(found[name]) for name in [*sums, "payers_7", "payers_28"])


def test_a_merchant_whose_first_event_is_a_refund_has_no_ratios() -> None:
    found = last([Event(Kind.REFUND, 100, NOON)])
    absent = {name for name, value in found.items() if math.isnan(value)}
    assert absent == {
        "tenure_days", "mean_day_net_28", "volatility_28", "trend", "largest_payer_share",
        "longest_gap_days", "silence_days", "night_share", "credit_share", "refund_share",
        "chargeback_share", "mean_ticket", "ticket_spread", "mean_month_net",
        "mean_month_payments", "refund_share_ever", "outflow_share", "lowest_balance_56",
        "lowest_balance",
    }  # fmt: skip


@given(streams())
def test_a_row_that_can_no_longer_decay_has_nothing_left(steps: list[Step]) -> None:
    end = max(step.to_ms if isinstance(step, Roll) else step.occurred_at for step in steps)
    found = run([*steps, *[Roll(end + days * DAY) for days in range(1, 60)]])
    assert not can_decay(found.row)
    names = ["net_28", "payments_28", "payments_24h", "payers_28"]
    assert [found.features[-1][name] for name in names] == [0] * 4
    assert math.isnan(found.features[-1]["mean_ticket"])
    assert not found.row.day_net.any()


def test_a_row_can_decay_while_a_tile_holds_something() -> None:
    assert can_decay(run([pay(), Roll(NOON + 55 * DAY)]).row)


def test_a_tile_never_reaches_its_limit() -> None:
    almost = [pay(2**56), pay(2**56 - 2)]
    row = run([*almost]).row
    assert not overflows(row, Kind.PAYMENT, 1, NOON, SHANGHAI)
    assert overflows(row, Kind.PAYMENT, 2, NOON, SHANGHAI)
    assert not overflows(row, Kind.REFUND, 2, NOON, SHANGHAI)
    assert not overflows(row, Kind.VOID, 2, NOON, SHANGHAI)
    # Its tile is another one on another day, and its block's another one in another block.
    assert overflows(row, Kind.PAYMENT, 2, NOON + DAY, SHANGHAI)
    assert not overflows(row, Kind.PAYMENT, 2, NOON + 28 * DAY, SHANGHAI)


def test_refunds_have_a_limit_of_their_own() -> None:
    row = run([Event(Kind.REFUND, TILE_LIMIT - 2, NOON)]).row
    assert not overflows(row, Kind.REFUND, 1, NOON, SHANGHAI)
    assert overflows(row, Kind.REFUND, 2, NOON, SHANGHAI)
    row = run([Event(Kind.CHARGEBACK, TILE_LIMIT - 2, NOON)]).row
    assert overflows(row, Kind.CHARGEBACK, 2, NOON, SHANGHAI)
    assert not overflows(row, Kind.CHARGEBACK_REVERSED, 2, NOON, SHANGHAI)


@pytest.mark.parametrize("sign", [Kind.PAYMENT, Kind.VOID])
def test_a_count_never_passes_its_limit(sign: Kind) -> None:
    row = run([pay()]).row
    row.block_payments[0] = 2**31 - 1
    assert overflows(row, Kind.PAYMENT, 1, NOON, SHANGHAI)


def test_outflows_are_no_payments_but_tell_what_is_left() -> None:
    """1,000 in, 700 out (300 left), 400 in (700), 500 back (200), 900 in: 1,800 kept of 28 days."""
    found = last(
        [
            pay(1000, NOON),
            Event(Kind.OUTFLOW, 700, NOON + MINUTE),
            pay(400, NOON + DAY),
            Event(Kind.REFUND, 500, NOON + DAY + MINUTE, NOON),
            pay(900, NOON + 27 * DAY),
        ]
    )
    assert found["payments_28"] == 3
    assert found["mean_month_net"] == pytest.approx(1800.0)
    assert found["mean_month_payments"] == pytest.approx(3.0)
    assert found["refund_share_ever"] == pytest.approx(500 / 2300)
    assert found["outflow_share"] == pytest.approx(700 / 1800)
    assert found["lowest_balance"] == pytest.approx(200 / 1800)
    assert found["lowest_balance_56"] == pytest.approx(200 / 1800)


def test_a_low_balance_leaves_the_last_weeks_but_not_the_memory() -> None:
    steps: list[Step] = [pay(1000, NOON), Event(Kind.OUTFLOW, 1000, NOON + MINUTE)]
    steps += [pay(600, NOON + n * DAY) for n in (1, 30, 60, 90)]
    found = last(steps)
    month = 28 * 3400 / 91
    assert found["lowest_balance"] == 0.0
    assert found["lowest_balance_56"] == pytest.approx(1200 / month)


def test_without_outflows_nothing_is_said_of_balances() -> None:
    found = last([pay(1000, NOON), Event(Kind.REFUND, 900, NOON + MINUTE)])
    names = ["outflow_share", "lowest_balance", "lowest_balance_56"]
    assert all(math.isnan(found[name]) for name in names)
    assert found["mean_month_net"] == pytest.approx(2800.0)


def test_outflows_stay_below_the_lifetime_limit() -> None:
    row = run([Event(Kind.OUTFLOW, LIFETIME_LIMIT - 2, NOON)]).row
    assert not overflows(row, Kind.OUTFLOW, 1, NOON, SHANGHAI)
    assert overflows(row, Kind.OUTFLOW, 2, NOON, SHANGHAI)
