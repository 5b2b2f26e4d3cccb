"""What an insurer tells of a claim, and what it is answered."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from features.bounds import Amount, Currency, Identifier, Limit, Milliseconds, Version


class ClaimEvent(msgspec.Struct, frozen=True):
    """A merchant's claim for one loss, on the topic `claim-events`, keyed by `merchant_id`.

    Attributes:
        claim_id: Answered once for a merchant and insurer; the same id with other content is a
            conflict.
        merchant_id: Who claims. Also the record's key.
        lender_id: The insurer, whose cover it is.
        currency: ISO 4217 code.
        amount: Minor units lost.
        occurred_at: When the loss happened, in ms. Its local month is the month whose cover is
            used.
        claimed_at: When it was claimed, in ms; not before the loss.
    """

    claim_id: Identifier
    merchant_id: Identifier
    lender_id: Identifier
    currency: Currency
    amount: Amount
    occurred_at: Milliseconds
    claimed_at: Milliseconds


class ReasonCode(StrEnum):
    """Why a claim was not covered whole."""

    NOT_ENROLLED = "not_enrolled"
    CLOSED = "closed"
    NO_POLICY = "no_policy"
    OTHER_CURRENCY = "other_currency"
    NO_COVER = "no_cover"
    BEYOND_THE_COVER = "beyond_the_cover"


REASONS = {
    ReasonCode.NOT_ENROLLED: "The merchant is not enrolled for the insurance of this insurer, so"
    " nothing is covered",
    ReasonCode.CLOSED: "The merchant has closed, so nothing is covered",
    ReasonCode.NO_POLICY: "The insurer has no policy for insurance, so nothing is covered",
    ReasonCode.OTHER_CURRENCY: "The insurer's policy is for another currency, so nothing is"
    " covered",
    ReasonCode.NO_COVER: "The merchant's cover is 0, so nothing is covered",
    ReasonCode.BEYOND_THE_COVER: "More is claimed than the cover has left for the month of the"
    " loss: the rest is not covered",
}
"""The sentence of each code, for a person."""


class ClaimReason(msgspec.Struct, frozen=True):
    """One reason why a claim was not covered whole.

    Attributes:
        code: For a machine.
        text: The same for a person, one sentence.
    """

    code: ReasonCode
    text: Annotated[str, Meta(min_length=1)]


class ClaimAnswer(msgspec.Struct, frozen=True):
    """What of a claim is covered, on the topic `claim-answers.<lender>`, keyed by `merchant_id`.

    `covered + uncovered` is what was claimed. A claim that is repeated is answered again with the
    same content: of one `merchant_id` and `claim_id` any answer is as good as the first.

    Attributes:
        claim_id: Of the claim.
        merchant_id: Who claims. Also the record's key.
        lender_id: The insurer.
        currency: ISO 4217 code of all amounts.
        amount: Minor units claimed.
        covered: Minor units that are covered.
        uncovered: Minor units that are not.
        reasons: Why it is not covered whole; empty when it is.
        cover: In force when the claim was answered, in minor units; 0 where the merchant has none
            in this currency.
        already_covered: What earlier claims of the loss's month had of it, in minor units.
        cover_version: Of the limit update that the cover came with; 0 before the first.
        policy_version: Of the insurer's policy; 0 when it has none.
        as_of: Event time of the cover, in ms.
        source_topic: Topic of the claim, as the worker read it.
        source_partition: Partition of the claim.
        source_offset: Offset of the claim.
        schema_version: Of this message.
    """

    claim_id: Identifier
    merchant_id: Identifier
    lender_id: Identifier
    currency: Currency
    amount: Amount
    covered: Limit
    uncovered: Limit
    reasons: list[ClaimReason]
    cover: Limit
    already_covered: Limit
    cover_version: Version
    policy_version: Version
    as_of: Milliseconds
    source_topic: Annotated[str, Meta(min_length=1, max_length=249)]
    source_partition: Annotated[int, Meta(ge=0)]
    source_offset: Annotated[int, Meta(ge=0)]
    schema_version: Literal[1] = 1
