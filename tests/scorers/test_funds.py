from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bounds import LARGEST_AMOUNT
from features.calendar import local_day
from scorers.funds.book import SENTENCES, Became, FundBook
from scorers.funds.events import REASONS, FundEvent, FundKind, ReasonCode
from scorers.funds.investor import (
    DAYS_OF_ALLOWANCE,
    DAYS_OF_EVENTS,
    MOST_EVENTS,
    MOST_HOLDINGS,
    Counted,
    DayUsed,
    Holding,
    Investor,
    Outcome,
)
from scorers.funds.terms import LARGEST_DAILY_T0, FundTerms
from scorers.source import Source
from tests.scorers.investors import CAP, DAY, NOON, TERMS, ZONE, Dict, Told, asked, at, event, swept


@pytest.fixture
def told() -> Told:
    told = Told()
    told.tell(swept(5_000_000))
    return told


def test_the_allowance_is_exact_to_the_fen(told: Told) -> None:
    assert told.parts(asked(999_999, "a")) == (999_999, 0, 0, [])
    assert told.parts(asked(1, "b")) == (1, 0, 0, [])
    assert told.parts(asked(1, "c")) == (0, 1, 0, ["daily_limit"])


def test_one_request_of_a_fen_too_much_is_split(told: Told) -> None:
    assert told.parts(asked(CAP + 1)) == (CAP, 1, 0, ["daily_limit"])


def test_at_midnight_in_shanghai_a_new_day_begins(told: Told) -> None:
    last, first = at("2026-03-02 23:59:59.999"), at("2026-03-03 00:00:00.000")
    assert first - last == 1
    assert told.parts(asked(CAP, "a", occurred_at=last)) == (CAP, 0, 0, [])
    assert told.parts(asked(1, "b", occurred_at=last)) == (0, 1, 0, ["daily_limit"])
    assert told.parts(asked(CAP, "c", occurred_at=first)) == (CAP, 0, 0, [])


def test_midnight_in_greenwich_is_no_midnight_in_shanghai(told: Told) -> None:
    before = at("2026-03-03 07:59:59.999")
    assert told.parts(asked(CAP, "a", occurred_at=before)) == (CAP, 0, 0, [])
    assert told.parts(asked(1, "b", occurred_at=before + 1)) == (0, 1, 0, ["daily_limit"])


def test_all_funds_and_distributors_share_one_allowance(told: Told) -> None:
    told.tell(swept(CAP, "s2", fund_id="cash"))
    told.tell(swept(CAP, "s3", lender_id="hui"))
    assert told.parts(asked(600_000, "a")) == (600_000, 0, 0, [])
    assert told.parts(asked(300_000, "b", fund_id="cash")) == (300_000, 0, 0, [])
    assert told.parts(asked(200_000, "c", lender_id="hui")) == (
        100_000,
        100_000,
        0,
        ["daily_limit"],
    )
    assert told.book.used("stall", NOON) == CAP


def test_another_investor_has_an_allowance_of_his_own(told: Told) -> None:
    told.tell(asked(CAP))
    told.tell(swept(CAP, merchant_id="shop"))
    assert told.parts(asked(CAP, merchant_id="shop")) == (CAP, 0, 0, [])


def test_a_request_is_held_to_the_limit_of_its_own_distributor(told: Told) -> None:
    low = FundTerms(daily_t0_limit=300_000, qualified_banks=("icbc",))
    assert told.answer(asked(500_000, "a"), low).remaining_t_plus_0 == 0
    assert told.parts(asked(500_000, "b")) == (500_000, 0, 0, [])
    assert told.parts(asked(100_000, "c"), low) == (0, 100_000, 0, ["daily_limit"])
    assert told.answer(asked(1, "d")).remaining_t_plus_0 == 199_999


def test_nothing_is_paid_beyond_the_holding() -> None:
    told = Told()
    told.tell(swept(400))
    assert told.parts(asked(1_000, "a")) == (400, 0, 600, ["beyond_the_holding"])
    assert told.parts(asked(1_000, "b")) == (0, 0, 1_000, ["beyond_the_holding"])
    assert told.parts(asked(1, "c", fund_id="cash")) == (0, 0, 1, ["beyond_the_holding"])
    assert told.book.investor("stall").holdings == ()


def test_who_never_held_anything_is_refused_by_an_answer() -> None:
    assert Told().parts(asked(7)) == (0, 0, 7, ["beyond_the_holding"])


@pytest.mark.parametrize(
    ("fields", "terms", "codes"),
    [
        ({"advance_provider": None}, TERMS, ["no_provider"]),
        ({"advance_provider": "wallet"}, TERMS, ["unqualified_provider"]),
        ({"advance_provider": "ICBC"}, TERMS, ["unqualified_provider"]),
        ({}, None, ["no_policy"]),
        (
            {"advance_provider": None},
            FundTerms(qualified_banks=("icbc",), currency="USD"),
            ["other_currency", "no_provider"],
        ),
        ({}, FundTerms(daily_t0_limit=0, qualified_banks=()), ["unqualified_provider"]),
        ({}, FundTerms(daily_t0_limit=0, qualified_banks=("icbc",)), ["daily_limit"]),
        ({}, FundTerms(daily_t0_limit=-5, qualified_banks=("icbc",)), ["daily_limit"]),
    ],
)
def test_without_a_qualified_bank_and_a_policy_nothing_is_advanced(
    told: Told, fields: dict[str, Any], terms: FundTerms | None, codes: list[str]
) -> None:
    request = asked(700, **fields)
    assert told.parts(request, terms) == (0, 700, 0, codes)
    assert told.answer(request, terms).advance_provider is None
    assert told.book.used("stall", NOON) == 0


def test_terms_that_nobody_checked_do_not_raise_the_allowance(told: Told) -> None:
    terms = FundTerms(daily_t0_limit=9_000_000, qualified_banks=("icbc",))
    assert told.parts(asked(CAP + 1), terms) == (CAP, 1, 0, ["daily_limit"])


def test_an_answer_says_where_it_comes_from(told: Told) -> None:
    answer = told.answer(asked(1_000, occurred_at=NOON - 5))
    assert answer.advance_provider == "icbc"
    assert answer.holding == told.book.holding("stall", "yu", "daily") == 4_999_000
    assert (answer.remaining_t_plus_0, answer.policy_version, answer.as_of) == (999_000, 3, NOON)
    assert (answer.source_topic, answer.source_partition, answer.source_offset) == (
        "payments",
        2,
        2,
    )


def test_the_allowance_is_kept_of_as_many_days_as_the_page_says(told: Told) -> None:
    newest = NOON + 2 * DAY
    told.tell(asked(CAP, "a", occurred_at=newest - (DAYS_OF_ALLOWANCE - 1) * DAY))
    told.tell(swept(1, "b", occurred_at=newest))
    kept = newest - (DAYS_OF_ALLOWANCE - 1) * DAY
    assert told.parts(asked(1, "c", occurred_at=kept)) == (0, 1, 0, ["daily_limit"])
    assert told.parts(asked(1, "d", occurred_at=kept - DAY)) == (0, 1, 0, ["late_request"])
    assert told.parts(asked(1, "e", occurred_at=kept + DAY)) == (1, 0, 0, [])


def test_an_event_whose_id_may_be_forgotten_is_refused(told: Told) -> None:
    told.tell(asked(10, "old"))
    told.tell(swept(1, "new", occurred_at=NOON + (DAYS_OF_EVENTS - 1) * DAY))
    assert told.tell(asked(10, "old")).became is Became.DUPLICATE
    told.tell(swept(1, "newer", occurred_at=NOON + DAYS_OF_EVENTS * DAY))
    holding = told.book.holding("stall", "yu", "daily")
    assert told.tell(asked(10, "old")).became is Became.TOO_LATE
    assert told.tell(swept(10, "older")).became is Became.TOO_LATE
    assert told.book.holding("stall", "yu", "daily") == holding


def test_the_first_event_is_never_late() -> None:
    assert Told().tell(swept(1, occurred_at=0)).became is Became.APPLIED


def test_what_is_read_again_is_skipped_and_not_answered_twice(told: Told) -> None:
    request = asked(10)
    assert told.tell(request).answer is not None
    told.offset -= 1
    assert told.tell(request) == (Became.REPLAYED, None)
    told.offset -= 1
    assert told.tell(asked(10, "other")) == (Became.REPLAYED, None)


def test_a_subscription_that_is_repeated_counts_once(told: Told) -> None:
    assert told.tell(swept(5_000_000)) == (Became.DUPLICATE, None)
    assert told.book.holding("stall", "yu", "daily") == 5_000_000


def test_an_id_counts_once_over_all_distributors(told: Told) -> None:
    assert told.tell(swept(5_000_000, lender_id="hui")).became is Became.CONFLICT


@pytest.mark.parametrize(
    ("wrong", "became"),
    [
        (asked(5, "swept"), Became.CONFLICT),
        (swept(5), Became.CONFLICT),
        (swept(5_000_000, occurred_at=NOON + 1), Became.CONFLICT),
        (swept(5, "x", currency="USD"), Became.OTHER_CURRENCY),
        (asked(5, "x", currency="USD"), Became.OTHER_CURRENCY),
        (swept(LARGEST_AMOUNT, "x"), Became.TOO_LARGE),
        (asked(5, "x", occurred_at=NOON - DAYS_OF_EVENTS * DAY), Became.TOO_LATE),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    told: Told, wrong: FundEvent, became: Became
) -> None:
    before = dict(told.store.entries)
    assert told.tell(wrong) == (became, None)
    assert told.store.entries == before
    assert told.store.puts == 1
    assert became in SENTENCES


def test_a_fund_that_was_redeemed_makes_room_for_another() -> None:
    told = Told()
    for n in range(MOST_HOLDINGS):
        assert told.tell(swept(1, f"s{n}", fund_id=f"f{n}")).became is Became.APPLIED
    assert told.tell(swept(1, "x", fund_id="x")).became is Became.TOO_MANY_FUNDS
    assert told.tell(swept(1, "y", fund_id="f0")).became is Became.APPLIED
    told.tell(asked(2, "z", fund_id="f0"))
    assert told.tell(swept(1, "x", fund_id="x")).became is Became.APPLIED


def test_more_events_than_can_be_kept_wait_until_others_are_past() -> None:
    full = Investor(
        counted=tuple(Counted(f"e{n}", int(local_day(NOON, ZONE)), n) for n in range(MOST_EVENTS)),
        newest_at=NOON,
        newest_day=int(local_day(NOON, ZONE)),
        offset=0,
    )
    told = Told()
    told.store.put(("stall",), full)
    assert told.tell(swept(1)).became is Became.TOO_MANY_EVENTS
    later = NOON + DAYS_OF_EVENTS * DAY
    assert told.tell(swept(1, "s", occurred_at=later)).became is Became.APPLIED
    assert len(told.book.investor("stall").counted) == 1


def test_the_largest_entry_is_smaller_than_the_largest_record() -> None:
    worst, number = "\x01" * 64, LARGEST_AMOUNT
    outcome = Outcome(
        *(number,) * 3, tuple(ReasonCode)[1:], *(number,) * 4, "t" * 249, 9_999, 2**63 - 1
    )
    largest = Investor(
        holdings=(Holding(worst, worst, "CNY", number),) * MOST_HOLDINGS,
        used=(DayUsed(99_999, CAP),) * DAYS_OF_ALLOWANCE,
        counted=(Counted(worst, 99_999, 2**64 - 1, outcome),) * MOST_EVENTS,
        newest_at=number,
        newest_day=99_999,
        offset=2**63 - 1,
    )
    assert len(msgspec.json.encode(largest)) < 1_000_000
    assert msgspec.json.decode(msgspec.json.encode(largest), type=Investor) == largest


def test_every_refusal_and_every_reason_has_a_sentence() -> None:
    refused = list(Became)[list(Became).index(Became.CONFLICT) :]
    assert list(SENTENCES) == refused
    assert list(REASONS) == list(ReasonCode)


def test_terms_list_everything_that_is_wrong() -> None:
    terms = FundTerms(
        daily_t0_limit=LARGEST_DAILY_T0 + 1, qualified_banks=("", "b" * 65, "b"), currency="USD"
    )
    assert len(terms.wrong()) == 4
    with pytest.raises(ValueError, match=r"daily_t0_limit .*''.*bbb.*currency is 'USD'"):
        terms.check()


@pytest.mark.parametrize(
    ("terms", "wrong"),
    [
        (FundTerms(qualified_banks=()), ["nobody could advance"]),
        (FundTerms(daily_t0_limit=0, qualified_banks=()), []),
        (FundTerms(daily_t0_limit=-1, qualified_banks=("a",)), ["daily_t0_limit is -1"]),
        (FundTerms(qualified_banks=tuple(map(str, range(101)))), ["has 101 names"]),
        (FundTerms(qualified_banks=("中" * 22,)), ["bytes"]),
        (FundTerms(qualified_banks=("a", "b")), []),
    ],
)
def test_terms_say_what_is_wrong(terms: FundTerms, wrong: list[str]) -> None:
    found = terms.wrong()
    assert len(found) == len(wrong)
    assert all(part in text for part, text in zip(wrong, found, strict=True))


# What arrives, in any order: some days, funds, distributors and banks, and ids that come again.
ASKED = st.one_of(st.integers(1, 1_300_000), st.sampled_from([1, CAP - 1, CAP, CAP + 1]))
TIMES = st.builds(
    lambda day, ms: at("2026-03-02 00:00") + day * DAY + ms,
    st.integers(-9, 9),
    st.sampled_from([0, 1, DAY // 2, DAY - 1]),
)
FUND_EVENTS = st.builds(
    event,
    st.sampled_from([FundKind.SUBSCRIBED, *[FundKind.REDEMPTION_REQUESTED] * 2]),
    st.integers(0, 25).map(str),
    amount=ASKED,
    lender_id=st.sampled_from(["yu", "hui"]),
    fund_id=st.sampled_from(["daily", "cash"]),
    occurred_at=TIMES,
    advance_provider=st.sampled_from(["icbc", "icbc", "ccb", "wallet", None]),
)
SEVERAL_TERMS = st.sampled_from(
    [TERMS, TERMS, FundTerms(daily_t0_limit=300_000, qualified_banks=("ccb",)), None]
)
STREAM = st.lists(st.tuples(FUND_EVENTS, SEVERAL_TERMS), max_size=40)


@given(STREAM)
def test_whatever_arrives_the_rule_holds(stream: list[tuple[FundEvent, FundTerms | None]]) -> None:
    told = Told()
    used: Counter[int] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for each, terms in stream:
        became, answer = told.tell(each, terms)
        fund = (each.lender_id, each.fund_id)
        if became is Became.APPLIED and each.kind is FundKind.SUBSCRIBED:
            held[fund] += each.amount
        if became is Became.APPLIED and answer is not None:
            day = local_day(each.occurred_at, ZONE)
            used[day] += answer.t_plus_0
            held[fund] -= answer.t_plus_0 + answer.t_plus_1
            assert min(answer.t_plus_0, answer.t_plus_1, answer.refused) >= 0
            assert answer.t_plus_0 + answer.t_plus_1 + answer.refused == each.amount
            assert (answer.t_plus_0 == each.amount) == (not answer.reasons)
            assert answer.remaining_t_plus_0 in (
                0,
                *(limit - used[day] for limit in (CAP, 300_000)),
            )
            if answer.t_plus_0:
                assert terms is not None
                assert answer.advance_provider in terms.qualified_banks
            assert answer.holding == held[fund]
        assert told.book.holding("stall", *fund) == held[fund] >= 0
        assert max(used.values(), default=0) <= CAP


@given(STREAM, SEVERAL_TERMS)
def test_a_repeat_is_answered_as_the_first_time_and_changes_nothing(
    stream: list[tuple[FundEvent, FundTerms | None]], now: FundTerms | None
) -> None:
    told = Told()
    verdicts = [told.tell(*each) for each in stream]
    newest = told.book.investor("stall").newest_day
    before, puts = dict(told.store.entries), told.store.puts
    for (each, _), (became, answer) in zip(stream, verdicts, strict=True):
        if became is Became.APPLIED:
            other = msgspec.structs.replace(each, amount=each.amount + 1)
            if local_day(each.occurred_at, ZONE) > newest - DAYS_OF_EVENTS:
                assert told.tell(each, now) == (Became.DUPLICATE, answer)
                assert told.tell(other, now) == (Became.CONFLICT, None)
            else:  # its id is free, and may have been used again
                refused = {Became.TOO_LATE, Became.CONFLICT}
                assert {told.tell(each, now).became, told.tell(other, now).became} <= refused
    assert (told.store.entries, told.store.puts) == (before, puts)


def test_an_id_is_free_again_when_it_is_no_longer_kept(told: Told) -> None:
    later = NOON + DAYS_OF_EVENTS * DAY
    assert told.tell(swept(1, occurred_at=later - DAY)).became is Became.CONFLICT
    assert told.tell(swept(1, occurred_at=later)).became is Became.APPLIED


@given(st.integers(1, 3_000_000), st.lists(st.integers(1, 3_000_000), max_size=8))
def test_in_parts_a_request_is_given_what_it_is_given_whole(total: int, cuts: list[int]) -> None:
    edges = [0, *sorted({cut % total for cut in cuts} - {0}), total]
    whole, parts = Told(), Told()
    for each in (whole, parts):
        each.tell(swept(2_000_000))
    at_once = whole.parts(asked(total))[:3]
    sums = [0, 0, 0]
    for n, (start, end) in enumerate(pairwise(edges)):
        for place, amount in enumerate(parts.parts(asked(end - start, f"part{n}"))[:3]):
            sums[place] += amount
    assert tuple(sums) == at_once
    assert sums[0] == min(total, CAP)


REQUESTS = st.lists(
    st.tuples(st.integers(0, DAYS_OF_ALLOWANCE - 1), ASKED, st.sampled_from(["icbc", "wallet"])),
    max_size=12,
)


@given(REQUESTS, st.randoms(use_true_random=False))
def test_how_the_days_arrive_is_no_matter(
    raw: list[tuple[int, int, str]], chance: random.Random
) -> None:
    """Each day's requests stay in their order, the days are mixed in any way."""
    requests = [
        asked(amount, str(n), occurred_at=NOON + day * DAY, advance_provider=bank)
        for n, (day, amount, bank) in enumerate(raw)
    ]
    places = [each.occurred_at for each in requests]
    chance.shuffle(places)
    queues = {day: iter([r for r in requests if r.occurred_at == day]) for day in places}
    mixed = [next(queues[day]) for day in places]
    answers = []
    for order in (requests, mixed):
        told = Told()
        told.tell(swept(100_000_000, occurred_at=NOON))
        answers.append({each.event_id: told.parts(each) for each in order})
    assert answers[0] == answers[1]


@given(STREAM, st.integers(0, 40), st.randoms(use_true_random=False))
def test_read_again_from_anywhere_the_log_leads_to_the_same(
    stream: list[tuple[FundEvent, FundTerms | None]], cut: int, chance: random.Random
) -> None:
    """A checkpoint at `cut`, and the log from anywhere before it."""
    quiet = FundBook(Dict(), ZONE)
    quietly = [quiet.apply(e, Source("t", 0, n), terms, 1) for n, (e, terms) in enumerate(stream)]
    store = Dict()
    before = FundBook(store, ZONE)
    for n, (each, terms) in enumerate(stream[:cut]):
        before.apply(each, Source("t", 0, n), terms, 1)
    after = FundBook(store, ZONE)
    for n in range(chance.randint(0, min(cut, len(stream))), len(stream)):
        each, terms = stream[n]
        verdict = after.apply(each, Source("t", 0, n), terms, 1)
        assert n < cut or verdict == quietly[n]
    assert after.investor("stall") == quiet.investor("stall")
