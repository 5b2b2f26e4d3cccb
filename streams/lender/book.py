"""What a lender knows of its limits: the highest version of each merchant and product.

Records may come in any order and any number of times; the book ends up the same. Knows no Kafka.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from streams.contract.messages import LimitUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_DECODER = msgspec.json.Decoder(LimitUpdate)


class Taken(StrEnum):
    """What became of a record."""

    APPLIED = "applied"
    REPEATED = "repeated"
    OLDER = "older"
    TOMBSTONE = "tombstone"
    UNREADABLE = "unreadable"
    WRONG_LENDER = "wrong_lender"


class LimitBook:
    """The limits of one lender.

    A version says which of two updates is newer, and nothing else does: not the order in which
    they come, not a time. Versions rise with each change, not necessarily by one. What is at or
    below the known version is dropped; a tombstone and a record that cannot be read change
    nothing and are counted.

    Args:
        lender: Whose updates count.
        limits: What was known before.
        applied: Called with each update that changes the book.

    Attributes:
        lender: Whose updates count.
        counts: How many records were taken, by what became of them.

    Example:
        >>> from streams.contract.examples import EXAMPLES
        >>> (update,) = EXAMPLES[LimitUpdate]
        >>> book = LimitBook("platform")
        >>> [str(book.take(msgspec.json.encode(update))) for _ in range(2)]
        ['applied', 'repeated']
        >>> book.limit("noodles-on-the-corner", "loan")
        850000
    """

    def __init__(
        self,
        lender: str,
        limits: Iterable[LimitUpdate] = (),
        applied: Callable[[LimitUpdate], None] | None = None,
    ) -> None:
        self.lender = lender
        self.counts: Counter[Taken] = Counter()
        self._applied = applied
        self._newest = {(each.merchant_id, each.product): each for each in limits}

    def take(self, value: bytes | None) -> Taken:
        """Take one record in.

        Args:
            value: Its value; None is a tombstone.
        """
        taken = self._take(value)
        self.counts[taken] += 1
        return taken

    def limit(self, merchant: str, product: str) -> int:
        """What a merchant may have, in minor units; 0 where nothing is known."""
        known = self._newest.get((merchant, product))
        return 0 if known is None else known.limit

    def __iter__(self) -> Iterator[LimitUpdate]:
        """The newest update of each merchant and product, in the order of their names."""
        return iter([self._newest[key] for key in sorted(self._newest)])

    def __len__(self) -> int:
        return len(self._newest)

    def _take(self, value: bytes | None) -> Taken:
        if value is None:
            return Taken.TOMBSTONE
        try:
            update = _DECODER.decode(value)
        except msgspec.DecodeError:
            return Taken.UNREADABLE
        if update.lender_id != self.lender:
            return Taken.WRONG_LENDER
        key = (update.merchant_id, update.product)
        known = self._newest.get(key)
        if known is not None and update.version <= known.version:
            return Taken.REPEATED if update.version == known.version else Taken.OLDER
        self._newest[key] = update
        if self._applied is not None:
            self._applied(update)
        return Taken.APPLIED
