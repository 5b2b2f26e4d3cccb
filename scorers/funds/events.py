"""What a distributor tells of an investor's money-market fund, and what it is answered."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from features.bounds import Amount, Currency, Identifier, Limit, Milliseconds, Version


class FundKind(StrEnum):
    """What happened to a holding."""

    SUBSCRIBED = "subscribed"
    REDEMPTION_REQUESTED = "redemption_requested"


class FundEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a holding, on the topic `fund-events`, keyed by `merchant_id`.

    Attributes:
        event_id: Counts once for an investor, over all distributors and funds; the same id with
            other content is a conflict.
        kind: What happened.
        merchant_id: The investor. Also the record's key.
        lender_id: The distributor, whose policy decides.
        fund_id: The fund; unique for its distributor.
        currency: ISO 4217 code of the fund.
        amount: Minor units subscribed, or asked back.
        occurred_at: When it happened, in ms. Its local day is the day whose T+0 allowance is used.
        advance_provider: With a redemption, the bank that would advance the money for T+0; without
            one all is T+1. Ignored with a subscription.
    """

    event_id: Identifier
    kind: FundKind
    merchant_id: Identifier
    lender_id: Identifier
    fund_id: Identifier
    currency: Currency
    amount: Amount
    occurred_at: Milliseconds
    advance_provider: Identifier | None = None


class ReasonCode(StrEnum):
    """Why a redemption was not all T+0."""

    BEYOND_THE_HOLDING = "beyond_the_holding"
    DAILY_LIMIT = "daily_limit"
    NO_PROVIDER = "no_provider"
    UNQUALIFIED_PROVIDER = "unqualified_provider"
    LATE_REQUEST = "late_request"
    NO_POLICY = "no_policy"
    OTHER_CURRENCY = "other_currency"


REASONS = {
    ReasonCode.BEYOND_THE_HOLDING: "More was asked for than is held: the rest is refused",
    ReasonCode.DAILY_LIMIT: "The investor's T+0 allowance of this local day does not cover all of"
    " it: the rest is T+1",
    ReasonCode.NO_PROVIDER: "No advance_provider is named, so nothing is advanced: all is T+1",
    ReasonCode.UNQUALIFIED_PROVIDER: "The policy does not list the advance_provider as a qualified"
    " commercial bank, so nothing is advanced: all is T+1",
    ReasonCode.LATE_REQUEST: "The request came days late and the T+0 allowance of its day is no"
    " longer kept: all is T+1",
    ReasonCode.NO_POLICY: "The distributor has no policy for the fund sweep, so nothing is"
    " advanced: all is T+1",
    ReasonCode.OTHER_CURRENCY: "The distributor's policy is for another currency, so nothing is"
    " advanced: all is T+1",
}
"""The sentence of each code, for a person."""


class FundReason(msgspec.Struct, frozen=True):
    """One reason why a redemption was not all T+0.

    Attributes:
        code: For a machine.
        text: The same for a person, one sentence.
    """

    code: ReasonCode
    text: Annotated[str, Meta(min_length=1)]


class FundAnswer(msgspec.Struct, frozen=True):
    """What becomes of a redemption. `t_plus_0 + t_plus_1 + refused` is what was asked for.

    A request that is repeated is answered again with the same content: of one `merchant_id` and
    `event_id` any answer is as good as the first.

    Attributes:
        event_id: Of the request.
        merchant_id: The investor. Also the record's key.
        lender_id: The distributor.
        fund_id: The fund.
        currency: ISO 4217 code of all amounts.
        t_plus_0: Minor units that are advanced now.
        t_plus_1: Minor units that the fund pays on the next settlement day.
        refused: Minor units that were asked for beyond the holding.
        reasons: Why it is not all T+0; empty when it is.
        holding: What the investor still holds in this fund, in minor units.
        remaining_t_plus_0: Allowance that the request's local day has left over all funds and
            distributors, in minor units; 0 where the day has none under the policy.
        advance_provider: Who advances `t_plus_0`; null when nothing is advanced.
        policy_version: Of the distributor's policy; 0 when it has none.
        as_of: Newest event time of the investor's events in it, in ms.
        source_topic: Topic of the request, as the worker read it.
        source_partition: Partition of the request.
        source_offset: Offset of the request.
        schema_version: Of this message.
    """

    event_id: Identifier
    merchant_id: Identifier
    lender_id: Identifier
    fund_id: Identifier
    currency: Currency
    t_plus_0: Limit
    t_plus_1: Limit
    refused: Limit
    reasons: list[FundReason]
    holding: Limit
    remaining_t_plus_0: Limit
    advance_provider: Identifier | None
    policy_version: Version
    as_of: Milliseconds
    source_topic: Annotated[str, Meta(min_length=1, max_length=249)]
    source_partition: Annotated[int, Meta(ge=0)]
    source_offset: Annotated[int, Meta(ge=0)]
    schema_version: Literal[1] = 1
