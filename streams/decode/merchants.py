"""Records of the topic `merchant-events`, from bytes to merchant events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from features.events import Outcome
from scorers.merchants import CODES, CONSENTS, MerchantEvent
from streams.decode.payments import NO_VALUE
from streams.decode.strict import Refused, check_field, currency_of, members_of, rules_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RULES = rules_of(MerchantEvent)
_decode = msgspec.json.Decoder(MerchantEvent).decode


def decode_merchant_event(
    payload: bytes | None, currency_digits: NDArray[np.int8]
) -> MerchantEvent:
    """Return the merchant event in `payload`, or raise `Refused`.

    `currency_digits` is the contract's table of minor digits by currency index, -1 for none.

    >>> from streams.contract.currencies import MINOR_DIGITS_TABLE
    >>> decode_merchant_event(b'{"event_id":"e1"}', MINOR_DIGITS_TABLE)
    Traceback (most recent call last):
    streams.decode.strict.Refused: kind is missing
    """
    if payload is None:
        raise Refused(Outcome.NULL_VALUE, NO_VALUE)
    fields = members_of(payload, _RULES)
    for rule in _RULES:
        check_field(rule, fields)
    event = _decode(payload)
    if event.currency is not None:
        currency_of(fields["currency"], currency_digits)
    needed = {"lender_id", "product"} if event.kind in CONSENTS else set()
    if event.kind in CODES:
        needed = {"code_id"}
    for name in sorted(needed):
        if getattr(event, name) is None:
            raise Refused(Outcome.MISSING_FIELD, f"{name} is missing, {event.kind} needs it")
    return event
