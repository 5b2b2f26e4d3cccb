"""The lenders of the demo: the platform, and a bank with a policy of its own."""

from __future__ import annotations

from typing import Final

import msgspec

from scorers.applications.terms import Lending
from scorers.policy import BUILT_IN, PLATFORM, Policy

BANK: Final = "river-bank"
LENDERS: Final = (PLATFORM, BANK)

_RESERVED_MS = 7 * 86_400_000
"""A day passes in little more than a second: who draws at once has let one or two go by."""


def policies() -> list[Policy]:
    """Return the policy of each lender for loans.

    The bank lends more on the same payments than the platform, to fewer merchants, and from a
    budget.
    """
    return [
        msgspec.structs.replace(BUILT_IN, version=1, lending=Lending(reservation_ms=_RESERVED_MS)),
        msgspec.structs.replace(
            BUILT_IN, version=1, lender=BANK, advance_rate=0.4, pd_cut_off=0.1, starter_amount=0,
            lending=Lending(
                yearly_rate_bps=1_200, smallest_amount=20_000, reservation_ms=_RESERVED_MS,
                budget=8_000_000, refer_from_pd=0.05,
            ),
        ),
    ]  # fmt: skip
