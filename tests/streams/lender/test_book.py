from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract.messages import LimitUpdate
from streams.lender.book import LimitBook, Taken
from tests.streams.lender.updates import BROKEN, NEWEST, UPDATES, encoded, update

# Each update at least once, some several times, in any order, with broken records in between.
DELIVERIES = st.lists(st.sampled_from(UPDATES), max_size=12).flatmap(
    lambda again: st.lists(st.sampled_from(BROKEN), max_size=6).flatmap(
        lambda broken: st.permutations([*map(encoded, [*UPDATES, *again]), None, *broken])
    )
)


@given(DELIVERIES)
def test_the_highest_version_stands_whatever_the_order_and_however_often(
    delivery: list[bytes | None],
) -> None:
    book = LimitBook("platform")
    for value in delivery:
        book.take(value)
    assert list(book) == NEWEST
    assert sum(book.counts.values()) == len(delivery)


@given(DELIVERIES)
def test_versions_of_what_is_applied_only_rise(delivery: list[bytes | None]) -> None:
    applied: list[LimitUpdate] = []
    book = LimitBook("platform", applied=applied.append)
    for value in delivery:
        book.take(value)
    for newest in NEWEST:
        versions = [
            each.version
            for each in applied
            if (each.merchant_id, each.product) == (newest.merchant_id, newest.product)
        ]
        assert versions == sorted(set(versions))
        assert versions[-1] == newest.version


@given(DELIVERIES, st.data())
def test_a_restart_in_between_changes_nothing(
    delivery: list[bytes | None], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(delivery)))
    again = data.draw(st.integers(0, cut))
    before = LimitBook("platform")
    for value in delivery[:cut]:
        before.take(value)
    after = LimitBook("platform", list(before))
    for value in delivery[again:]:
        after.take(value)
    assert list(after) == NEWEST


def test_what_became_of_each_record_is_said_and_counted() -> None:
    book = LimitBook("platform")
    delivery: list[tuple[bytes | None, Taken]] = [
        (encoded(update("m1", 4, 10)), Taken.APPLIED),
        (encoded(update("m1", 4, 10)), Taken.REPEATED),
        (encoded(update("m1", 3, 99)), Taken.OLDER),
        (None, Taken.TOMBSTONE),
        (b"{", Taken.UNREADABLE),
        (encoded(update("m1", 7, 99, lender_id="harbour")), Taken.WRONG_LENDER),
        (encoded(update("m1", 9, 20)), Taken.APPLIED),
    ]
    assert [book.take(value) for value, _ in delivery] == [taken for _, taken in delivery]
    assert book.counts == Counter(taken for _, taken in delivery)
    assert book.limit("m1", "loan") == 20


@pytest.mark.parametrize("value", BROKEN[1:-1])
def test_a_record_that_cannot_be_read_changes_nothing(value: bytes) -> None:
    book = LimitBook("platform", [update("m1", 1, 10)])
    assert book.take(value) is Taken.UNREADABLE
    assert list(book) == [update("m1", 1, 10)]


def test_a_tombstone_does_not_make_the_book_forget() -> None:
    book = LimitBook("platform", [update("m1", 5, 10)])
    book.take(None)
    assert book.take(encoded(update("m1", 4, 99))) is Taken.OLDER
    assert book.limit("m1", "loan") == 10


def test_a_limit_of_nobody_is_nothing() -> None:
    assert LimitBook("platform").limit("m1", "loan") == 0


def test_a_field_that_came_later_is_passed_over() -> None:
    value = msgspec.json.encode({**msgspec.to_builtins(update("m1", 1, 10)), "new": [1]})
    assert LimitBook("platform").take(value) is Taken.APPLIED
