from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.applications.messages import Decision
from scorers.applications.terms import REMEMBERED_MS
from scorers.claims.book import REPEATED_MS
from scorers.funds.events import FundAnswer
from streams.lender.answers import (
    CLAIM_ANSWERS,
    DECISIONS,
    FUND_ANSWERS,
    AnswerBook,
    Answered,
)
from tests.streams.lender.updates import claim_answer, decision, encoded, fund_answer

FIRST = [
    decision("m1", "a1"),
    decision("m1", "a2", amount=5),
    decision("m2", "a1", as_of=1_000),
]
AGAIN = [msgspec.structs.replace(each, stages={"total": n}) for n in (0.5, 70.0) for each in FIRST]


@given(st.lists(st.sampled_from(AGAIN), max_size=12).flatmap(
    lambda again: st.permutations([*FIRST, *again])
))  # fmt: skip
def test_each_application_is_answered_once_whatever_the_order(delivery: list[Decision]) -> None:
    applied: list[Decision] = []
    book = AnswerBook("platform", DECISIONS, applied=applied.append)
    for each in delivery:
        book.take(encoded(each))
    assert {(each.merchant_id, each.application_id) for each in applied} == {
        (each.merchant_id, each.application_id) for each in FIRST
    }
    assert len(applied) == len(FIRST) == len(book)
    assert book.counts[Answered.REPEATED] == len(delivery) - len(FIRST)
    assert book.counts[Answered.CONFLICT] == 0


@pytest.mark.parametrize("field", ["amount", "outcome", "expires_at", "source_offset"])
def test_another_content_is_an_error_and_the_first_counts(field: str) -> None:
    changes = {"amount": 1, "outcome": "decline", "expires_at": None, "source_offset": 5}
    first = decision("m1", "a1")
    other = msgspec.convert(
        {**msgspec.to_builtins(first), field: changes[field]}, type=Decision
    )  # fmt: skip
    applied: list[Decision] = []
    conflicts: list[Decision] = []
    book = AnswerBook("platform", DECISIONS, (), applied.append, conflicts.append)
    assert book.take(encoded(first)) is Answered.APPLIED
    assert book.take(encoded(other)) is Answered.CONFLICT
    assert book.take(encoded(first)) is Answered.REPEATED
    assert (applied, conflicts) == ([first], [other])


def test_a_restart_knows_the_first_answer_by_its_content() -> None:
    first = decision("m1", "a1")
    before = AnswerBook("platform", DECISIONS)
    before.take(encoded(first))
    after = AnswerBook("platform", DECISIONS, before.known())
    assert after.take(encoded(msgspec.structs.replace(first, stages={}))) is Answered.REPEATED
    assert after.take(encoded(decision("m1", "a1", amount=1))) is Answered.CONFLICT


def test_an_id_may_be_used_anew_when_its_answer_is_forgotten() -> None:
    first = decision("m1", "a1")
    for late, became in ((-1, Answered.CONFLICT), (0, Answered.APPLIED)):
        book = AnswerBook("platform", DECISIONS)
        book.take(encoded(first))
        anew = decision("m1", "a1", amount=1, as_of=first.as_of + REMEMBERED_MS + late)
        assert book.take(encoded(anew)) is became


def test_only_what_is_older_than_the_merchants_newest_is_forgotten() -> None:
    book = AnswerBook("platform", FUND_ANSWERS)
    answers = [
        fund_answer("quiet", "e1", as_of=1),
        fund_answer("m1", "e1", as_of=1),
        fund_answer("m1", "e2", as_of=1 + REMEMBERED_MS),
    ]
    for each in answers:
        book.take(encoded(each))
    assert [(each.merchant_id, each.request_id) for each in book.known()] == [
        ("quiet", "e1"), ("m1", "e2"),
    ]  # fmt: skip
    assert book.take(encoded(answers[0])) is Answered.REPEATED


def test_an_answer_to_a_claim_is_remembered_for_as_long_as_it_may_be_given_again() -> None:
    book, first = AnswerBook("platform", CLAIM_ANSWERS), claim_answer("m1", "c1")
    assert book.take(encoded(first)) is Answered.APPLIED
    later = claim_answer("m1", "c2", as_of=first.as_of + REPEATED_MS - 1)
    assert book.take(encoded(later)) is Answered.APPLIED
    after = AnswerBook("platform", CLAIM_ANSWERS, book.known())
    assert after.take(encoded(first)) is Answered.REPEATED
    assert after.take(encoded(claim_answer("m1", "c1", covered=1))) is Answered.CONFLICT
    anew = claim_answer("m1", "c1", covered=1, as_of=first.as_of + REPEATED_MS)
    assert after.take(encoded(anew)) is Answered.APPLIED


def test_what_became_of_each_record_is_counted() -> None:
    book = AnswerBook("platform", FUND_ANSWERS)
    first = fund_answer("m1", "e1")
    delivery: list[tuple[bytes | None, Answered]] = [
        (encoded(first), Answered.APPLIED),
        (encoded(first), Answered.REPEATED),
        (encoded(fund_answer("m1", "e1", t_plus_0=1)), Answered.CONFLICT),
        (encoded(fund_answer("m1", "e2", lender_id="harbour")), Answered.WRONG_LENDER),
        (encoded(decision("m1", "a1")), Answered.UNREADABLE),
        (encoded(first).replace(b'"schema_version":1', b'"schema_version":2'), Answered.UNREADABLE),
        (b"\xff", Answered.UNREADABLE),
        (None, Answered.TOMBSTONE),
    ]
    assert [book.take(value) for value, _ in delivery] == [became for _, became in delivery]
    assert book.counts == Counter(became for _, became in delivery)
    assert FundAnswer is FUND_ANSWERS.message
