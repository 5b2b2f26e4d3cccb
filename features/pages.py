"""The payment ids of a partition, and the pages in which they outlive the process."""

import struct
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.duplicates import (
    COUNTS,
    CURRENT,
    FRESH,
    GENERATIONS,
    NONE_YET,
    Seen,
    advance,
    load,
    rehash,
)

Cell = TypeVar("Cell", bound=np.generic)

PAGE_VERSION: Final = 1
ENTRIES_PER_PAGE: Final = 32_768
"""A page then has 640 kB, below what a broker takes as one message by default."""

_HEADER: Final = struct.Struct("<4sHHqI")
_MAGIC: Final = b"DSPI"
_ENTRY_BYTES: Final = 8 + 8 + 4
_FEWEST: Final = 1024


class UnreadablePage(ValueError):  # noqa: N818  # reads as what it is
    """Bytes that are not a page of payment ids this program can read."""


class Entries(NamedTuple):
    """The ids of a page: all of one generation, in the order of their offsets."""

    generation: int
    hashes: NDArray[np.uint64]
    contents: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def where(self, wanted: NDArray[np.bool_]) -> "Entries":
        """Return the wanted ones."""
        return Entries(
            self.generation, self.hashes[wanted], self.contents[wanted], self.offsets[wanted]
        )


def read_page(page: bytes) -> Entries:
    """Return the ids of a page.

    Raises:
        UnreadablePage: when the bytes are not a page, damaged, or of a newer program.
    """
    if len(page) < _HEADER.size or page[:4] != _MAGIC:
        raise UnreadablePage(f"{len(page)} bytes that do not begin like a page of payment ids")
    _, version, _, generation, count = _HEADER.unpack_from(page)
    if version > PAGE_VERSION:
        raise UnreadablePage(
            f"the page has version {version} and this program reads up to {PAGE_VERSION}:"
            " start a version of Duoshou at least as new as the one that wrote it"
        )
    if len(page) != _HEADER.size + count * _ENTRY_BYTES:
        raise UnreadablePage(f"a page of {count} payment ids has not {len(page)} bytes")
    return Entries(
        generation,
        hashes=np.frombuffer(page, "<u8", count, _HEADER.size),
        contents=np.frombuffer(page, "<u4", count, _HEADER.size + 16 * count),
        offsets=np.frombuffer(page, "<i8", count, _HEADER.size + 8 * count),
    )


def _roomy(table: NDArray[np.uint64], entries: int) -> NDArray[np.uint64]:
    """Return the table with room for `entries`: at most four slots in five are taken."""
    if 4 * len(table) >= 5 * entries:
        return table
    larger = np.zeros((max(entries * 5 // 4 + 1, len(table) * 3 // 2), 2), np.uint64)
    rehash(table, larger)
    return larger


def _longer(column: NDArray[Cell], needed: int) -> NDArray[Cell]:
    """Return the column with room for `needed` entries."""
    if needed <= len(column):
        return column
    longer = np.zeros(max(needed, len(column) * 3 // 2), column.dtype)
    longer[: len(column)] = column
    return longer


class Duplicates:
    """The payment ids that a partition has seen.

    An id costs 16 bytes in a table that is filled to between 53 and 80 %: 20 to 30 bytes.

    >>> from features.duplicates import DUPLICATE, NEW, check, remember
    >>> ids = Duplicates()
    >>> ids.prepare(1)
    >>> remember(ids.seen, np.uint64(7), np.uint64(1), 40, 0)
    >>> check(ids.seen, np.uint64(7), np.uint64(1), 41, 0) == DUPLICATE
    True
    >>> [page] = ids.take_pages()
    >>> other = Duplicates()
    >>> other.load_page(page), other.load_page(page), len(other)
    (1, 0, 1)
    """

    def __init__(self) -> None:
        state = np.zeros(COUNTS + GENERATIONS, np.int64)
        state[CURRENT] = NONE_YET
        self.seen = Seen(
            table_0=np.zeros((_FEWEST, 2), np.uint64),
            table_1=np.zeros((_FEWEST, 2), np.uint64),
            table_2=np.zeros((_FEWEST, 2), np.uint64),
            table_3=np.zeros((_FEWEST, 2), np.uint64),
            state=state,
            fresh_hash=np.zeros(0, np.uint64),
            fresh_content=np.zeros(0, np.uint32),
            fresh_offset=np.zeros(0, np.int64),
            fresh_generation=np.zeros(0, np.int64),
        )

    def __len__(self) -> int:
        """Ids of all generations that are kept."""
        return int(self.seen.state[COUNTS:].sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(table.nbytes for table in self._tables())

    def prepare(self, n: int) -> None:
        """Make room for `n` new ids, so that kernels need not; `seen` is replaced."""
        # In all tables: a batch may begin a generation, and a replay go back to an older one.
        for which in range(GENERATIONS):
            self._prepare_table(which, n)
        seen, needed = self.seen, int(self.seen.state[FRESH]) + n
        if needed <= len(seen.fresh_hash):
            return
        self.seen = seen._replace(
            fresh_hash=_longer(seen.fresh_hash, needed),
            fresh_content=_longer(seen.fresh_content, needed),
            fresh_offset=_longer(seen.fresh_offset, needed),
            fresh_generation=_longer(seen.fresh_generation, needed),
        )

    def _prepare_table(self, which: int, n: int) -> None:
        tables = list(self._tables())
        roomy = _roomy(tables[which], int(self.seen.state[COUNTS + which]) + n)
        if roomy is tables[which]:
            return
        tables[which] = roomy
        first, second, third, fourth = tables
        self.seen = self.seen._replace(table_0=first, table_1=second, table_2=third, table_3=fourth)

    def _tables(self) -> tuple[NDArray[np.uint64], ...]:
        return self.seen[0], self.seen[1], self.seen[2], self.seen[3]

    def take_pages(self, entries: int = ENTRIES_PER_PAGE) -> list[bytes]:
        """Return the ids that came since the last call, as pages to be made durable.

        Args:
            entries: the most of a page, which also holds one generation only.
        """
        seen = self.seen
        fresh = int(seen.state[FRESH])
        generations = seen.fresh_generation[:fresh]
        breaks = np.flatnonzero(np.diff(generations)) + 1
        pages = []
        for start, end in zip([0, *breaks], [*breaks, fresh], strict=True):
            for at in range(start, end, entries):
                part = slice(at, min(at + entries, end))
                pages.append(self._page(int(generations[at]), part))
        seen.state[FRESH] = 0
        return pages

    def _page(self, generation: int, part: slice) -> bytes:
        hashes = self.seen.fresh_hash[part]
        return b"".join(
            (
                _HEADER.pack(_MAGIC, PAGE_VERSION, 0, generation, len(hashes)),
                hashes.tobytes(),
                self.seen.fresh_offset[part].tobytes(),
                self.seen.fresh_content[part].tobytes(),
            )
        )

    def load_page(self, page: bytes) -> int:
        """Take in a page, and return how many of its ids were unknown.

        Pages come in the order of their log; loading one twice does nothing. A page of a
        generation that is no longer kept is skipped.

        Raises:
            UnreadablePage: when the bytes are not a page, damaged, or of a newer program.
        """
        return self.load_entries(read_page(page))

    def load_entries(self, entries: Entries) -> int:
        """Take in entries of one generation, and return how many ids were unknown."""
        generation = entries.generation
        advance(self.seen, generation)
        if generation <= int(self.seen.state[CURRENT]) - GENERATIONS:
            return 0
        self._prepare_table(generation % GENERATIONS, len(entries.hashes))
        return int(load(self.seen, *entries))
