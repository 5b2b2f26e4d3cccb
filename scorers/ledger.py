"""The ledger of a partition: everything that is decided one event at a time, in books.

Entries of all books depend on each other, so they are durable together or not at all. A checkpoint
cuts the ledger: it writes what has changed, and behind it a *mark* that says up to which offset of
the log all of it is there. Each record also carries what the entry was at the mark before, so that
a restore always ends at the newest mark: what was written of a later cut is undone by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T", bound=msgspec.Struct)

Key = tuple[str, ...]

START = -1
"""The offset of a ledger that no event has met."""

MARK = msgspec.json.encode([""])
"""Key of the mark's record; no book has this name."""

_key_of = msgspec.json.Decoder(list[str]).decode
_offset_of = msgspec.json.Decoder(int).decode


class LedgerCut(NamedTuple):
    """What a checkpoint writes of a ledger; a value of None is a tombstone."""

    entries: list[tuple[bytes, bytes | None]]
    mark: tuple[bytes, bytes] | None
    """To be written once the broker has the entries; None when the mark before still holds."""


class _Written(NamedTuple):
    """A record of a cut that is not known to be complete."""

    offset: int
    """Of that cut."""
    value: Any
    base: int
    """The mark that its writer stood at before."""
    before: Any
    """What the entry was at `base`."""
    undoes: bool
    """Whether `before` may be taken back: nothing is known of the entry from behind `base`."""


class Book(Generic[T]):
    """Entries of one kind, by key. `Ledger.book` makes them.

    Args:
        name: stands in front of each key in the changelog.
        kind: type of the entries: a frozen struct. A `schema_version` with a default is checked.
    """

    def __init__(self, name: str, kind: type[T]) -> None:
        self._name = name
        self._decode = msgspec.json.Decoder(tuple[int, kind | None, int, kind | None]).decode  # type: ignore[valid-type]
        defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
        self._layout = defaults.get("schema_version")
        self._entries: dict[Key, T] = {}
        self._before: dict[Key, T | None] = {}
        self._deleted: set[Key] = set()
        self._deleted_long_ago: set[Key] = set()
        self._written: dict[Key, list[_Written]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> T | None:
        """Return an entry, or None."""
        return self._entries.get(key)

    def put(self, key: Key, value: T) -> None:
        """Set an entry; the value must never change afterwards."""
        self._before.setdefault(key, self._entries.get(key))
        self._entries[key] = value

    def delete(self, key: Key) -> None:
        """Take an entry out.

        Raises:
            KeyError: there is none.
        """
        value = self._entries.pop(key)
        self._before.setdefault(key, value)

    def items(self) -> Iterator[tuple[Key, T]]:
        """Yield all entries in the order of their keys, which is the same after a restore."""
        return iter(sorted(self._entries.items(), key=lambda item: item[0]))

    def _cut(
        self, offset: int, base: int, *, whole: bool, bury: bool
    ) -> Iterator[tuple[bytes, bytes | None]]:
        changed = self._before
        self._before = {}
        if whole:
            gone = self._deleted | self._deleted_long_ago
            changed = dict.fromkeys(gone) | self._entries | changed
        for key, before in changed.items():
            value = self._entries.get(key)
            yield self._encoded(key), msgspec.json.encode((offset, value, base, before))
            self._deleted_long_ago.discard(key)
            if value is None:
                self._deleted.add(key)
            else:
                self._deleted.discard(key)
        if bury:
            for key in self._deleted_long_ago:
                yield self._encoded(key), None
            self._deleted_long_ago, self._deleted = self._deleted, set()

    def _encoded(self, key: Key) -> bytes:
        return msgspec.json.encode((self._name, *key))

    def _restore(self, key: Key, raw: bytes | None, mark: int) -> bool:
        """Take a record in; tells whether its writer did not know all that stands before it."""
        written = self._written.get(key, [])
        newest = max(written, key=lambda each: each.offset, default=None)
        if raw is None:
            # Written behind the mark that holds the deletion: it only lets old records go.
            self._deleted.discard(key)
            self._deleted_long_ago.discard(key)
            return (self._entries.get(key) if newest is None else newest.value) is not None
        offset, value, base, before = self._read(raw)
        if offset <= mark:
            return True
        self._written[key] = [*written, _Written(offset, value, base, before, undoes=base >= mark)]
        self._undo(key, mark)
        return base < mark or (newest is not None and newest.offset > offset)

    def _read(self, raw: bytes) -> tuple[int, T | None, int, T | None]:
        try:
            record: tuple[int, T | None, int, T | None] = self._decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"not an entry of the book {self._name}: {error}") from None
        if self._layout is not None:
            for value in (record[1], record[3]):
                layout = self._layout if value is None else value.schema_version  # type: ignore[attr-defined]
                if layout > self._layout:
                    raise ValueError(
                        f"an entry of the book {self._name} has layout {layout}, this release "
                        f"knows layouts up to {self._layout}: start a newer release"
                    )
        return record

    def _reach(self, mark: int) -> None:
        """Bring the entries to a mark, from what has been read up to it."""
        for key, records in list(self._written.items()):
            complete = [each for each in records if each.offset <= mark]
            if complete:
                self._set(key, max(complete, key=lambda each: each.offset).value)
                self._forget(key, mark)
            else:
                self._undo(key, mark)

    def _undo(self, key: Key, mark: int) -> None:
        """Take back the image of an entry whose own records have been compacted away.

        That is how a record of a cut that was never completed comes to stand alone: it has
        pushed out the one before, and holds it.
        """
        if key in self._entries:
            return
        images = [each for each in self._written[key] if each.undoes and each.base <= mark]
        if images:
            image = max(images, key=lambda each: each.base).before
            if image is not None:
                self._entries[key] = image

    def _set(self, key: Key, value: T | None) -> None:
        if value is None:
            self._entries.pop(key, None)
            self._deleted.add(key)
        else:
            self._entries[key] = value
            self._deleted.discard(key)
        self._deleted_long_ago.discard(key)

    def _forget(self, key: Key, mark: int) -> None:
        later = [each for each in self._written[key] if each.offset > mark]
        rest = [each._replace(undoes=False) for each in later]
        if rest:
            self._written[key] = rest
        else:
            del self._written[key]

    def _passed(self, mark: int) -> None:
        """Forget what was read of cuts that the ledger has come past by itself."""
        for key in list(self._written):
            self._forget(key, mark)


class Ledger:
    """The books of one partition.

    Attributes:
        offset: of the last event of the log that the books hold; those at or below it must not
            touch them again.

    >>> class Account(msgspec.Struct, frozen=True):
    ...     cents: int
    >>> ledger = Ledger()
    >>> accounts = ledger.book("accounts", Account)
    >>> ledger.takes(7), ledger.takes(7)
    (True, False)
    >>> accounts.put(("stall",), Account(500))
    >>> ledger.cut(9)
    LedgerCut(entries=[(b'["accounts","stall"]', b'[9,{"cents":500},-1,null]')],
              mark=(b'[""]', b'9'))
    >>> ledger.cut(12)
    LedgerCut(entries=[], mark=None)
    """

    def __init__(self) -> None:
        self._books: dict[str, Book[Any]] = {}
        self.offset = START
        self._mark = START
        self._taken = False
        self._repeat_behind: int | None = None

    def __len__(self) -> int:
        """Entries of all books."""
        return sum(map(len, self._books.values()))

    def book(self, name: str, kind: type[T]) -> Book[T]:
        """Return a new book; all must be there before anything is restored.

        Raises:
            ValueError: the name is empty, or taken.
        """
        if not name or name in self._books:
            raise ValueError(f"there is a book {name!r} already, or it may not be called so")
        book = self._books[name] = Book(name, kind)
        return book

    def takes(self, offset: int) -> bool:
        """Tell whether an event is still to be decided; then it must be, before the next one.

        Everything that may change an entry, or reads one to say something to the outside, asks
        first.

        Args:
            offset: of the event in the partition's log; they rise.
        """
        if offset <= self.offset:
            return False
        self.offset = offset
        self._taken = True
        return True

    @property
    def repeats(self) -> bool:
        """Whether one of the next cuts will write every entry."""
        return self._repeat_behind is not None

    def repeat(self, offset: int) -> None:
        """Let the first cut behind an offset write every entry.

        For when somebody else's records have come behind ours, as a restore may see and does see
        to: the broker would keep those when it compacts.

        Args:
            offset: nobody has marked the ledger beyond it; the end of the log will do.
        """
        known = START if self._repeat_behind is None else self._repeat_behind
        self._repeat_behind = max(offset, known)

    def cut(self, offset: int, *, mark: bool = False, bury: bool = False) -> LedgerCut:
        """Return what has changed since the last cut, as records of the changelog.

        It counts as durable from now on: who fails to write it must drop the partition. A cut
        before which no event was taken needs no mark: the one before holds all there is.

        Args:
            offset: of the last record of the log that has been dealt with.
            mark: write the mark in any case.
            bury: write tombstones of what had been deleted when this was last asked for; not
                done while a repetition is due.
        """
        offset = max(offset, self.offset)
        books = self._books.values()
        # At the mark itself a record would be taken for one that has been passed.
        whole = self._repeat_behind is not None and offset > max(self._repeat_behind, self._mark)
        if whole:
            self._repeat_behind = None
        bury = bury and not self.repeats
        marked = self._taken or whole or mark
        entries = [
            record
            for book in books
            for record in book._cut(offset, self._mark, whole=whole, bury=bury)
        ]
        if not marked:
            return LedgerCut(entries, None)
        for book in books:
            book._passed(offset)
        self.offset = self._mark = offset
        self._taken = False
        return LedgerCut(entries, (MARK, msgspec.json.encode(offset)))

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take in one record of the changelog; they come in the order of the changelog.

        After each the books stand as they were at the newest mark so far, whatever of a later
        cut has been read, and whatever a former owner wrote late. Nothing may have been taken
        since the last cut.

        Raises:
            ValueError: it is no entry and no mark, or of a newer layout.
        """
        try:
            name, *rest = _key_of(key)
            mark = _offset_of(value or b"") if key == MARK else START
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"not a record of a ledger: {error}") from None
        if key == MARK:
            if mark > self._mark:
                self.offset = self._mark = mark
                for book in self._books.values():
                    book._reach(mark)
            elif mark < self._mark:
                self.repeat(self._mark)
            return
        if name not in self._books:
            raise ValueError(
                f"the ledger has a book {name!r} that this release does not know: "
                "start a newer release"
            )
        if self._books[name]._restore(tuple(rest), value, self._mark):
            self.repeat(self._mark)
