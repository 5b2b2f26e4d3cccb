"""The strict decoder: reads one payment event of any shape and says what is wrong with it.

The rules are those of `streams.contract.messages.PaymentEvent`; beyond them: a currency that
exists, and no original payment after the event that takes it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from features.events import Funding, Kind, Outcome
from streams.contract.messages import FundingSource, PaymentEvent, PaymentKind, Tick
from streams.decode.strict import (
    Refused,
    check_field,
    currency_of,
    members_of,
    out_of_range,
    rules_of,
    shown,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TICK = "tick"


class Event(NamedTuple):
    """A payment event or tick that follows every rule; strings as UTF-8, None where absent."""

    kind: Kind
    occurred_at: int
    payment_id: bytes = b""
    merchant_id: bytes = b""
    amount: int = 0
    currency: int = -1
    code_id: bytes | None = None
    payer_id: bytes | None = None
    original_payment_id: bytes | None = None
    original_occurred_at: int = -1
    funding: Funding = Funding.UNKNOWN
    channel: bytes | None = None


_PAYMENT_RULES = rules_of(PaymentEvent)
_TICK_RULES = rules_of(Tick)
_KINDS = {**{str(kind): Kind[kind.name] for kind in PaymentKind}, _TICK: Kind.TICK}
_FUNDINGS: dict[str | None, Funding] = {
    str(source): Funding[source.name] for source in FundingSource
}


def decode_event(payload: bytes, currency_digits: NDArray[np.int8]) -> Event:
    """Return the event in `payload`, or raise `Refused`.

    `currency_digits` is the contract's table of minor digits by currency index, -1 for none.

    >>> from streams.contract.currencies import MINOR_DIGITS_TABLE
    >>> decode_event(b'{"kind":"tick","occurred_at":5}', MINOR_DIGITS_TABLE).occurred_at
    5
    >>> decode_event(b'{"kind":"tick"}', MINOR_DIGITS_TABLE)
    Traceback (most recent call last):
    streams.decode.strict.Refused: occurred_at is missing
    """
    fields = members_of(payload, _PAYMENT_RULES)
    kind = _kind(fields)
    if kind is Kind.TICK:
        for rule in _TICK_RULES:
            check_field(rule, fields)
        return Event(kind, fields["occurred_at"])
    for rule in _PAYMENT_RULES:
        check_field(rule, fields)
    original = fields.get("original_occurred_at")
    if original is not None and original > fields["occurred_at"]:
        out_of_range("original_occurred_at", "at most occurred_at", original)
    return Event(
        kind=kind,
        occurred_at=fields["occurred_at"],
        payment_id=fields["payment_id"].encode(),
        merchant_id=fields["merchant_id"].encode(),
        amount=fields["amount"],
        currency=currency_of(fields["currency"], currency_digits),
        code_id=_bytes(fields.get("code_id")),
        payer_id=_bytes(fields.get("payer_id")),
        original_payment_id=_bytes(fields.get("original_payment_id")),
        original_occurred_at=-1 if original is None else original,
        funding=_FUNDINGS.get(fields.get("funding"), Funding.UNKNOWN),
        channel=_bytes(fields.get("channel")),
    )


def _kind(fields: dict[str, Any]) -> Kind:
    if "kind" not in fields:
        raise Refused(Outcome.MISSING_FIELD, "kind is missing")
    kind = fields["kind"]
    if not isinstance(kind, str):
        raise Refused(Outcome.WRONG_TYPE, f"kind must be a string, found {shown(kind)}")
    if kind not in _KINDS:
        raise Refused(
            Outcome.UNKNOWN_KIND, f"kind must be one of {', '.join(_KINDS)}, found {shown(kind)}"
        )
    return _KINDS[kind]


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
