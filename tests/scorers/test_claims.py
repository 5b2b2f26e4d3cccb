from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bounds import LARGEST_AMOUNT
from features.calendar import load_zone, local_day, month_of
from scorers.claims.book import AHEAD_MS, SENTENCES, Became, ClaimBook
from scorers.claims.claimant import (
    CLAIMANT_SCHEMA_VERSION,
    MONTHS_OF_CLAIMS,
    MOST_CLAIMS,
    Answered,
    Claimant,
)
from scorers.claims.events import REASONS, ClaimAnswer, ReasonCode
from scorers.ledger import Ledger
from scorers.source import Source
from tests.scorers.claimants import COVER, NOON, STANDING, ZONE, Told, at, claim

LAST, FIRST = at("2026-03-31 23:59:59.999"), at("2026-04-01 00:00:00.000")
MAY = at("2026-05-01 00:00:00.000")


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_cover_is_used_up_to_the_fen(told: Told) -> None:
    assert told.parts(claim(COVER - 1, "a")) == (COVER - 1, 0, [])
    assert told.parts(claim(2, "b")) == (1, 1, ["beyond_the_cover"])
    assert told.parts(claim(1, "c")) == (0, 1, ["beyond_the_cover"])
    assert told.book.covered("stall", "ping", "CNY", NOON, ZONE) == COVER


def test_at_midnight_in_shanghai_a_new_month_begins(told: Told) -> None:
    assert FIRST - LAST == 1
    assert told.parts(claim(COVER, "a", occurred_at=LAST)) == (COVER, 0, [])
    assert told.parts(claim(COVER, "b", occurred_at=FIRST)) == (COVER, 0, [])
    assert told.parts(claim(1, "c", occurred_at=LAST))[0] == 0
    assert told.parts(claim(1, "d", occurred_at=FIRST))[0] == 0


def test_midnight_in_greenwich_is_no_midnight_in_shanghai(told: Told) -> None:
    before = at("2026-04-01 07:59:59.999")
    told.tell(claim(COVER, "a", occurred_at=before))
    assert told.parts(claim(1, "b", occurred_at=before + 1))[0] == 0


NEW_YORK = load_zone("America/New_York")


def test_the_month_is_that_of_the_merchant_s_zone(told: Told) -> None:
    """At midnight in Shanghai it is noon in New York."""
    assert told.parts(claim(COVER, "a", occurred_at=LAST), zone=NEW_YORK) == (COVER, 0, [])
    assert told.parts(claim(1, "b", occurred_at=FIRST), zone=NEW_YORK)[0] == 0
    noon = at("2026-04-01 12:00:00.000")
    assert told.parts(claim(1, "c", occurred_at=noon - 1), zone=NEW_YORK)[0] == 0
    assert told.parts(claim(COVER, "d", occurred_at=noon), zone=NEW_YORK) == (COVER, 0, [])
    assert told.book.covered("stall", "ping", "CNY", FIRST, NEW_YORK) == COVER


def test_no_claim_is_forgotten_and_answered_anew_where_a_change_of_zone_sets_the_month_back(
    told: Told,
) -> None:
    old = claim(COVER, "old", occurred_at=at("2026-02-10 12:00"))
    told.tell(old)
    told.tell(claim(1, "may", occurred_at=MAY))
    assert told.tell(old) == (Became.TOO_LATE, None)
    # In New York it is April once more, and February would be the second month before it.
    assert told.tell(old, zone=NEW_YORK) == (Became.TOO_LATE, None)
    assert told.book.claimant("stall", "ping").month == month_of(local_day(MAY, ZONE))


def test_what_was_covered_stays_in_its_month_behind_a_change_of_zone(told: Told) -> None:
    told.tell(claim(COVER, "a", occurred_at=FIRST))
    assert told.parts(claim(COVER, "b", occurred_at=FIRST), zone=NEW_YORK) == (COVER, 0, [])
    assert told.parts(claim(1, "c", occurred_at=FIRST), zone=NEW_YORK)[0] == 0
    assert told.parts(claim(1, "d", occurred_at=FIRST + AHEAD_MS), zone=NEW_YORK)[0] == 0


def test_an_entry_of_the_first_layout_is_read(told: Told) -> None:
    first = told.answer(claim(500))
    [(key, raw)] = told.store.entries.items()
    entry = msgspec.json.decode(raw)
    del entry["month"]
    told.store.entries[key] = msgspec.json.encode(entry | {"schema_version": 1})
    assert told.answer(claim(500)) == first
    assert told.tell(claim(1, "more")).became is Became.ANSWERED
    assert told.book.claimant("stall", "ping").schema_version == CLAIMANT_SCHEMA_VERSION


def test_a_claim_stands_under_the_cover_of_its_place_in_the_log(told: Told) -> None:
    assert told.answer(claim(500, "a"), cover=300, version=7).covered == 300
    raised = told.answer(claim(500, "b"), cover=600, version=8)
    assert (raised.covered, raised.already_covered) == (300, 300)
    assert (raised.cover, raised.cover_version, raised.policy_version) == (600, 8, 5)
    assert told.parts(claim(500, "c"), cover=100) == (0, 500, ["beyond_the_cover"])
    assert told.parts(claim(500, "d"), cover=0) == (0, 500, ["no_cover"])


@pytest.mark.parametrize(
    ("standing", "codes"),
    [
        ({"enrolled": False}, ["not_enrolled"]),
        ({"closed": True}, ["closed"]),
        ({"currency": None}, ["no_policy"]),
        ({"currency": "USD"}, ["other_currency"]),
        ({"enrolled": False, "closed": True, "currency": "USD"},
         ["not_enrolled", "closed", "other_currency"]),
    ],
)  # fmt: skip
def test_without_a_cover_nothing_is_covered_and_the_answer_says_why(
    told: Told, standing: dict[str, Any], codes: list[str]
) -> None:
    answer = told.answer(claim(500), **standing)
    assert (answer.covered, answer.uncovered, answer.cover) == (0, 500, 0)
    assert [reason.code for reason in answer.reasons] == codes
    assert [reason.text for reason in answer.reasons] == [REASONS[ReasonCode(c)] for c in codes]


def test_merchants_insurers_and_currencies_have_covers_of_their_own(told: Told) -> None:
    told.tell(claim(COVER))
    assert told.parts(claim(COVER, merchant_id="shop")) == (COVER, 0, [])
    assert told.parts(claim(COVER, lender_id="tai")) == (COVER, 0, [])
    dollars = claim(COVER, "d", currency="USD")
    assert told.parts(dollars, currency="USD") == (COVER, 0, [])


def test_a_claim_that_is_repeated_is_given_its_first_answer(told: Told) -> None:
    first = told.answer(claim(500), cover=300)
    puts = told.store.puts
    told.clock += 40 * AHEAD_MS
    assert told.tell(claim(500), enrolled=False, closed=True, cover=0, version=99) == (
        Became.DUPLICATE,
        first,
    )
    assert told.store.puts == puts


@pytest.mark.parametrize(
    "other",
    [{"amount": 501}, {"currency": "USD"}, {"occurred_at": NOON - 1}, {"claimed_at": NOON + 1}],
)
def test_the_same_id_with_other_content_is_a_conflict(told: Told, other: dict[str, Any]) -> None:
    first = told.answer(claim(500))
    changed = msgspec.structs.replace(claim(500), **other)
    assert told.tell(changed) == (Became.CONFLICT, None)
    assert told.answer(claim(500)) == first


def test_claims_are_kept_of_the_present_month_and_those_before(told: Told) -> None:
    loss = at("2026-03-31 23:59:59.999")
    old = claim(500, "old", occurred_at=loss)
    first = told.answer(old)
    told.tell(claim(1, "may", occurred_at=at("2026-05-31 23:59:59.999")))
    assert told.tell(old) == (Became.DUPLICATE, first)
    told.tell(claim(1, "june", occurred_at=at("2026-06-01 00:00:00.000")))
    assert told.tell(old) == (Became.TOO_LATE, None)
    kept = told.book.claimant("stall", "ping").answered
    assert [each.claim_id for each in kept] == ["may", "june"]
    again = claim(7, "old", occurred_at=at("2026-04-01 00:00:00.000"))
    assert told.tell(again).became is Became.ANSWERED
    assert MONTHS_OF_CLAIMS == 3


def test_a_loss_may_lie_a_day_ahead_of_the_log_and_no_more(told: Told) -> None:
    ahead = NOON + AHEAD_MS
    source = Source("payments", 2, 1)
    for amount, loss, became in (
        (1, ahead, Became.ANSWERED),
        (2, ahead + 1, Became.FROM_THE_FUTURE),
    ):
        each = claim(amount, str(amount), occurred_at=loss)
        assert told.book.apply(each, source, STANDING, 5, NOON).became is became


def test_a_time_far_ahead_takes_nothing_from_later_claims(told: Told) -> None:
    source = Source("payments", 2, 1)
    mistake = claim(1, "mistake", claimed_at=at("9999-12-01 00:00"))
    assert told.book.apply(mistake, source, STANDING, 5, NOON).became is Became.ANSWERED
    assert told.book.apply(claim(2), source, STANDING, 5, NOON).became is Became.ANSWERED


def test_a_loss_after_its_claim_is_refused(told: Told) -> None:
    assert told.tell(claim(1, claimed_at=NOON - 1)).became is Became.LOSS_AFTER_CLAIM
    assert told.store.puts == 0


def test_only_so_many_claims_are_kept_and_the_next_month_has_room_again(told: Told) -> None:
    for i in range(MOST_CLAIMS):
        assert told.tell(claim(1, f"c{i}")).became is Became.ANSWERED
    assert told.tell(claim(1, "more")).became is Became.TOO_MANY_CLAIMS
    assert told.tell(claim(1, "c0")).became is Became.DUPLICATE
    june = claim(1, "more", occurred_at=at("2026-06-01 00:00"))
    assert told.tell(june).became is Became.ANSWERED
    assert len(told.book.claimant("stall", "ping").answered) == 1


def test_the_largest_entry_stays_below_half_a_mebibyte() -> None:
    most = 2**63 - 1
    each = Answered(
        "\x01" * 64, 2**64 - 1, 120_000, "CNY", LARGEST_AMOUNT,
        (ReasonCode.NOT_ENROLLED, ReasonCode.CLOSED, ReasonCode.OTHER_CURRENCY),
        LARGEST_AMOUNT, LARGEST_AMOUNT, 2**32 - 1, 2**32 - 1, 253_402_300_799_999,
        "t" * 249, 2**31 - 1, most,
    )  # fmt: skip
    assert len(msgspec.json.encode(Claimant((each,) * MOST_CLAIMS))) < 512 * 1024


def test_every_refusal_and_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Became) - {Became.ANSWERED, Became.DUPLICATE}
    assert set(REASONS) == set(ReasonCode)


def test_a_book_of_the_ledger_keeps_claims() -> None:
    ledger = Ledger()
    book = ClaimBook(ledger.book("claimants", Claimant))
    first = book.apply(claim(500), Source("payments", 0, 1), STANDING, 5, NOON)
    again = book.apply(claim(500), Source("payments", 0, 2), STANDING, 5, NOON)
    assert first.answer == again.answer
    assert len(ledger) == 1


losses = st.sampled_from([LAST - 1, LAST, FIRST, FIRST + 1, MAY])
told_claims = st.tuples(
    st.integers(0, 8),  # id
    st.sampled_from(["stall", "shop"]),
    st.integers(1, 500),  # amount
    losses,
    st.integers(0, 600),  # cover in force
    st.sampled_from(["CNY"] * 4 + ["USD"]),  # the policy's currency
    st.integers(0, 9).map(lambda drawn: drawn > 0),  # enrolled
)


@given(st.lists(told_claims, max_size=30))
def test_sums_add_up_months_stay_within_their_highest_cover_and_repeats_change_nothing(
    drawn: list[tuple[int, str, int, int, int, str, bool]],
) -> None:
    told = Told()
    answers: dict[tuple[str, int], ClaimAnswer] = {}
    sums: defaultdict[tuple[str, int], int] = defaultdict(int)
    highest: defaultdict[tuple[str, int], int] = defaultdict(int)
    told.clock = MAY
    for name, merchant, amount, loss, cover, currency, enrolled in drawn:
        each = claim(amount, f"c{name}", merchant_id=merchant, occurred_at=loss)
        before = dict(told.store.entries)
        verdict = told.tell(each, cover=cover, currency=currency, enrolled=enrolled)
        known = answers.get((merchant, name))
        if verdict.became is not Became.ANSWERED:
            assert known is not None
            assert verdict.answer == (known if verdict.became is Became.DUPLICATE else None)
            assert told.store.entries == before
            continue
        assert known is None
        answer = verdict.answer
        assert answer is not None
        answers[merchant, name] = answer
        month = (merchant, bisect_right([FIRST, MAY], loss))
        assert answer.already_covered == sums[month]
        sums[month] += answer.covered
        highest[month] = max(highest[month], answer.cover)
        assert sums[month] <= highest[month] <= 600
        assert answer.covered + answer.uncovered == amount == answer.amount
        assert answer.covered >= 0
        assert answer.uncovered >= 0
        assert bool(answer.reasons) == (answer.uncovered > 0)
        assert answer.covered == (
            min(amount, max(cover - answer.already_covered, 0))
            if enrolled and currency == "CNY"
            else 0
        )
        assert told.book.covered(merchant, "ping", "CNY", loss, ZONE) == sums[month]
