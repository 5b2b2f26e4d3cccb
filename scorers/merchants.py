"""What merchants say of themselves: who they are, what they consent to, that they have closed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from features.bounds import Channel, Currency, Identifier, Milliseconds
from scorers.entitlements import ENTITLEMENTS, FULL, GONE
from scorers.policy import EVERYBODYS, PolicyName, Product
from scorers.zones import key_of_name

if TYPE_CHECKING:
    from scorers.entitlements import Draft


class MerchantKind(StrEnum):
    """What happened to a merchant."""

    REGISTERED = "registered"
    CODE_BOUND = "code_bound"
    CODE_UNBOUND = "code_unbound"
    ENROLLED = "enrolled"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"
    REOPENED = "reopened"


CONSENTS = frozenset({MerchantKind.ENROLLED, MerchantKind.WITHDRAWN})
CODES = frozenset({MerchantKind.CODE_BOUND, MerchantKind.CODE_UNBOUND})


class MerchantEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of a merchant, on the topic `merchant-events`, keyed by `merchant_id`.

    A merchant of which no event ever came runs on the installation's defaults and has
    everybody's limit. Events count in the order of the topic.

    Attributes:
        event_id: Names the event in answers and dead letters.
        kind: What happened.
        merchant_id: To whom. Also the record's key.
        occurred_at: When, in ms.
        lender_id: Whom the merchant consents to, or no longer: with `enrolled`, `withdrawn`.
        product: For what; with `enrolled` and `withdrawn`.
        currency: With `registered`: ISO 4217 code of what it collects; settles the currency of
            a merchant that has none yet.
        zone: With `registered`: IANA time zone of its local days and hours from here on; what was
            counted before stays where it was counted. Who has registered none has the
            installation's.
        category: With `registered`: its trade, in the payment system's own words; kept.
        code_id: With `code_bound` and `code_unbound`: the code. Which codes are bound is kept, 64
            at most; binding one that is bound changes nothing.
    """

    event_id: Identifier
    kind: MerchantKind
    merchant_id: Identifier
    occurred_at: Milliseconds
    lender_id: Identifier | None = None
    product: Product | None = None
    currency: Currency | None = None
    zone: Identifier | None = None
    category: Channel | None = None
    code_id: Identifier | None = None


SENTENCES = {
    "too_many_enrolments": f"the merchant is enrolled for {ENTITLEMENTS} policies already;"
    " it has to withdraw from one first",
    "not_enrolled": "the merchant is not enrolled for this product of this lender",
    "everybodys_policy": "everybody has this policy: nobody enrols for it or withdraws from it",
    "missing_field": "lender_id or product is missing: it is not said what is consented to",
    "unknown_zone": "zone is not the name of an IANA time zone, for example Asia/Shanghai",
    "other_currency": "the merchant collects in another currency",
}
"""Why an event was refused, for a person."""


class Enrolment:
    """What an event changes of a merchant's record.

    Args:
        event: the event.
        source: partition and offset on its own topic. One at or below the last of the same
            partition counts no more.
    """

    def __init__(self, event: MerchantEvent, source: tuple[int, int]) -> None:
        self._event = event
        self._source = source
        self.currency = event.currency if event.kind is MerchantKind.REGISTERED else None

    def change(self, record: Draft) -> str | None:
        """Make the change, or return the code of the reason why not (`SENTENCES`)."""
        partition, offset = self._source
        if partition == record.source_partition and offset <= record.source_offset:
            return None
        record.source_partition, record.source_offset = partition, offset
        event = self._event
        match event.kind:
            case MerchantKind.CLOSED | MerchantKind.REOPENED:
                record.closed = event.kind is MerchantKind.CLOSED
            case MerchantKind.ENROLLED | MerchantKind.WITHDRAWN:
                return self._consent(record)
            case MerchantKind.REGISTERED if event.zone is not None:
                key = key_of_name(event.zone)
                if key is None:
                    return "unknown_zone"
                record.zone = key
            case _:
                pass
        return None

    def _consent(self, record: Draft) -> str | None:
        event = self._event
        if event.lender_id is None or event.product is None:
            return "missing_field"
        name = PolicyName(event.lender_id, event.product)
        if name == EVERYBODYS:
            return "everybodys_policy"
        key = np.uint64(name.key)
        known = np.flatnonzero(record.key == key)
        if event.kind is MerchantKind.WITHDRAWN:
            if not len(known):
                return "not_enrolled"
            record.standing[known[0]] = GONE
            return None
        if len(known):
            return None
        free = np.flatnonzero(record.key == 0)
        if not len(free):
            return "too_many_enrolments"
        entry = free[0]
        record.key[entry] = key
        record.limit[entry] = 0
        record.raised_at[entry] = -1
        record.version[entry] = record.version_floor
        record.standing[entry] = FULL
        record.standing_offset[entry] = -1
        return None
