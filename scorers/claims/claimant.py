"""All that is kept of a merchant's claims on one insurer: one frozen entry."""

from __future__ import annotations

import msgspec

from scorers.claims.events import ReasonCode

CLAIMANT_SCHEMA_VERSION = 2

MONTHS_OF_CLAIMS = 3
"""Local months of loss whose claims are kept: the present one and the two before."""

MOST_CLAIMS = 500
"""Claims of a merchant on one insurer within these months; it keeps an entry below 512 KiB."""


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A claim that was answered.

    Attributes:
        claim_id: is answered once.
        checksum: 64 bits of the claim's content.
        month: local month of the loss (`features.calendar.month_of`).
        currency: ISO 4217 code.

    The other fields are those of the answer, as far as the claim does not say them itself.
    """

    claim_id: str
    checksum: int
    month: int
    currency: str
    covered: int
    reasons: tuple[ReasonCode, ...]
    cover: int
    already_covered: int
    cover_version: int
    policy_version: int
    as_of: int
    source_topic: str
    source_partition: int
    source_offset: int


class Claimant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A merchant's entry with one insurer, as its changelog keeps it.

    Attributes:
        answered: claims for losses of the newest `MONTHS_OF_CLAIMS` local months, and of one that
            may just begin, in the order of their answers.
        month: the newest local month that was the present one at an answer; 0 in entries of
            version 1, which do not have it.
        schema_version: of this layout.
    """

    answered: tuple[Answered, ...] = ()
    month: int = 0
    schema_version: int = CLAIMANT_SCHEMA_VERSION

    def known(self, claim_id: str) -> Answered | None:
        """Return the claim that was answered under an id; None when none of the kept months has."""
        for each in self.answered:
            if each.claim_id == claim_id:
                return each
        return None

    def covered_in(self, month: int, currency: str) -> int:
        """Return what is covered of the losses of a local month that is kept, in minor units."""
        return sum(
            each.covered
            for each in self.answered
            if (each.month, each.currency) == (month, currency)
        )

    def at(self, month: int) -> Claimant:
        """Return the claimant in a local month, without what is then too old to keep.

        The month never goes back, though behind a change of the merchant's zone the calendar
        may: what was let go of is no longer known.
        """
        month = max(self.month, month)
        kept = tuple(each for each in self.answered if is_kept(each.month, month))
        return Claimant(kept, month)


def is_kept(month: int, present: int) -> bool:
    """Tell whether claims for losses of a local month are kept in the present one.

    >>> is_kept(673, 675), is_kept(672, 675)
    (True, False)
    """
    return month > present - MONTHS_OF_CLAIMS
