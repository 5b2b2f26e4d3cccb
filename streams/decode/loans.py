"""Records of the topic `loan-events`, from bytes to loan events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from features.events import Outcome
from scorers.loans import NEED_AMOUNT, LoanEvent
from streams.decode.payments import NO_VALUE
from streams.decode.strict import Refused, check_field, currency_of, members_of, rules_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RULES = rules_of(LoanEvent)
_decode = msgspec.json.Decoder(LoanEvent).decode


def decode_loan_event(payload: bytes | None, currency_digits: NDArray[np.int8]) -> LoanEvent:
    """Return the loan event in `payload`, or raise `Refused`.

    `currency_digits` is the contract's table of minor digits by currency index, -1 for none.

    >>> from streams.contract.currencies import MINOR_DIGITS_TABLE
    >>> decode_loan_event(b'{"event_id":"e1"}', MINOR_DIGITS_TABLE)
    Traceback (most recent call last):
    streams.decode.strict.Refused: kind is missing
    """
    if payload is None:
        raise Refused(Outcome.NULL_VALUE, NO_VALUE)
    fields = members_of(payload, _RULES)
    for rule in _RULES:
        check_field(rule, fields)
    currency_of(fields["currency"], currency_digits)
    event = _decode(payload)
    if event.kind in NEED_AMOUNT and event.amount is None:
        raise Refused(Outcome.MISSING_FIELD, f"amount is missing, {event.kind} needs it")
    return event
