"""What is on record of a merchant beside its figures: its trade, and the codes it is paid through.

No limit follows from it. It is there for whoever explains a merchant, and to tell the codes that a
merchant has bound itself from those that somebody may have put in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from scorers.merchants import MerchantEvent, MerchantKind

if TYPE_CHECKING:
    from scorers.store import Store

MOST_CODES: Final = 64
"""Codes that a merchant may have bound at a time."""

SENTENCES: Final = {
    "too_many_codes": f"the merchant has {MOST_CODES} codes already; it has to unbind one first",
    "not_bound": "the code is not bound to this merchant",
}
"""Why an event was refused, for a person."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is on record of one merchant.

    Attributes:
        category: its trade, in the payment system's own words; None until it has registered one.
        codes: the codes that are bound to it, in the order in which they were.
        source: partition and offset, on their own topic, of the last event that counted.
        schema_version: of this layout.
    """

    category: str | None = None
    codes: tuple[str, ...] = ()
    source: tuple[int, int] = (0, -1)
    schema_version: int = 1


class ProfileBook:
    """The profiles of one partition's merchants.

    Args:
        store: keeps a `Profile` by merchant.
    """

    def __init__(self, store: Store[Profile]) -> None:
        self._store = store

    def of(self, merchant_id: str) -> Profile:
        """Return what is on record of a merchant; of one who never said anything, nothing is."""
        return self._store.get((merchant_id,)) or Profile()

    def apply(self, event: MerchantEvent, source: tuple[int, int]) -> str | None:
        """Note what an event says, or return the code of the reason why not (`SENTENCES`).

        One that is refused leaves no trace here: `refusals` knows that it has been met.

        Args:
            event: of any kind; those that say nothing for the record change nothing.
            source: its partition and offset on its own topic. One at or below the last of the
                same partition counts no more.
        """
        known = self.of(event.merchant_id)
        if source[0] == known.source[0] and source[1] <= known.source[1]:
            return None
        category, codes = known.category, known.codes
        match event.kind:
            case MerchantKind.REGISTERED if event.category is not None:
                category = event.category
            case MerchantKind.CODE_BOUND if (
                event.code_id is not None and event.code_id not in codes
            ):
                if len(codes) == MOST_CODES:
                    return "too_many_codes"
                codes = (*codes, event.code_id)
            case MerchantKind.CODE_UNBOUND:
                if event.code_id not in codes:
                    return "not_bound"
                codes = tuple(code for code in codes if code != event.code_id)
            case _:
                return None
        self._store.put((event.merchant_id,), Profile(category, codes, source))
        return None
