"""What is asked for and what is answered, and what partitions say to each other about budgets."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from features.bounds import (
    LARGEST_AMOUNT,
    Amount,
    Currency,
    Identifier,
    Limit,
    Milliseconds,
    Version,
)

Money = Annotated[int, Meta(ge=0, le=LARGEST_AMOUNT)]
Partition = Annotated[int, Meta(ge=0)]
Offset = Annotated[int, Meta(ge=0)]
Days = Annotated[int, Meta(ge=1, le=36_500)]

DAYS_OF_A_YEAR = 365
BASIS_POINTS = 10_000


class Product(StrEnum):
    """What is applied for."""

    LOAN = "loan"
    TRADE_CREDIT = "trade_credit"


class Outcome(StrEnum):
    """How an application is answered."""

    APPROVE = "approve"
    COUNTER_OFFER = "counter_offer"
    REFER = "refer"
    DECLINE = "decline"


class Application(msgspec.Struct, frozen=True, omit_defaults=True):
    """A merchant asks a lender for credit, on the topic `applications`, keyed by `merchant_id`.

    The same application sent again is answered as it was the first time; the same
    `application_id` with any other content is a conflict.

    Attributes:
        application_id: Unique for its lender and merchant.
        lender_id: Who is asked.
        merchant_id: Who asks. Also the record's key.
        product: What is asked for.
        currency: ISO 4217 code.
        amount: Asked for, in minor units.
        applied_at: When it was asked, in ms.
        term_days: Days until it is to be paid back; the policy's longest term if absent.
        supplier_id: Who is paid with it. Needed for `trade_credit`.
    """

    application_id: Identifier
    lender_id: Identifier
    merchant_id: Identifier
    product: Product
    currency: Currency
    amount: Amount
    applied_at: Milliseconds
    term_days: Days | None = None
    supplier_id: Identifier | None = None


class Ground(msgspec.Struct, frozen=True):
    """Why an application was answered as it was.

    Attributes:
        code: Stable name for programs.
        sentence: The same for a person.
    """

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    sentence: Annotated[str, Meta(min_length=1, max_length=300)]


class Price(msgspec.Struct, frozen=True):
    """What the amount of a decision costs.

    Attributes:
        yearly_rate_bps: The policy's yearly rate, in basis points: 1,500 is 15 %.
        term_days: Days that the interest is for.
        interest: Of the whole term, in minor units: amount x rate x days / 365, rounded down.
    """

    yearly_rate_bps: Annotated[int, Meta(ge=0)]
    term_days: Days
    interest: Annotated[int, Meta(ge=0)]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an application, on the topic `decisions.<lender>`, keyed by `merchant_id`.

    It may come again, with the same content but for `stages`.

    Attributes:
        application_id: What is answered.
        lender_id: Who was asked.
        merchant_id: Who asked. Also the record's key.
        product: What was asked for.
        outcome: The answer. Only `approve` holds money back; a `counter_offer` has to be applied
            for anew.
        asked: Amount asked for, in minor units.
        amount: Approved or offered, in minor units; 0 with `refer` and `decline`.
        currency: ISO 4217 code of every amount here.
        price: What `amount` costs.
        expires_at: Until when the amount is held back, in event time, ms; null unless approved.
        reasons: What decided first, then what moved the score.
        probability_of_default: Of the scorecard, 0 to 1.
        limit: The merchant's with this lender for this product, in minor units; 0 where the
            policy lends in another currency. The same goes for `available` and `over_limit`.
        limit_version: Of that limit; 0 for a merchant that never had one.
        available: What limit and capacity had left just before, in minor units.
        over_limit: By how much debt and reservations are above the limit, in minor units.
        model_version: Of the scorecard.
        policy_version: Of the policy.
        as_of: Event time up to which everything is in it, in ms.
        source_topic: Topic of the application, as the worker read it.
        source_partition: Partition of it.
        source_offset: Offset of it.
        stages: How long it took, in ms by stage: `to_log` from the application's timestamp until
            it was relayed into the log, `in_log` until its part of the log was begun, `apply` until
            the answer was written; `total` is all of it. A measurement: it differs from run to run.
        schema_version: Of this message.
    """

    application_id: Identifier
    lender_id: Identifier
    merchant_id: Identifier
    product: Product
    outcome: Outcome
    asked: Amount
    amount: Money
    currency: Currency
    price: Price
    expires_at: Milliseconds | None
    reasons: tuple[Ground, ...]
    probability_of_default: Annotated[float, Meta(ge=0.0, le=1.0)]
    limit: Limit
    limit_version: Version
    available: Limit
    over_limit: Limit
    model_version: Version
    policy_version: Version
    as_of: Milliseconds
    source_topic: Annotated[str, Meta(min_length=1, max_length=249)]
    source_partition: Partition
    source_offset: Offset
    stages: dict[str, float] | UnsetType = UNSET
    schema_version: Literal[1] = 1


class BudgetWanted(msgspec.Struct, frozen=True, tag_field="type", tag="budget_wanted"):
    """A partition asks the others for a part of a lender's budget.

    Of one `partition` they come in the order of `source_offset`; one at or below the highest
    seen is a repetition.

    Attributes:
        lender_id: Whose budget.
        product: For which product.
        currency: ISO 4217 code.
        partition: Who asks.
        amount: What it lacks, in minor units.
        source_offset: Of the application that it lacked it for, in that partition's log.
    """

    lender_id: Identifier
    product: Identifier
    currency: Currency
    partition: Partition
    amount: Amount
    source_offset: Offset


class BudgetGiven(msgspec.Struct, frozen=True, tag_field="type", tag="budget_given"):
    """A partition gives another one a part of its share of a lender's budget.

    Of one `from_partition` they come in the order of `source_offset`; one at or below the highest
    seen is a repetition.

    Attributes:
        lender_id: Whose budget.
        product: For which product.
        currency: ISO 4217 code.
        from_partition: Who gives.
        to_partition: Who receives.
        amount: In minor units.
        source_offset: Of the request that it answers, in the giver's log.
    """

    lender_id: Identifier
    product: Identifier
    currency: Currency
    from_partition: Partition
    to_partition: Partition
    amount: Amount
    source_offset: Offset


def checksum(application: Application) -> str:
    """Return 128 bits, in hexadecimal, of everything that an application says."""
    return hashlib.blake2b(msgspec.json.encode(application), digest_size=16).hexdigest()


def reproducible(decision: Decision) -> bytes:
    """Return a decision as JSON without what was measured: the same bytes in every replay."""
    if decision.stages is not UNSET:
        decision = msgspec.structs.replace(decision, stages=UNSET)
    return msgspec.json.encode(decision)


def interest(amount: int, yearly_rate_bps: int, days: int) -> int:
    """Return the interest of a term, ACT/365, in minor units, rounded down.

    >>> interest(800_000, 1_500, 90)  # 8,000 yuan at 15 % for 90 days: 295.89 yuan
    29589
    """
    return amount * yearly_rate_bps * days // (BASIS_POINTS * DAYS_OF_A_YEAR)
