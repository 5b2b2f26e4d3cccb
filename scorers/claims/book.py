"""The claims of a partition's merchants, each answered once.

The rule and worked figures stand in docs/cover.md. Everything here is a whole number of minor
units, so nothing is rounded.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from features.calendar import DAY_MS, local_day, month_of
from scorers.claims.claimant import MONTHS_OF_CLAIMS, MOST_CLAIMS, Answered, Claimant, is_kept
from scorers.claims.events import REASONS, ClaimAnswer, ClaimEvent, ClaimReason, ReasonCode

if TYPE_CHECKING:
    from features.calendar import Zone
    from scorers.source import Source
    from scorers.store import Store

AHEAD_MS = DAY_MS
"""Most that a loss may lie ahead of the log's own time, which stands still while nobody ticks."""

REPEATED_MS = MONTHS_OF_CLAIMS * 31 * DAY_MS + AHEAD_MS
"""Longest event time, ms, for which an answer is given again to whoever sends the claim again."""


class Became(StrEnum):
    """What became of a claim. From `CONFLICT` on it is a dead letter."""

    ANSWERED = "answered"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    LOSS_AFTER_CLAIM = "loss_after_claim"
    FROM_THE_FUTURE = "from_the_future"
    TOO_LATE = "too_late"
    TOO_MANY_CLAIMS = "too_many_claims"


SENTENCES = {
    Became.CONFLICT: "claim_id has been used for a claim of this merchant on this insurer with"
    " other content; the first one counts",
    Became.LOSS_AFTER_CLAIM: "occurred_at, the loss, lies after claimed_at",
    Became.FROM_THE_FUTURE: "occurred_at, the loss, lies more than"
    f" {AHEAD_MS // 3_600_000} hours ahead of the log",
    Became.TOO_LATE: "occurred_at, the loss, lies before this local month and the"
    f" {MONTHS_OF_CLAIMS - 1} before it: what was covered then is no longer known",
    Became.TOO_MANY_CLAIMS: f"{MOST_CLAIMS} claims of this merchant on this insurer have been"
    f" answered for losses of {MONTHS_OF_CLAIMS} local months; send it again when the oldest of"
    " them is past",
}
"""Why a claim was refused, for a person."""


class CoverStanding(NamedTuple):
    """A merchant's cover with one insurer, in force at a claim's place in the log."""

    enrolled: bool
    """For the insurance of this insurer."""
    closed: bool
    """The merchant has closed."""
    currency: str | None
    """ISO 4217 code of the insurer's policy for insurance; None when it has none."""
    cover: int
    """Minor units, at least 0."""
    version: int
    """Of the limit update that the cover came with; 0 before the first."""
    zone: Zone
    """Of the merchant's local months."""


class ClaimVerdict(NamedTuple):
    """What became of a claim, and the answer that is due to its insurer."""

    became: Became
    answer: ClaimAnswer | None = None
    """Of a claim that is answered, or once more of one that is repeated."""


class ClaimBook:
    """The claims of one partition, over a store of entries keyed by `(merchant_id, lender_id)`.

    >>> from features.calendar import load_zone
    >>> from scorers.source import Source
    >>> class Kept(dict):
    ...     put = dict.__setitem__
    >>> book = ClaimBook(Kept())
    >>> standing = CoverStanding(
    ...     enrolled=True, closed=False, currency="CNY", cover=50_000, version=3,
    ...     zone=load_zone("Asia/Shanghai"),
    ... )
    >>> claim = ClaimEvent("c1", "stall", "ping", "CNY", 40_000, 1000, 2000)
    >>> book.apply(claim, Source("payments", 0, 7), standing, 1, 2000).answer.covered
    40000
    >>> claim = ClaimEvent("c2", "stall", "ping", "CNY", 40_000, 1500, 2000)
    >>> answer = book.apply(claim, Source("payments", 0, 8), standing, 1, 2000).answer
    >>> answer.covered, answer.uncovered, answer.reasons[0].code
    (10000, 30000, <ReasonCode.BEYOND_THE_COVER: 'beyond_the_cover'>)
    >>> more = standing._replace(cover=90_000, version=4)
    >>> book.apply(claim, Source("payments", 0, 9), more, 1, 3000) == (Became.DUPLICATE, answer)
    True
    """

    def __init__(self, claimants: Store[Claimant]) -> None:
        self._claimants = claimants

    def apply(
        self,
        claim: ClaimEvent,
        source: Source,
        standing: CoverStanding,
        policy_version: int,
        as_of: int,
    ) -> ClaimVerdict:
        """Answer one claim. Nothing changes unless it is `ANSWERED`.

        Args:
            claim: what is claimed.
            source: where it was read.
            standing: the merchant's cover with the claim's insurer at this place in the log.
            policy_version: of the insurer's policy for insurance; 0 without one.
            as_of: event time of the log at this place, epoch ms; it never falls. Its local month
                is the present one, or a later one that has been so by another zone.
        """
        as_of = max(as_of, 0)
        month = _month(claim.occurred_at, standing.zone)
        claimant = self.claimant(claim.merchant_id, claim.lender_id)
        claimant = claimant.at(_month(as_of, standing.zone))
        known = claimant.known(claim.claim_id)
        if known is not None:
            if known.checksum != _checksum(claim):
                return ClaimVerdict(Became.CONFLICT)
            return ClaimVerdict(Became.DUPLICATE, _answer(claim, known))
        if claim.occurred_at > claim.claimed_at:
            return ClaimVerdict(Became.LOSS_AFTER_CLAIM)
        if claim.occurred_at > as_of + AHEAD_MS:
            return ClaimVerdict(Became.FROM_THE_FUTURE)
        if not is_kept(month, claimant.month):
            return ClaimVerdict(Became.TOO_LATE)
        if len(claimant.answered) >= MOST_CLAIMS:
            return ClaimVerdict(Became.TOO_MANY_CLAIMS)
        already = claimant.covered_in(month, claim.currency)
        hindrances = _hindrances(claim, standing)
        cover = 0 if hindrances else standing.cover
        covered = min(claim.amount, max(cover - already, 0))
        if covered < claim.amount and not hindrances:
            hindrances = (ReasonCode.BEYOND_THE_COVER if cover else ReasonCode.NO_COVER,)
        answered = Answered(
            claim_id=claim.claim_id,
            checksum=_checksum(claim),
            month=month,
            currency=claim.currency,
            covered=covered,
            reasons=hindrances,
            cover=cover,
            already_covered=already,
            cover_version=standing.version,
            policy_version=policy_version,
            as_of=as_of,
            source_topic=source.topic,
            source_partition=source.partition,
            source_offset=source.offset,
        )
        self._claimants.put(
            (claim.merchant_id, claim.lender_id),
            msgspec.structs.replace(claimant, answered=(*claimant.answered, answered)),
        )
        return ClaimVerdict(Became.ANSWERED, _answer(claim, answered))

    def claimant(self, merchant_id: str, lender_id: str) -> Claimant:
        """Return all that is kept of a merchant's claims on one insurer; it may be empty."""
        return self._claimants.get((merchant_id, lender_id)) or Claimant()

    def covered(self, merchant_id: str, lender_id: str, currency: str, at: int, zone: Zone) -> int:
        """Return what an insurer covers of a merchant's losses in the local month of an instant.

        Args:
            merchant_id: whose losses.
            lender_id: the insurer.
            currency: ISO 4217 code.
            at: epoch ms.
            zone: of the merchant.

        Returns:
            Minor units; 0 of a month that is no longer kept.
        """
        return self.claimant(merchant_id, lender_id).covered_in(_month(at, zone), currency)


def _month(at: int, zone: Zone) -> int:
    return int(month_of(local_day(at, zone)))


def _hindrances(claim: ClaimEvent, standing: CoverStanding) -> tuple[ReasonCode, ...]:
    """Return why nothing of a claim may be covered, whatever the cover; empty when it may."""
    found = []
    if not standing.enrolled:
        found.append(ReasonCode.NOT_ENROLLED)
    if standing.closed:
        found.append(ReasonCode.CLOSED)
    if standing.currency is None:
        found.append(ReasonCode.NO_POLICY)
    elif standing.currency != claim.currency:
        found.append(ReasonCode.OTHER_CURRENCY)
    return tuple(found)


def _answer(claim: ClaimEvent, answered: Answered) -> ClaimAnswer:
    """Return the answer to a claim; a repeated one gives the same, as its content is the same."""
    return ClaimAnswer(
        claim_id=claim.claim_id,
        merchant_id=claim.merchant_id,
        lender_id=claim.lender_id,
        currency=claim.currency,
        amount=claim.amount,
        covered=answered.covered,
        uncovered=claim.amount - answered.covered,
        reasons=[ClaimReason(code, REASONS[code]) for code in answered.reasons],
        cover=answered.cover,
        already_covered=answered.already_covered,
        cover_version=answered.cover_version,
        policy_version=answered.policy_version,
        as_of=answered.as_of,
        source_topic=answered.source_topic,
        source_partition=answered.source_partition,
        source_offset=answered.source_offset,
    )


def _checksum(claim: ClaimEvent) -> int:
    """Return 64 bits of a claim's content: an answer is repeated to whoever has the same."""
    digest = hashlib.blake2b(msgspec.json.encode(claim), digest_size=8).digest()
    return int.from_bytes(digest)
