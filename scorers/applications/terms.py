"""What a decision stands on: what is known of the merchant, and what the lender's policy allows."""

from __future__ import annotations

from typing import Final

import msgspec

from features.bounds import LARGEST_AMOUNT
from features.events import currency_index
from scorers.applications.messages import BASIS_POINTS, Ground

REMEMBERED_MS: Final = 30 * 86_400_000
"""Event time for which an answer is remembered, ms: a repetition is known for so long."""

SLICES: Final = 12
"""Parts of a circuit breaker's window: it moves on by one of them at a time."""

_LONGEST_TERM_DAYS = 36_500
_HIGHEST_RATE_BPS = 10 * BASIS_POINTS
_LONGEST_WINDOW_MS = 30 * 86_400_000


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a merchant, for one lender and product, where an application stands.

    Attributes:
        enrolled: whether it takes part with this lender.
        closed: whether it has closed, or was excluded.
        currency: ISO 4217 code of the merchant and of both amounts.
        limit: what this lender may lend it for this product, minor units.
        limit_version: of that limit; 0 for one that it never had.
        capacity: what all lenders together may lend it, minor units.
        probability_of_default: 0 to 1.
        model_version: of the scorecard.
        reasons: what moved the score most, strongest first.
    """

    enrolled: bool
    closed: bool
    currency: str
    limit: int
    limit_version: int
    capacity: int
    probability_of_default: float
    model_version: int
    reasons: tuple[Ground, ...] = ()


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is ordinary for a lender's product in one partition.

    When approvals leave it the breaker opens. While it is open, or the sum of limits is outside,
    limits are not raised.

    Attributes:
        window_ms: event time that is looked at, from 12 ms to 30 days.
        least_answers: answers in the window from which their share of approvals is judged.
        lowest_share_bps: least share of approvals, basis points.
        highest_share_bps: greatest share of approvals, basis points.
        largest_sum: greatest sum approved in the window, minor units, of each partition.
        cool_off_ms: event time that the breaker stays open, up to 30 days.
        largest_limits: greatest sum of the limits in force, minor units, of each partition; None
            for no bound.
    """

    window_ms: int = 3_600_000
    least_answers: int = 50
    lowest_share_bps: int = 0
    highest_share_bps: int = BASIS_POINTS
    largest_sum: int = LARGEST_AMOUNT
    cool_off_ms: int = 900_000
    largest_limits: int | None = None


class Lending(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a lender's policy says of applications for one product.

    Attributes:
        yearly_rate_bps: price of a year, basis points, up to 100,000.
        smallest_amount: least amount that is lent, minor units.
        step: an offer is a multiple of it, minor units.
        reservation_ms: event time for which an approved amount is held back, up to 30 days.
        budget: most that may be lent and reserved over all merchants, minor units; None for no
            bound.
        refer_from_pd: probability of default from which a person decides, in (0, 1]; None for
            never.
        answer_within_ms: longest wait after which an application is still answered by the rules,
            from 1 ms to 30 days; one that has waited longer is referred. None for never.
        suppliers: who may be paid by trade credit.
        longest_term_days: longest term, and the one of an application that names none.
        band: what is ordinary; None for no circuit breaker.
    """

    yearly_rate_bps: int = 1_500
    smallest_amount: int = 10_000
    step: int = 10_000
    reservation_ms: int = 86_400_000
    budget: int | None = None
    refer_from_pd: float | None = None
    answer_within_ms: int | None = 1_000
    suppliers: frozenset[str] = frozenset()
    longest_term_days: int = 90
    band: Band | None = None


class Terms(Lending, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What applications for one product are answered by.

    Attributes:
        version: of the policy.
        currency: ISO 4217 code; nothing is lent in another one.
    """

    version: int
    currency: str = "CNY"


def check_standing(standing: Standing) -> None:
    """Refuse a standing that cannot be.

    Raises:
        ValueError: lists everything that is wrong.
    """
    wrong = [
        f"{name} is {getattr(standing, name)}, below 0"
        for name in ("limit", "limit_version", "capacity", "model_version")
        if getattr(standing, name) < 0
    ]
    if not 0 <= standing.probability_of_default <= 1:
        wrong.append(f"probability_of_default is {standing.probability_of_default}, not in [0, 1]")
    wrong.extend(_wrong_currency(standing.currency))
    if wrong:
        raise ValueError("standing refused: " + "; ".join(wrong))


def check_terms(terms: Terms) -> None:
    """Refuse terms that cannot mean what they say.

    Raises:
        ValueError: lists everything that is wrong.
    """
    wrong = [
        *_outside({"version": (terms.version, 0, LARGEST_AMOUNT)}),
        *_wrong_currency(terms.currency),
        *wrong_lending(terms),
    ]
    if wrong:
        raise ValueError("terms refused: " + "; ".join(wrong))


def wrong_lending(terms: Lending) -> list[str]:
    """Return everything that is wrong with what a policy says of applications."""
    bounds = {
        "yearly_rate_bps": (terms.yearly_rate_bps, 0, _HIGHEST_RATE_BPS),
        "smallest_amount": (terms.smallest_amount, 1, LARGEST_AMOUNT),
        "step": (terms.step, 1, LARGEST_AMOUNT),
        "reservation_ms": (terms.reservation_ms, 1, REMEMBERED_MS),
        "budget": (terms.budget or 0, 0, LARGEST_AMOUNT),
        "longest_term_days": (terms.longest_term_days, 1, _LONGEST_TERM_DAYS),
    }
    if terms.answer_within_ms is not None:
        bounds["answer_within_ms"] = (terms.answer_within_ms, 1, REMEMBERED_MS)
    wrong = _outside(bounds)
    if terms.refer_from_pd is not None and not 0 < terms.refer_from_pd <= 1:
        wrong.append(f"refer_from_pd is {terms.refer_from_pd}, not in (0, 1]")
    if "" in terms.suppliers:
        wrong.append("suppliers has an empty name")
    if terms.band is not None:
        wrong.extend(_wrong_band(terms.band))
    return wrong


def _wrong_band(band: Band) -> list[str]:
    wrong = _outside(
        {
            "band.window_ms": (band.window_ms, SLICES, _LONGEST_WINDOW_MS),
            "band.least_answers": (band.least_answers, 1, LARGEST_AMOUNT),
            "band.lowest_share_bps": (band.lowest_share_bps, 0, BASIS_POINTS),
            "band.highest_share_bps": (band.highest_share_bps, 0, BASIS_POINTS),
            "band.largest_sum": (band.largest_sum, 0, LARGEST_AMOUNT),
            "band.cool_off_ms": (band.cool_off_ms, 1, _LONGEST_WINDOW_MS),
            "band.largest_limits": (band.largest_limits or 0, 0, LARGEST_AMOUNT),
        }
    )
    if band.lowest_share_bps > band.highest_share_bps:
        wrong.append("band.lowest_share_bps is above band.highest_share_bps")
    return wrong


def _outside(bounds: dict[str, tuple[int, int, int]]) -> list[str]:
    return [
        f"{name} is {value}, not between {least} and {most}"
        for name, (value, least, most) in bounds.items()
        if not least <= value <= most
    ]


def _wrong_currency(currency: str) -> list[str]:
    try:
        currency_index(currency)
    except ValueError as error:
        return [str(error)]
    return []
