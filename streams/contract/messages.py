"""The messages on the topics, as msgspec structs: one declaration decodes, validates and documents.

Amounts are integers of the currency's minor units (fen, cents), times are integer milliseconds
since 1970-01-01 UTC; `features.bounds` says what a field may hold. An unknown field is ignored, so
a producer may send more than is read. An optional field may be left out or be null. Messages that
are part of a decision itself stand with it in `scorers` (scorecards, policies, loans).
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from features.bounds import (
    Amount,
    Channel,
    Currency,
    Identifier,
    Limit,
    Milliseconds,
    Version,
)

SCHEMA_VERSION: Literal[1] = 1
"""Version of the limit update. It rises when a field changes its meaning or goes away."""


class PaymentKind(StrEnum):
    """What happened to the merchant's money.

    A refund is a kind of its own: no amount is ever negative. An outflow is money that leaves
    the merchant's account for anything else (purchases, rent, cash): it is optional, and no
    payment.
    """

    PAYMENT = "payment"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSED = "chargeback_reversed"
    VOID = "void"
    OUTFLOW = "outflow"


class FundingSource(StrEnum):
    """What the payer paid from."""

    BALANCE = "balance"
    DEBIT = "debit"
    CREDIT = "credit"
    OTHER = "other"


class PaymentEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a merchant's payment code, on the topic `payments`, keyed by `merchant_id`.

    Attributes:
        payment_id: Counts once within 24 hours; the same id with other content is a conflict.
        kind: What happened.
        merchant_id: Who collects. Also the record's key.
        amount: Minor units of `currency`, above 0.
        currency: ISO 4217 code that has minor units. A merchant's first event settles its currency.
        occurred_at: When it happened, in ms. At most 5 minutes ahead of the record's timestamp.
        code_id: The code that was scanned.
        payer_id: Who paid (who was paid, of an outflow), if known; the same one always carries the
            same id.
        original_payment_id: The payment that a refund, chargeback, reversal or void refers to.
        original_occurred_at: When that payment happened; the day that the amount is taken from.
        funding: What the payer paid from.
        channel: How the payment came in, for example `static_code`.
    """

    payment_id: Identifier
    kind: PaymentKind
    merchant_id: Identifier
    amount: Amount
    currency: Currency
    occurred_at: Milliseconds
    code_id: Identifier | None = None
    payer_id: Identifier | None = None
    original_payment_id: Identifier | None = None
    original_occurred_at: Milliseconds | None = None
    funding: FundingSource | None = None
    channel: Channel | None = None


class Tick(msgspec.Struct, frozen=True, tag_field="kind", tag="tick"):
    """Event time that passes without a payment, on every partition of `payments`, without a key.

    It lets a quiet merchant's windows run empty. The owner of a partition writes one a minute;
    `duoshou replay` writes them from the payments' own times.

    Attributes:
        occurred_at: Everything up to this moment may be taken as past, in ms.
    """

    occurred_at: Milliseconds


class Relayed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="relayed"):
    """An event that is no payment, put by the worker into `payments` behind what it has applied.

    So the order of everything that touches a merchant is that of one log, and a replay sees it
    again. It comes from another topic, or from a worker that says something to another partition;
    then `topic` is `payments`, and partition and offset are those of the record that led to it.

    Attributes:
        merchant_id: Whom it is about, and the record's key; null, and no key, when it is about the
            whole partition.
        topic: Where the worker read it.
        partition: Partition it was read from.
        offset: Offset it was read at.
        event: The event as it came.
        relayed_at: When the worker put it here, by its clock, in ms.
        log_delay_ms: For how long what stood in front of it had waited then, by the worker's
            estimate. Absent where it is not known. What decides by a delay decides by these two,
            so that a replay decides the same.
    """

    merchant_id: Identifier | None
    topic: Annotated[str, Meta(min_length=1, max_length=249)]
    partition: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]
    event: msgspec.Raw
    relayed_at: Milliseconds | None = None
    log_delay_ms: Annotated[int, Meta(ge=0)] | None = None


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One of the features that moved a limit most, or that none did: `hold_out`.

    Attributes:
        code: Stable name for programs.
        effect: Share by which it moves the limit, against a merchant who is ordinary in this
            respect: 0.2 raises it by a fifth, -0.25 takes a quarter off. 0 for `hold_out`, and
            -1 for `pd_cut_off`, which ends the limit of a merchant in the hold-out.
        text: The same in a sentence for a person.
    """

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    effect: float
    text: Annotated[str, Meta(min_length=1, max_length=300)]


class LimitUpdate(msgspec.Struct, frozen=True, gc=False):
    """What a merchant may have from a lender from now on, on `limit-updates.<lender>`.

    Keyed by `merchant_id`, of another product than `loan` by `merchant_id/product`; the topic is
    compacted. After a crash an update may come again with
    the same `version` and the same content: a consumer keeps the highest version of each
    merchant and product and drops the rest.

    Attributes:
        merchant_id: Whose limit it is. Also the record's key.
        lender_id: Who grants it.
        product: For example `loan`.
        currency: The merchant's, an ISO 4217 code.
        limit: From now on, in minor units.
        previous_limit: Until now, in minor units; 0 before the first.
        version: Rises with each change for this merchant and product, from 1; not always by one.
        probability_of_default: Of the scorecard, 0 to 1.
        reasons: What moved the limit most, strongest first.
        model_version: Of the scorecard that scored.
        policy_version: Of the policy that set the limit.
        as_of: Event time up to which payments are in it, in ms.
        source_topic: Topic of the event that led to it.
        source_partition: Partition of that event.
        source_offset: Offset of that event.
        schema_version: Of this message.
    """

    merchant_id: Identifier
    lender_id: Identifier
    product: Identifier
    currency: Currency
    limit: Limit
    previous_limit: Limit
    version: Annotated[int, Meta(ge=1)]
    probability_of_default: Annotated[float, Meta(ge=0.0, le=1.0)]
    reasons: Annotated[list[Reason], Meta(max_length=3)]
    model_version: Version
    policy_version: Version
    as_of: Milliseconds
    source_topic: Annotated[str, Meta(min_length=1, max_length=249)]
    source_partition: Annotated[int, Meta(ge=0)]
    source_offset: Annotated[int, Meta(ge=0)]
    schema_version: Literal[1] = SCHEMA_VERSION


class DeadLetterHeaders(
    msgspec.Struct, frozen=True, rename=lambda name: "duoshou-" + name.replace("_", "-")
):
    """What is added to a record that could not be applied, on `dead-letters`.

    The record keeps its own key, value, timestamp and headers; these come behind them. Every
    value is UTF-8 text on the wire.

    Attributes:
        reason: Code of the rule that refused it, for example `too_late`.
        message: One sentence for a person.
        topic: Where it was read.
        partition: Partition it was read from, in decimal digits.
        offset: Offset it was read at, in decimal digits.
        timestamp: The record's own Kafka timestamp in ms, in decimal digits.
    """

    reason: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]
    message: Annotated[str, Meta(min_length=1)]
    topic: Annotated[str, Meta(min_length=1)]
    partition: Annotated[str, Meta(pattern="^[0-9]+$")]
    offset: Annotated[str, Meta(pattern="^[0-9]+$")]
    timestamp: Annotated[str, Meta(pattern="^-?[0-9]+$")]
