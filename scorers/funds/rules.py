"""How a redemption is split: what is advanced today, what is paid T+1, what is refused.

The rule and worked figures stand in docs/funds.md. Everything here is a whole number of minor
units, so nothing is rounded.
"""

from __future__ import annotations

from typing import NamedTuple

from scorers.funds.events import FundEvent, ReasonCode
from scorers.funds.terms import LARGEST_DAILY_T0, FundTerms


class Split(NamedTuple):
    """A redemption's parts, in minor units; their sum is what was asked for."""

    t_plus_0: int
    t_plus_1: int
    refused: int
    reasons: tuple[ReasonCode, ...]
    """Why it is not all T+0."""


def split(
    asked: int, holding: int, allowance: int, hindrances: tuple[ReasonCode, ...] = ()
) -> Split:
    """Split a redemption.

    Args:
        asked: minor units, above 0.
        holding: what is held in the fund, minor units.
        allowance: T+0 that the request's local day has left, minor units.
        hindrances: reasons for which nothing may be advanced.

    >>> split(asked=5_000, holding=4_000, allowance=1_500)[:3]
    (1500, 2500, 1000)
    """
    covered = min(asked, holding)
    advanced = 0 if hindrances else min(covered, allowance)
    reasons = hindrances or (ReasonCode.DAILY_LIMIT,)
    return Split(
        t_plus_0=advanced,
        t_plus_1=covered - advanced,
        refused=asked - covered,
        reasons=(
            *(reasons if covered > advanced else ()),
            *((ReasonCode.BEYOND_THE_HOLDING,) if asked > covered else ()),
        ),
    )


def hindrances(event: FundEvent, terms: FundTerms | None, *, late: bool) -> tuple[ReasonCode, ...]:
    """Return why nothing of a redemption may be advanced; empty when something may.

    Args:
        event: the request.
        terms: of its distributor; None when it has no policy.
        late: whether the allowance of the request's day is no longer kept.
    """
    found = []
    if late:
        found.append(ReasonCode.LATE_REQUEST)
    if terms is None:
        return (*found, ReasonCode.NO_POLICY)
    if event.currency != terms.currency:
        found.append(ReasonCode.OTHER_CURRENCY)
    if event.advance_provider is None:
        found.append(ReasonCode.NO_PROVIDER)
    elif event.advance_provider not in terms.qualified_banks:
        found.append(ReasonCode.UNQUALIFIED_PROVIDER)
    return tuple(found)


def allowance(event: FundEvent, terms: FundTerms | None, used: int | None) -> int:
    """Return what T+0 the request's local day has left, in minor units of the terms.

    Args:
        event: the request.
        terms: of its distributor; None when it has no policy.
        used: T+0 of that day so far, over all funds and distributors; None when it is not kept.
    """
    if terms is None or used is None or event.currency != terms.currency:
        return 0
    # Terms may never have been checked; the rule holds all the same.
    return max(0, min(terms.daily_t0_limit, LARGEST_DAILY_T0) - used)
