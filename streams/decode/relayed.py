"""Records of the topics that are relayed into the log, from bytes to events."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from features.events import Outcome
from scorers.applications.messages import Application, Product
from scorers.claims.events import ClaimEvent
from scorers.funds.events import FundEvent
from scorers.loans import NEED_AMOUNT, LoanEvent
from scorers.merchants import CODES, CONSENTS, MerchantEvent
from streams.decode.payments import NO_VALUE
from streams.decode.strict import Refused, check_field, currency_of, members_of, rules_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T", bound=msgspec.Struct)


def decode_loan_event(payload: bytes | None, currency_digits: NDArray[np.int8]) -> LoanEvent:
    """Return the loan event in `payload`, or raise `Refused`.

    `currency_digits` is the contract's table of minor digits by currency index, -1 for none.

    >>> from streams.contract.currencies import MINOR_DIGITS_TABLE
    >>> decode_loan_event(b'{"event_id":"e1"}', MINOR_DIGITS_TABLE)
    Traceback (most recent call last):
    streams.decode.strict.Refused: kind is missing
    """
    event = _decoded(LoanEvent, payload, currency_digits)
    if event.kind in NEED_AMOUNT:
        _need(event, event.kind, "amount")
    return event


def decode_merchant_event(
    payload: bytes | None, currency_digits: NDArray[np.int8]
) -> MerchantEvent:
    """Return the merchant event in `payload`, or raise `Refused`."""
    event = _decoded(MerchantEvent, payload, currency_digits)
    if event.kind in CONSENTS:
        _need(event, event.kind, "lender_id", "product")
    if event.kind in CODES:
        _need(event, event.kind, "code_id")
    return event


def decode_application(payload: bytes | None, currency_digits: NDArray[np.int8]) -> Application:
    """Return the application in `payload`, or raise `Refused`."""
    application = _decoded(Application, payload, currency_digits)
    if application.product is Product.TRADE_CREDIT:
        _need(application, application.product, "supplier_id")
    return application


def decode_fund_event(payload: bytes | None, currency_digits: NDArray[np.int8]) -> FundEvent:
    """Return the fund event in `payload`, or raise `Refused`."""
    return _decoded(FundEvent, payload, currency_digits)


def decode_claim_event(payload: bytes | None, currency_digits: NDArray[np.int8]) -> ClaimEvent:
    """Return the claim in `payload`, or raise `Refused`."""
    return _decoded(ClaimEvent, payload, currency_digits)


def _decoded(kind: type[T], payload: bytes | None, currency_digits: NDArray[np.int8]) -> T:
    if payload is None:
        raise Refused(Outcome.NULL_VALUE, NO_VALUE)
    rules, decode = _rules(kind)
    fields = members_of(payload, rules)
    for rule in rules:
        check_field(rule, fields)
    if fields.get("currency") is not None:
        currency_of(fields["currency"], currency_digits)
    event: T = decode(payload)
    return event


@cache
def _rules(kind: type[msgspec.Struct]) -> tuple[Any, Any]:
    return rules_of(kind), msgspec.json.Decoder(kind).decode


def _need(event: Any, kind: str, *names: str) -> None:
    for name in names:
        if getattr(event, name) is None:
            raise Refused(Outcome.MISSING_FIELD, f"{name} is missing, {kind} needs it")
