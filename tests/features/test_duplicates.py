from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.duplicates import (
    CONFLICT,
    CURRENT,
    DUPLICATE,
    GENERATION_MS,
    NEW,
    REPLAY,
    check,
    remember,
)
from features.hashing import mix
from features.pages import Duplicates, UnreadablePage

HOUR = 3_600_000


def hashed(payment: int) -> np.uint64:
    return np.uint64(mix(np.uint64(payment)))


def looked_up(ids: Duplicates, payment: int, content: int, offset: int, watermark: int) -> int:
    return int(check(ids.seen, hashed(payment), np.uint64(content), offset, watermark))


def enter(ids: Duplicates, payment: int, content: int, offset: int, watermark: int) -> None:
    ids.prepare(1)
    remember(ids.seen, hashed(payment), np.uint64(content), offset, watermark)


def with_one(watermark: int = 0) -> Duplicates:
    ids = Duplicates()
    enter(ids, 1, 7, 10, watermark)
    return ids


def test_an_id_is_new_once() -> None:
    assert looked_up(Duplicates(), 1, 7, 10, 0) == NEW
    assert looked_up(with_one(), 1, 7, 11, 0) == DUPLICATE
    assert looked_up(with_one(), 2, 7, 11, 0) == NEW


def test_the_same_id_with_other_content_is_a_conflict() -> None:
    assert looked_up(with_one(), 1, 8, 11, 0) == CONFLICT


@pytest.mark.parametrize("offset", [10, 9, 0])
def test_a_record_that_comes_again_after_a_crash_is_not_its_own_duplicate(offset: int) -> None:
    assert looked_up(with_one(), 1, 7, offset, 0) == REPLAY


@given(st.integers(0, 10**13), st.integers(0, 24 * HOUR))
def test_within_24_hours_an_id_counts_once_wherever_generations_end(start: int, after: int) -> None:
    ids = with_one(start)
    enter(ids, 2, 7, 11, start + after)
    assert looked_up(ids, 1, 7, 12, start + after) == DUPLICATE


def test_after_36_hours_an_id_is_forgotten() -> None:
    ids = with_one(0)
    assert looked_up(ids, 1, 7, 12, 3 * GENERATION_MS - 1) == DUPLICATE
    assert looked_up(ids, 1, 7, 12, 3 * GENERATION_MS) == NEW


def test_a_replay_finds_what_it_found_although_a_later_page_is_loaded() -> None:
    """The page of a new generation may be durable before what came just before it."""
    ids = with_one(0)
    enter(ids, 2, 7, 100, 3 * GENERATION_MS)
    assert looked_up(ids, 1, 7, 99, 3 * GENERATION_MS - 1) == DUPLICATE


def test_memory_of_a_generation_that_is_gone_is_used_again() -> None:
    ids = Duplicates()
    for generation in range(40):
        for payment in range(900):
            enter(ids, 1000 * generation + payment, 7, payment, generation * GENERATION_MS)
        ids.take_pages()
    assert len(ids) == 4 * 900
    assert ids.nbytes <= 4 * 16 * 1024 * 1.5


def test_time_that_jumps_over_generations_forgets_them() -> None:
    ids = with_one(0)
    enter(ids, 2, 7, 11, 100 * GENERATION_MS)
    assert len(ids) == 1
    assert looked_up(ids, 1, 7, 12, 100 * GENERATION_MS) == NEW


@dataclass
class Model:
    """The rule, with a dictionary."""

    first: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def check(self, payment: int, content: int, offset: int, watermark: int) -> int:
        if payment not in self.first:
            return NEW
        known, at, generation = self.first[payment]
        if generation <= watermark // GENERATION_MS - 3:
            return NEW
        if at >= offset:
            return REPLAY
        return DUPLICATE if known == content else CONFLICT

    def remember(self, payment: int, content: int, offset: int, watermark: int) -> None:
        self.first[payment] = (content, offset, watermark // GENERATION_MS)


STEPS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 2), st.sampled_from([0, 1, 5, 11, 13, 40])),
    max_size=60,
)


@given(STEPS, st.integers(0, 60))
def test_the_rule_holds_over_any_log_and_any_restart(
    steps: list[tuple[int, int, int]], restart: int
) -> None:
    ids, model, pages, watermark = Duplicates(), Model(), [], 0
    for offset, (payment, content, hours) in enumerate(steps):
        watermark += hours * HOUR
        if offset == restart:
            pages += ids.take_pages(entries=2)
            ids = Duplicates()
            for page in [*pages, *pages]:
                ids.load_page(page)
        found = looked_up(ids, payment, content, offset, watermark)
        assert found == model.check(payment, content, offset, watermark)
        if found == NEW:
            enter(ids, payment, content, offset, watermark)
            model.remember(payment, content, offset, watermark)


@given(st.lists(st.integers(1, 10**6), unique=True, min_size=1, max_size=50), st.integers(1, 20))
def test_pages_make_the_round_trip(payments: list[int], entries: int) -> None:
    ids = Duplicates()
    for place, payment in enumerate(payments):
        enter(ids, payment, payment % 5, place, place * HOUR)
    pages = ids.take_pages(entries)
    assert ids.take_pages() == []
    other = Duplicates()
    assert sum(other.load_page(page) for page in pages) >= len(ids)
    assert [other.load_page(page) for page in pages] == [0] * len(pages)
    assert len(other) == len(ids)
    assert other.take_pages() == [], "what is loaded is durable already"
    watermark = (len(payments) - 1) * HOUR
    for place, payment in enumerate(payments):
        for offset in (place, place + 1):
            assert looked_up(other, payment, payment % 5, offset, watermark) == looked_up(
                ids, payment, payment % 5, offset, watermark
            )


def test_a_page_of_a_generation_that_is_gone_is_skipped() -> None:
    [page] = with_one(0).take_pages()
    ids = Duplicates()
    enter(ids, 2, 7, 50, 4 * GENERATION_MS)
    assert ids.load_page(page) == 0
    assert int(ids.seen.state[CURRENT]) == 4


def test_of_two_offsets_of_an_id_the_first_stays() -> None:
    first, second = Duplicates(), Duplicates()
    enter(first, 1, 7, 10, 0)
    enter(second, 1, 7, 20, 0)
    ids = Duplicates()
    for page in second.take_pages() + first.take_pages() + second.take_pages():
        ids.load_page(page)
    assert looked_up(ids, 1, 7, 11, 0) == DUPLICATE


def test_an_id_costs_at_most_30_bytes() -> None:
    ids = Duplicates()
    for number in range(1_700):
        enter(ids, number, 7, number, 0)
    largest = max(table.nbytes for table in ids.seen[:4])
    assert largest / 1_700 <= 30


@pytest.mark.parametrize("damage", [b"", b"DSPI", b"xxxx" + bytes(40)])
def test_bytes_that_are_no_page_are_refused(damage: bytes) -> None:
    with pytest.raises(UnreadablePage, match="do not begin like a page"):
        Duplicates().load_page(damage)


def test_a_page_cut_short_is_refused() -> None:
    [page] = with_one().take_pages()
    with pytest.raises(UnreadablePage, match="a page of 1 payment ids has not 39 bytes"):
        Duplicates().load_page(page[:-1])


def test_a_newer_page_is_refused_with_what_to_do() -> None:
    [page] = with_one().take_pages()
    newer = page[:4] + (2).to_bytes(2, "little") + page[6:]
    with pytest.raises(UnreadablePage, match="start a version of Duoshou at least as new"):
        Duplicates().load_page(newer)
