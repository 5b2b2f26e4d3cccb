from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.ledger import MARK, START, Book, Ledger


class Entry(msgspec.Struct, frozen=True):
    number: int
    schema_version: int = 1


BOOKS = ("loans", "budgets")
Record = tuple[bytes, bytes | None]
Change = tuple[str, str, bool]
"""Book, key, and whether the entry is put or deleted."""
Log = list[list[Change] | None]
"""What each event changes, by its offset; None is a payment."""


Entries = dict[str, list[tuple[tuple[str, ...], Entry]]]


class Books:
    """A ledger of two books."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.book: dict[str, Book[Entry]] = {name: self.ledger.book(name, Entry) for name in BOOKS}

    def apply(self, log: Log, first: int, last: int) -> None:
        for offset in range(first, last + 1):
            event = log[offset]
            if event is None or not self.ledger.takes(offset):
                continue
            for name, key, put in event:
                book = self.book[name]
                before = book.get((key,))
                if put:
                    # Depends on what was there, so that a wrong restore goes on being wrong.
                    number = offset + 100 * (0 if before is None else before.number % 97)
                    book.put((key,), Entry(number))
                elif before is not None:
                    book.delete((key,))

    def entries(self) -> Entries:
        return {name: list(book.items()) for name, book in self.book.items()}


def restored(records: list[Record]) -> Books:
    books = Books()
    for key, value in records:
        books.ledger.restore(key, value)
    return books


def as_of(log: Log, offset: int) -> Books:
    books = Books()
    books.apply(log, 0, offset)
    return books


def compacted(records: list[Record], end: int) -> list[Record]:
    """As the broker leaves it: of the first `end` records, the last of each key."""
    last = {key: n for n, (key, _) in enumerate(records[:end])}
    return [record for n, record in enumerate(records) if n >= end or last[record[0]] == n]


@dataclass
class Stalled:
    """A former owner in the middle of a checkpoint: what it has not sent yet may come any time."""

    unsent: list[Record]
    since: int
    """How long the changelog was when it was stopped."""


@dataclass
class Partition:
    """One partition from crash to crash: its changelog, its owner and a standby."""

    log: Log
    chance: random.Random
    changelog: list[Record] = field(default_factory=list)
    owner: Books = field(default_factory=Books)
    standby: Books = field(default_factory=Books)
    stalled: list[Stalled] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    """Where the broker must keep everything from, of each stalled owner that has written."""
    mark: int = START
    states: dict[int, Entries] = field(default_factory=dict)
    interrupted: bool = False
    """The owner will find, when it writes, that somebody else has written there."""
    position: int = -1
    furthest: int = -1
    """The end of the log, as far as anyone has seen it."""

    def stands_at_the_mark(self, books: Books) -> None:
        if self.mark not in self.states:
            self.states[self.mark] = as_of(self.log, self.mark).entries()
        assert books.ledger.offset == self.mark
        assert books.entries() == self.states[self.mark]

    def write(self, records: list[Record]) -> None:
        for key, value in records:
            self.changelog.append((key, value))
            self.standby.ledger.restore(key, value)
            if key == MARK and value is not None:
                self.mark = max(self.mark, msgspec.json.decode(value))
            self.stands_at_the_mark(self.standby)

    def advance(self) -> None:
        ahead = min(self.position + self.chance.randint(1, 4), len(self.log) - 1)
        self.owner.apply(self.log, self.position + 1, ahead)
        self.position = ahead
        self.furthest = max(self.furthest, ahead)

    def checkpoint(self, *, crash: bool) -> None:
        quiet = not self.stalled and not self.late
        if self.interrupted:
            self.owner.ledger.repeat(self.furthest)
            self.interrupted = False
        cut = self.owner.ledger.cut(
            self.position,
            mark=self.chance.random() < 0.1,
            bury=quiet and self.chance.random() < 0.5,
        )
        records: list[Record] = list(cut.entries)
        self.chance.shuffle(records)
        if cut.mark is not None:
            records.append(cut.mark)
        if not crash:
            self.write(records)
            # Within the hour that compaction waits, the owner is where the others had been.
            if not self.owner.ledger.repeats and self.position >= self.furthest:
                self.late.clear()
            return
        sent = self.chance.randint(0, len(records))
        self.write(records[:sent])
        if self.chance.random() < 0.5:
            self.stalled.append(Stalled(records[sent:], len(self.changelog)))
        self.take_over()

    def take_over(self) -> None:
        self.stands_at_the_mark(restored(self.changelog))
        keep = min([len(self.changelog), *self.late, *(each.since for each in self.stalled)])
        end = self.chance.randint(0, keep)
        self.owner = restored(compacted(self.changelog, end))
        self.interrupted = False
        self.stands_at_the_mark(self.owner)
        # The log is read again from some way before the mark: the rows may stand there.
        self.position = self.chance.randint(-1, self.mark)

    def write_late(self) -> None:
        if not self.stalled:
            return
        former = self.stalled.pop(self.chance.randrange(len(self.stalled)))
        count = self.chance.randint(0, len(former.unsent))
        self.write(former.unsent[:count])
        if count:
            self.late.append(former.since)
            self.interrupted = True


def a_log(events: int, keys: str, chance: random.Random) -> Log:
    return [
        None
        if chance.random() < 0.2
        else [
            (chance.choice(BOOKS), chance.choice(keys), chance.random() < 0.6)
            for _ in range(chance.randint(0, 3))
        ]
        for _ in range(events)
    ]


@settings(max_examples=400)
@given(st.integers(1, 40), st.integers(0, 60), st.integers(1, 4), st.integers(0, 2**32))
def test_a_restore_ends_at_the_newest_mark_wherever_the_changelog_was_cut(
    events: int, steps: int, keys: int, seed: int
) -> None:
    """Any checkpoint may be cut short, its rest written late, and what is old compacted."""
    chance = random.Random(seed)
    log = a_log(events, "abcd"[:keys], chance)
    partition = Partition(log, chance)
    for _ in range(steps):
        match chance.choice(["advance", "advance", "checkpoint", "crash", "late"]):
            case "advance":
                partition.advance()
            case "late":
                partition.write_late()
            case "checkpoint":
                partition.checkpoint(crash=False)
            case _:
                partition.checkpoint(crash=True)
    while partition.position < len(log) - 1:
        partition.advance()
    assert partition.owner.entries() == as_of(log, len(log) - 1).entries()


def changelog_of(*cuts: list[Change] | None, bury: bool = False) -> list[Record]:
    """The changelog of a partition with a checkpoint behind each event."""
    books, records = Books(), []
    for offset in range(len(cuts)):
        books.apply(list(cuts), offset, offset)
        cut = books.ledger.cut(offset, bury=bury)
        records += [*cut.entries, *([] if cut.mark is None else [cut.mark])]
    return records


def test_a_checkpoint_without_an_event_of_the_ledger_writes_nothing() -> None:
    assert changelog_of(None, None) == []


def test_an_event_that_was_refused_is_not_decided_again() -> None:
    """It may have told the outside so, by what it saw: the mark must lie behind it."""
    assert changelog_of(None, []) == [(MARK, b"1")]


def test_an_entry_that_came_and_went_within_a_checkpoint_is_written() -> None:
    """An owner that crashed between the two may have left it there."""
    put, delete = ("loans", "a", True), ("loans", "a", False)
    assert changelog_of([put, delete])[0] == (b'["loans","a"]', b"[0,null,-1,null]")


def test_what_is_deleted_leaves_nothing_behind_in_the_end() -> None:
    put, delete = [("loans", "a", True)], [("loans", "a", False)]
    records = changelog_of(put, delete, None, None, bury=True)
    assert records[-1] == (b'["loans","a"]', None)
    assert restored(records).ledger.cut(9, bury=True).entries == []


def test_a_restored_deletion_is_buried_too() -> None:
    books = restored(changelog_of([("loans", "a", True)], [("loans", "a", False)]))
    assert books.ledger.cut(5, bury=True).entries == []
    assert books.ledger.cut(6, bury=True).entries == [(b'["loans","a"]', None)]


def test_a_whole_cut_repeats_everything_and_is_all_that_is_needed() -> None:
    events: Log = [[("loans", "a", True)], [("budgets", "b", True)], [("loans", "a", False)]]
    books = restored(changelog_of(*events))
    books.ledger.repeat(2)
    assert books.ledger.cut(2) == ([], None), "at the mark itself a record would count as passed"
    cut = books.ledger.cut(3)
    assert cut.mark is not None
    again = restored([*cut.entries, cut.mark])
    assert again.entries() == books.entries()
    assert again.ledger.offset == 3


def test_books_are_read_in_the_order_of_their_keys() -> None:
    books = Books()
    books.apply([[("loans", "b", True), ("loans", "a", True)]], 0, 0)
    assert [key for key, _ in books.book["loans"].items()] == [("a",), ("b",)]


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"[1,null,0]", b"not JSON", b"\xff", b"7"])
def test_what_is_no_entry_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not an entry of the book loans"):
        Books().ledger.restore(b'["loans","a"]', value)


@pytest.mark.parametrize(
    ("key", "value"), [(b"", b"7"), (b"{}", b"7"), (b"[]", b"7"), (MARK, b"x"), (MARK, None)]
)
def test_what_is_no_record_of_a_ledger_is_refused(key: bytes, value: bytes | None) -> None:
    with pytest.raises(ValueError, match="not a record of a ledger"):
        Books().ledger.restore(key, value)


def test_an_entry_of_a_newer_layout_is_refused() -> None:
    newer = msgspec.json.encode((3, Entry(1, schema_version=2), -1, None))
    with pytest.raises(ValueError, match="start a newer release"):
        Books().ledger.restore(b'["loans","a"]', newer)


def test_a_book_of_a_newer_release_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a book 'pots' .* start a newer release"):
        Books().ledger.restore(b'["pots","a"]', b"[3,null,-1,null]")


def test_no_two_books_have_one_name() -> None:
    books = Books()
    for name in ("loans", ""):
        with pytest.raises(ValueError, match="already"):
            books.ledger.book(name, Entry)
