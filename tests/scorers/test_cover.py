"""Insurance cover: what payments give in their month, what takes it back, what is carried on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.calendar import month_of
from features.events import Kind, Outcome
from features.layout import ROW
from features.roll import balance
from features.rows import row_at
from scorers.catalogue import Policies
from scorers.cover import cover_of
from scorers.entitlements import FULL
from scorers.limits import args_of
from scorers.merchants import Enrolment, MerchantEvent, MerchantKind
from scorers.partition import Partition, Version
from scorers.policy import Policy, PolicyName, Product, check_policy
from scorers.reasons import reason_code
from tests.scorers.logs import DAY, HOUR, MERCHANTS, MINUTE, NOON, Record, columns, logs, tick
from tests.scorers.runs import EAGER, ZONE, blank_record, run
from tests.scorers.test_recovery import (
    assert_crashes_change_nothing,
    assert_splits_change_nothing,
    stops,
)

if TYPE_CHECKING:
    from random import Random

    from scorers.entitlements import Draft, Entitled
    from scorers.evaluation import Updates
    from scorers.partition import Amendment
    from tests.scorers.partition_model import Update

SHANGHAI = ZoneInfo("Asia/Shanghai")
EPOCH = date(1970, 1, 1)
APRIL = int(datetime(2026, 4, 1, tzinfo=SHANGHAI).timestamp() * 1000)
MAY = int(datetime(2026, 5, 1, tzinfo=SHANGHAI).timestamp() * 1000)
INSURANCE = PolicyName("insurer", Product.INSURANCE)
RATE, CARRY, CAP, STEP = Fraction("0.29"), Fraction("0.5"), 3_000_000, 100


def insurance(**changes: object) -> Policy:
    everybodys = msgspec.to_builtins(EAGER.policies.everybodys)
    fields = {
        "lender": "insurer", "product": "insurance", "version": 3, "cap": CAP, "step": STEP,
        "cover": {"rate": float(RATE), "carry": float(CARRY)},
    }  # fmt: skip
    return msgspec.convert(everybodys | fields | changes, Policy)


def version_of(**changes: object) -> Version:
    return Version(EAGER.scorecard, Policies([EAGER.policies.everybodys, insurance(**changes)]))


WITH_COVER = version_of()


def partition_of(version: Version = WITH_COVER, updates_at_once: int = 64) -> Partition:
    return Partition(ZONE, version, updates_at_once=updates_at_once)


def enrolled(merchant: str = "m0", kind: MerchantKind = MerchantKind.ENROLLED) -> MerchantEvent:
    return MerchantEvent("e", kind, merchant, NOON, "insurer", Product.INSURANCE)


def registered(zone: str, merchant: str = "m0") -> MerchantEvent:
    return MerchantEvent("e", MerchantKind.REGISTERED, merchant, NOON, zone=zone)


def relayed(at: int = NOON) -> Record:
    return replace(tick(at), outcome=Outcome.RELAYED)


def paid(amount: int, at: int, name: str = "p", merchant: bytes = b"m0") -> Record:
    return Record(merchant, f"{name}{at}", amount=amount, occurred_at=at)


def taken_back(payment: Record, at: int, kind: Kind = Kind.REFUND) -> Record:
    return replace(
        payment,
        payment_id=f"back-{payment.payment_id}",
        kind=kind,
        occurred_at=at,
        original_at=payment.occurred_at,
        timestamp=None,
    )


def record_of(partition: Partition, merchant: bytes = b"m0") -> Entitled:
    record = partition.entitled(merchant)
    assert record is not None
    return record


def cover_in_force(partition: Partition, merchant: bytes = b"m0") -> int:
    return int(record_of(partition, merchant).limit[0])


def covers(updates: list[Update]) -> list[tuple[int, bool]]:
    return [(each.limit, each.by_time) for each in updates if each.lender == "insurer"]


def month(at: int, zone: str = "Asia/Shanghai") -> int:
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
    return (local.year - 1970) * 12 + local.month - 1


def share(amount: int, part: Fraction, cap: int) -> int:
    return min(int(amount * part), cap)


def plain_cover(
    now: int, before: int, rate: Fraction = RATE, carry: Fraction = CARRY, cap: int = CAP,
    step: int = STEP,
) -> int:  # fmt: skip
    carried = share(share(max(before, 0), rate, cap), carry, cap)
    return min(share(max(now, 0), rate, cap) + carried, cap) // step * step


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_the_month_of_a_day_is_that_of_the_calendar(day: date) -> None:
    assert month_of((day - EPOCH).days) == (day.year - 1970) * 12 + day.month - 1


def test_every_month_begins_on_its_first_day() -> None:
    for number in range(-70 * 12, 131 * 12):
        year, in_year = divmod(number, 12)
        first = (date(1970 + year, in_year + 1, 1) - EPOCH).days
        assert (month_of(first - 1), month_of(first)) == (number - 1, number)


nets = st.integers(-(2**62), 2**62) | st.integers(-1000, 10**9)
millionths = st.integers(1, 10**9) | st.integers(1, 10**6)


@given(nets, nets, st.integers(0, 10**9), millionths, st.integers(0, 10**6), st.integers(1, 10**5))
def test_a_cover_is_exactly_what_the_formula_says_and_more_payments_never_lower_it(
    now: int, before: int, more: int, rate: int, carry: int, steps: int
) -> None:
    step, cap = 100, 500_000 + 100 * steps
    policy = args_of(
        insurance(cap=cap, step=step, cover={"rate": rate / 10**6, "carry": carry / 10**6})
    )
    record = blank_record()

    def cover(now: int, before: int) -> int:
        record.month_net[:] = now, before
        return int(cover_of(record, policy))

    whole = cover(now, before)
    parts = Fraction(rate, 10**6), Fraction(carry, 10**6)
    assert whole == plain_cover(now, before, *parts, cap, step)
    assert 0 <= whole <= cap
    assert whole % step == 0
    assert cover(min(now + more, 2**62), before) >= whole
    assert cover(now, min(before + more, 2**62)) >= whole


def test_a_share_loses_nothing_to_binary_fractions() -> None:
    partition = partition_of(version_of(step=1))
    run(partition, [relayed(), paid(100, NOON)], amendments={0: enrolled()})
    assert cover_in_force(partition) == 29  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize(
    ("cover", "complaint"),
    [
        ({"rate": 0.1234567}, "cover.rate is 0.1234567, not a whole number of millionths"),
        ({"rate": 1, "carry": 1e-7}, "cover.carry is 1e-07, not a whole number of millionths"),
        ({"rate": 0}, r"cover.rate is 0.0, not in \(0, 1000.0\]"),
    ],
)
def test_shares_that_would_not_be_exact_are_refused(
    cover: dict[str, float], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_policy(insurance(cover=cover))


merchant_events = st.builds(
    enrolled,
    st.sampled_from([merchant.decode() for merchant in MERCHANTS]),
    st.sampled_from([MerchantKind.ENROLLED] * 3 + [MerchantKind.REGISTERED]),
)
more_events = st.builds(
    enrolled,
    st.sampled_from([merchant.decode() for merchant in MERCHANTS]),
    st.sampled_from(
        [MerchantKind.ENROLLED] * 4
        + [MerchantKind.WITHDRAWN, MerchantKind.CLOSED, MerchantKind.REOPENED]
    ),
)


@st.composite
def logs_with(
    draw: st.DrawFn, events: st.SearchStrategy[MerchantEvent]
) -> tuple[list[Record], dict[int, MerchantEvent]]:
    log: list[Record] = []
    amendments: dict[int, MerchantEvent] = {}
    for record in draw(logs(max_size=50, min_size=5)):
        for event in draw(st.lists(events, max_size=1)):
            amendments[len(log)] = event
            log.append(relayed(record.occurred_at))
        log.append(record)
    return log, amendments


# Midnight is at a full hour of UTC in all of them.
zones = st.sampled_from(
    [None, "Asia/Shanghai", "America/New_York", "America/Los_Angeles", "Pacific/Auckland"]
)


@settings(max_examples=60)
@given(logs_with(merchant_events), st.tuples(*[zones] * len(MERCHANTS)))
def test_the_cover_in_force_is_always_that_of_the_month_that_time_has_come_to(
    drawn: tuple[list[Record], dict[int, MerchantEvent]], drawn_zones: tuple[str | None, ...]
) -> None:
    zone_of = {m: zone for m, zone in zip(MERCHANTS, drawn_zones, strict=True) if zone}
    here = [registered(zone, merchant.decode()) for merchant, zone in zone_of.items()]
    amendments = dict(enumerate(here)) | {len(here) + n: each for n, each in drawn[1].items()}
    log = [*(relayed() for _ in here), *drawn[0]]
    partition = partition_of()
    since: dict[bytes, int] = {}
    consents: set[bytes] = set()
    net: defaultdict[tuple[bytes, int], int] = defaultdict(int)
    for offset, record in enumerate(log):
        if offset in amendments:
            merchant = amendments[offset].merchant_id.encode()
            since.setdefault(merchant, partition.watermark + 1)
            if amendments[offset].kind is MerchantKind.ENROLLED:
                consents.add(merchant)
        [outcome], _ = run(partition, [record], offset, amendments)
        at = record.occurred_at
        if record.original_at >= 0 and record.kind is not Kind.PAYMENT:
            at = min(at, record.original_at)
        if (
            outcome == Outcome.APPLIED
            and record.kind is not Kind.OUTFLOW
            and record.merchant in since
            and at >= since[record.merchant]
        ):
            sign = 1 if record.kind is Kind.PAYMENT else -1
            own = month(at, zone_of.get(record.merchant, "Asia/Shanghai"))
            net[record.merchant, own] += sign * record.amount
        for merchant in consents:
            this = month(max(partition.watermark, 0), zone_of.get(merchant, "Asia/Shanghai"))
            known = partition.known_of(merchant, INSURANCE)
            expected = plain_cover(net[merchant, this], net[merchant, this - 1])
            assert known.limit == (expected if known.currency == "CNY" else 0)


near_the_edge = st.integers(-11 * HOUR, 11 * HOUR) | st.sampled_from([-HOUR, -1, 0, 1])
reversals = st.sampled_from([Kind.REFUND, Kind.VOID, Kind.CHARGEBACK])
pairs = st.tuples(near_the_edge, near_the_edge, reversals, st.integers(1, 10**6))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(near_the_edge, st.integers(1, 10**6)), max_size=4),
    st.lists(pairs, min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_refund_undoes_what_its_payment_did_in_any_order_and_across_the_months_edge(
    kept: list[tuple[int, int]],
    undone: list[tuple[int, int, Kind, int]],
    random: Random,
) -> None:
    late = APRIL + 12 * HOUR
    stay = [paid(amount, APRIL + at, f"k{i}") for i, (at, amount) in enumerate(kept)]
    go = []
    for i, (one, other, kind, amount) in enumerate(undone):
        payment = paid(amount, APRIL + min(one, other), f"u{i}")
        go += [payment, taken_back(payment, APRIL + max(one, other), kind)]
    mixed = [replace(record, timestamp=late) for record in stay + go]
    random.shuffle(mixed)
    with_them, without = partition_of(), partition_of()
    run(with_them, [relayed(), *mixed, tick(late)], amendments={0: enrolled()})
    run(without, [relayed(), *stay, tick(late)], amendments={0: enrolled()})
    assert record_of(with_them).month_net.tolist() == record_of(without).month_net.tolist()
    for at in (APRIL + HOUR, MAY + HOUR):
        offset = with_them.offset + 1
        run(with_them, [tick(at)], offset)
        run(without, [tick(at)], offset)
        assert cover_in_force(with_them) == cover_in_force(without)


def undone_sums(partition: Partition, merchant: bytes, at: int) -> dict[str, object]:
    """What limits and covers stand on and a refund can undo, as of an event time (epoch ms).

    The net of each of the last 28 days, that of both months, and what came in less what went
    out since the first event.
    """
    raw, record = partition.row_bytes(merchant), record_of(partition, merchant)
    assert raw is not None
    row = row_at(raw[: ROW.itemsize], at, ZONE)
    passed = month(at) - record.month
    months = [0] * min(passed, 2) + record.month_net.tolist()
    return {
        "days": row.day_net.tolist(),
        "net_28": partition.draw(merchant, at).features["net_28"],
        "months": months[:2],
        "balance": balance(row),
    }


@settings(max_examples=100)
@given(
    logs_with(more_events),
    st.sampled_from(MERCHANTS),
    st.integers(1, 10**9),
    st.sampled_from([-13 * HOUR, 0, 1, MINUTE, 11 * HOUR, 3 * DAY, 33 * DAY]),
    st.sampled_from([0, 1, MINUTE, 11 * HOUR, 3 * DAY, 29 * DAY, 70 * DAY]),
)
def test_a_payment_and_its_refund_leave_the_sums_and_covers_of_a_time_without_them(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
    merchant: bytes,
    amount: int,
    later: int,
    kept: int,
) -> None:
    """A payment and its refund in full, behind any history, against two ticks of the same times.

    Equal is what a cover is made of, and so the cover; and of what a credit limit is made of the
    net volume. The rest of a credit limit's figures a refund does not undo, because the payment
    did happen: it stays among the payments and active days (a refund is no void), its payer
    stays among the payers seen, and the merchant was last and perhaps first seen with it. So
    factors and the probability of default may differ afterwards, and the limit with them.
    """
    log, amendments = drawn
    everybody = [enrolled(each.decode()) for each in MERCHANTS]
    first = len(log)
    log = [*log, *(relayed(log[-1].occurred_at) for _ in everybody)]
    amendments = amendments | {first + i: event for i, event in enumerate(everybody)}
    with_them, without = partition_of(), partition_of()
    for partition in (with_them, without):
        run(partition, log, amendments=amendments)
    currency = with_them.known_of(merchant, INSURANCE).currency or "CNY"
    came = max(with_them.watermark + later, 0)
    payment = replace(paid(amount, came, "own", merchant), currency=currency)
    refund = taken_back(payment, came + kept)
    outcomes, _ = run(with_them, [payment, refund], len(log))
    assert outcomes == [Outcome.APPLIED, Outcome.APPLIED]
    run(without, [tick(payment.occurred_at), tick(refund.occurred_at)], len(log))
    offset = len(log) + 2
    for wait in (0, HOUR, DAY, 31 * DAY):
        now = with_them.watermark + wait
        for partition in (with_them, without):
            run(partition, [tick(now)], offset)
        offset += 1
        sums = undone_sums(with_them, merchant, now)
        assert sums == undone_sums(without, merchant, now)
        covers = [each.known_of(merchant, INSURANCE).limit for each in (with_them, without)]
        assert covers[0] == covers[1]


@pytest.mark.parametrize("kind", [Kind.REFUND, Kind.VOID, Kind.CHARGEBACK])
def test_the_last_millisecond_of_march_is_undone_in_march(kind: Kind) -> None:
    partition = partition_of()
    march, april = paid(100_000, APRIL - 1), paid(40_000, APRIL)
    log = [relayed(), march, april]
    run(partition, log, amendments={0: enrolled()})
    assert record_of(partition).month_net.tolist() == [40_000, 100_000]
    assert cover_in_force(partition) == 11_600 + 14_500
    run(partition, [taken_back(march, APRIL, kind)], 3)
    assert record_of(partition).month_net.tolist() == [40_000, 0]
    run(partition, [taken_back(april, APRIL, kind)], 4)
    assert (record_of(partition).month_net.tolist(), cover_in_force(partition)) == ([0, 0], 0)


def test_a_reversed_chargeback_gives_back_what_the_chargeback_took() -> None:
    partition = partition_of()
    payment = paid(100_000, APRIL - HOUR)
    back = taken_back(payment, APRIL + HOUR, Kind.CHARGEBACK)
    again = replace(back, payment_id="again", kind=Kind.CHARGEBACK_REVERSED)
    run(partition, [relayed(), payment, back, again], amendments={0: enrolled()})
    assert record_of(partition).month_net.tolist() == [0, 100_000]
    assert cover_in_force(partition) == 14_500


def test_a_refund_whose_payment_is_not_named_counts_in_its_own_month() -> None:
    partition = partition_of()
    back = replace(paid(30_000, APRIL, "r"), kind=Kind.REFUND)
    log = [relayed(), paid(100_000, APRIL - 1), back]
    run(partition, log, amendments={0: enrolled()})
    assert record_of(partition).month_net.tolist() == [-30_000, 100_000]
    assert cover_in_force(partition) == 14_500


def test_what_is_refunded_after_two_months_changes_nothing() -> None:
    partition = partition_of()
    payment = paid(100_000, APRIL - 1)
    log = [relayed(), payment, paid(40_000, MAY), taken_back(payment, MAY + 1)]
    run(partition, log, amendments={0: enrolled()})
    assert record_of(partition).month_net.tolist() == [40_000, 0]


def test_money_that_leaves_the_account_takes_no_cover_away() -> None:
    partition = partition_of()
    out = replace(paid(90_000, NOON, "out"), kind=Kind.OUTFLOW)
    run(partition, [relayed(), paid(100_000, NOON), out], amendments={0: enrolled()})
    assert cover_in_force(partition) == 29_000


def test_a_month_without_a_payment_publishes_its_cover_with_the_first_tick() -> None:
    partition = partition_of()
    _, updates = run(partition, [relayed(), paid(100_000, NOON)], amendments={0: enrolled()})
    assert covers(updates) == [(29_000, False)]
    _, updates = run(partition, [tick(APRIL - 1)], 2)
    assert covers(updates) == []
    _, updates = run(partition, [tick(APRIL)], 3)
    assert covers(updates) == [(14_500, True)]
    _, updates = run(partition, [tick(MAY - 1), tick(MAY + MINUTE)], 4)
    assert covers(updates) == [(0, True)]


def test_a_payment_of_somebody_else_begins_the_month_as_well() -> None:
    partition = partition_of()
    log = [relayed(), paid(100_000, NOON), paid(500, APRIL, merchant=b"m1")]
    _, updates = run(partition, log, amendments={0: enrolled()})
    assert covers(updates) == [(29_000, False), (14_500, True)]


def test_an_event_of_its_own_that_is_no_payment_begins_the_month_as_well() -> None:
    partition = partition_of()
    out = replace(paid(90_000, APRIL, "out"), kind=Kind.OUTFLOW)
    log = [relayed(), paid(100_000, NOON), out]
    _, updates = run(partition, log, amendments={0: enrolled()})
    assert covers(updates) == [(29_000, False), (14_500, False)]


def test_two_months_that_pass_at_once_leave_nothing() -> None:
    partition = partition_of()
    log = [relayed(), paid(100_000, NOON), tick(MAY)]
    _, updates = run(partition, log, amendments={0: enrolled()})
    assert covers(updates) == [(29_000, False), (0, True)]


def test_nothing_before_the_first_merchant_event_counts_nor_what_takes_it_back() -> None:
    partition = partition_of()
    before = paid(100_000, NOON)
    log = [
        before,
        relayed(),
        taken_back(before, NOON),
        paid(70_000, NOON, "late"),
        paid(200_000, NOON + 1),
        taken_back(before, NOON + 2, Kind.VOID),
    ]
    run(partition, log, amendments={1: enrolled()})
    assert record_of(partition).month_net.tolist() == [200_000, 0]
    assert cover_in_force(partition) == 58_000


def test_payments_count_before_the_merchant_enrols_once_it_is_on_record() -> None:
    partition = partition_of()
    log = [relayed(), paid(100_000, NOON), relayed()]
    here = enrolled(kind=MerchantKind.REGISTERED)
    _, updates = run(partition, log, amendments={0: here, 2: enrolled()})
    assert covers(updates) == [(29_000, False)]


def test_another_currency_or_a_policy_that_has_ended_gives_no_cover() -> None:
    partition = partition_of()
    dollars = replace(paid(100_000, NOON), currency="USD")
    _, updates = run(partition, [relayed(), dollars], amendments={0: enrolled()})
    assert covers(updates) == []
    ending = partition_of(version_of(valid_to=NOON + DAY))
    log = [relayed(), paid(100_000, NOON), tick(NOON + DAY)]
    _, updates = run(ending, log, amendments={0: enrolled()})
    assert covers(updates) == [(29_000, False), (0, True)]


def test_a_month_ends_at_the_merchant_s_own_midnight() -> None:
    partition = partition_of()
    events = {0: registered("America/New_York"), 1: enrolled(), 2: enrolled("m1")}
    log = [*(relayed() for _ in events), paid(100_000, NOON), paid(100_000, NOON, "q", b"m1")]
    run(partition, log, amendments=events)
    midnight = APRIL + 12 * HOUR
    _, updates = run(partition, [tick(APRIL), paid(1_000, midnight - 1), tick(midnight)], 5)
    new_york = [each for each in updates if each.merchant == b"m0"]
    assert covers(new_york) == [(29_200, False), (14_600, True)]
    [shanghai] = [each for each in updates if each.merchant == b"m1"]
    assert (shanghai.limit, shanghai.as_of) == (14_500, APRIL)


def test_behind_a_change_of_zone_the_month_does_not_go_back_and_payments_count_in_the_new_one() -> (
    None
):
    partition = partition_of()
    log = [relayed(), paid(100_000, NOON), paid(40_000, APRIL), relayed(APRIL)]
    west = registered("America/New_York")
    run(partition, log, amendments={0: enrolled(), 3: west})
    assert record_of(partition).month_net.tolist() == [40_000, 100_000]
    # In New York it is still March.
    late = paid(7_000, APRIL + HOUR)
    run(partition, [late], 4)
    assert record_of(partition).month_net.tolist() == [40_000, 107_000]
    run(partition, [taken_back(late, APRIL + 20 * HOUR)], 5)
    assert record_of(partition).month_net.tolist() == [40_000, 100_000]
    assert cover_in_force(partition) == 11_600 + 14_500


class Standing:
    """Sets the standing of the first policy that a merchant is enrolled for."""

    currency = None

    def __init__(self, standing: int) -> None:
        self.standing = standing

    def change(self, record: Draft) -> None:
        record.standing[0] = self.standing


def reasons_of(partition: Partition, record: Record, amendment: Amendment) -> list[list[str]]:
    """Apply a record or, in the place of a relayed one, an amendment of `m0`."""
    reasons: list[list[str]] = []
    offset = partition.offset + 1

    def note(updates: Updates) -> None:
        reasons.extend(
            [reason_code(int(reason)) for reason in each if reason >= 0]
            for each, place in zip(updates.reason, updates.policy, strict=True)
            if partition.version.policies[int(place)].lender == "insurer"
        )
        assert np.all(np.isfinite(updates.effect))
        assert np.all((updates.effect >= -1) & (updates.effect <= 20))

    def amend(i: int) -> None:
        partition.amend(b"m0", amendment, offset=offset)

    events, text = columns([record], offset)
    partition.apply(events, text, note, amend)
    return reasons


def test_the_reason_of_a_cover_is_the_month_and_what_ends_it_stands_first() -> None:
    partition = partition_of()
    run(partition, [relayed(), paid(1_000, NOON)], amendments={0: enrolled()})
    close = Enrolment(enrolled(kind=MerchantKind.CLOSED), (0, 10))
    assert reasons_of(partition, paid(2_000_000, NOON + 1), close) == [["month"]]
    assert reasons_of(partition, relayed(), Standing(5_000)) == []
    assert reasons_of(partition, paid(1_000, NOON + 2), close) == [["month"]]
    assert reasons_of(partition, relayed(), Standing(0)) == [["standing"]]
    assert reasons_of(partition, relayed(), Standing(FULL)) == [["month"]]
    assert reasons_of(partition, relayed(), close) == [["closed"]]


@settings(max_examples=40)
@given(logs_with(more_events), st.lists(st.integers(0, 120), max_size=6))
def test_any_split_gives_the_same_rows_and_covers(
    drawn: tuple[list[Record], dict[int, MerchantEvent]], cuts: list[int]
) -> None:
    log, amendments = drawn
    whole, split = partition_of(), partition_of(updates_at_once=1)
    assert_splits_change_nothing(whole, split, log, cuts, amendments)


@settings(max_examples=40)
@given(logs_with(more_events), st.lists(stops, max_size=6))
def test_crashes_leave_rows_and_covers_as_in_a_quiet_run(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
    script: list[tuple[int, str, bool, int]],
) -> None:
    assert_crashes_change_nothing(partition_of, *drawn, script)
