"""The strict decoder: reads one payment event of any shape and says what is wrong with it.

The rules are those of `streams.contract.messages.PaymentEvent`, read from its types; beyond
them: no known field twice, identifiers bounded in bytes, a currency that exists, and no
original payment after the event that takes it back.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.events import Funding, Kind, Outcome, currency_index
from streams.contract.messages import (
    LARGEST_EVENT,
    FundingSource,
    PaymentEvent,
    PaymentKind,
    Tick,
)
from streams.decode.json_text import DEEPEST, nests_deeper

_TICK = "tick"
_LONGEST_NUMBER = 19  # digits; nothing that long is within any bound
_SHOWN = 40


class Refused(Exception):  # noqa: N818 - what became of the record, not a failure
    """Raised by `decode_event`: the outcome, and a sentence that names field, rule and finding."""

    def __init__(self, outcome: Outcome, sentence: str) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.sentence = sentence


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


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, in order, repeated keys and all."""


class _Number:
    """A number that is no integer of ours, as it is spelled: fraction, exponent or too long."""

    def __init__(self, text: str) -> None:
        self.text = text


class _HugeInteger(_Number):
    """An integer of more digits than any bound here; never converted, which would be dear."""


class _Rule(NamedTuple):
    """What the contract says of one field."""

    name: str
    required: bool
    is_integer: bool
    least: int | None
    most: int | None
    """Of the integer, or of the string's length in bytes."""
    choices: tuple[str, ...]


def _rules(message: type[msgspec.Struct]) -> tuple[_Rule, ...]:
    described = msgspec.inspect.type_info(message)
    assert isinstance(described, msgspec.inspect.StructType)  # noqa: S101 - narrows the type
    return tuple(_rule(field) for field in described.fields)


def _rule(field: msgspec.inspect.Field) -> _Rule:
    given = field.type
    for kind in given.types if isinstance(given, msgspec.inspect.UnionType) else (given,):
        if isinstance(kind, msgspec.inspect.Metadata):
            kind = kind.type
        if isinstance(kind, msgspec.inspect.IntType):
            return _Rule(field.name, field.required, True, kind.ge, kind.le, ())
        if isinstance(kind, msgspec.inspect.EnumType):
            choices = tuple(str(choice) for choice in kind.cls)
            return _Rule(field.name, field.required, False, None, None, choices)
        if isinstance(kind, msgspec.inspect.StrType):
            shortest, longest = kind.min_length, kind.max_length
            return _Rule(field.name, field.required, False, shortest, longest, ())
    raise TypeError(f"{field.name}: neither integer, string nor choice")


_PAYMENT_RULES = _rules(PaymentEvent)
_TICK_RULES = _rules(Tick)
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
    streams.decode.slow.Refused: occurred_at is missing
    """
    members = _object(payload)
    counts = Counter(name for name, _ in members)
    fields = dict(members)
    for rule in _PAYMENT_RULES:
        if counts[rule.name] > 1:
            raise Refused(Outcome.REPEATED_FIELD, f"{rule.name} appears {counts[rule.name]} times")
    kind = _kind(fields)
    if kind is Kind.TICK:
        for rule in _TICK_RULES:
            _check(rule, fields)
        return Event(kind, fields["occurred_at"])
    for rule in _PAYMENT_RULES:
        _check(rule, fields)
    original = fields.get("original_occurred_at")
    if original is not None and original > fields["occurred_at"]:
        _out_of_range("original_occurred_at", "at most occurred_at", original)
    return Event(
        kind=kind,
        occurred_at=fields["occurred_at"],
        payment_id=fields["payment_id"].encode(),
        merchant_id=fields["merchant_id"].encode(),
        amount=fields["amount"],
        currency=_currency(fields["currency"], currency_digits),
        code_id=_bytes(fields.get("code_id")),
        payer_id=_bytes(fields.get("payer_id")),
        original_payment_id=_bytes(fields.get("original_payment_id")),
        original_occurred_at=-1 if original is None else original,
        funding=_FUNDINGS.get(fields.get("funding"), Funding.UNKNOWN),
        channel=_bytes(fields.get("channel")),
    )


def _object(payload: bytes) -> _Members:
    """Return the members of the JSON object that `payload` is."""
    if len(payload) > LARGEST_EVENT:
        raise Refused(
            Outcome.TOO_LARGE,
            f"the value has {len(payload)} bytes, at most {LARGEST_EVENT} are allowed",
        )
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            Outcome.NOT_UTF8, f"the value is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    if nests_deeper(np.frombuffer(bytearray(payload), np.uint8), DEEPEST):
        raise Refused(Outcome.TOO_DEEP, f"the value nests more than {DEEPEST} levels deep")
    try:
        value = _PARSER.decode(text)
    except json.JSONDecodeError as error:
        found = f", found {_shown(text[error.pos :])}" if text[error.pos :] else ""
        raise Refused(
            Outcome.NOT_JSON, f"the value is not JSON: {error.msg} at character {error.pos}{found}"
        ) from None
    if ("\\ud" in text or "\\uD" in text) and _has_lone_surrogate(value):
        raise Refused(Outcome.NOT_UTF8, "the value escapes half of a surrogate pair")
    if not isinstance(value, _Members):
        raise Refused(
            Outcome.NOT_AN_OBJECT, f"the value must be a JSON object, found {_shown(value)}"
        )
    return value


def _kind(fields: dict[str, Any]) -> Kind:
    if "kind" not in fields:
        raise Refused(Outcome.MISSING_FIELD, "kind is missing")
    kind = fields["kind"]
    if not isinstance(kind, str):
        raise Refused(Outcome.WRONG_TYPE, f"kind must be a string, found {_shown(kind)}")
    if kind not in _KINDS:
        raise Refused(
            Outcome.UNKNOWN_KIND, f"kind must be one of {', '.join(_KINDS)}, found {_shown(kind)}"
        )
    return _KINDS[kind]


def _check(rule: _Rule, fields: dict[str, Any]) -> None:
    """Raise `Refused` unless the field follows its rule."""
    if rule.required and rule.name not in fields:
        raise Refused(Outcome.MISSING_FIELD, f"{rule.name} is missing")
    value: Any = fields.get(rule.name)
    if value is None and not rule.required:
        return
    if rule.is_integer and isinstance(value, _HugeInteger):
        _out_of_range(rule.name, f"{rule.least} to {rule.most}", value)
    if not isinstance(value, int if rule.is_integer else str) or isinstance(value, bool):
        wanted = "an integer" if rule.is_integer else "a string"
        raise Refused(Outcome.WRONG_TYPE, f"{rule.name} must be {wanted}, found {_shown(value)}")
    if rule.choices:
        if value not in rule.choices:
            _out_of_range(rule.name, f"one of {', '.join(rule.choices)}", value)
        return
    size = value if isinstance(value, int) else len(value.encode())
    if rule.least is not None and rule.most is not None and not rule.least <= size <= rule.most:
        unit = "" if rule.is_integer else " bytes long"
        _out_of_range(rule.name, f"{rule.least} to {rule.most}{unit}", value)


def _currency(code: str, currency_digits: NDArray[np.int8]) -> int:
    try:
        index = currency_index(code)
    except ValueError:
        index = -1
    if index < 0 or currency_digits[index] < 0:
        raise Refused(
            Outcome.UNKNOWN_CURRENCY,
            f"currency must be the ISO 4217 code of a currency in use, found {_shown(code)}",
        )
    return index


def _out_of_range(name: str, rule: str, value: object) -> NoReturn:
    raise Refused(Outcome.OUT_OF_RANGE, f"{name} must be {rule}, found {_shown(value)}")


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _shown(value: object) -> str:
    """Return a value as a person may read it in a line: ASCII, and not for long."""
    if isinstance(value, _Members):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, _Number):
        text = value.text
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    else:
        text = ascii(value[: _SHOWN + 1]) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _has_lone_surrogate(value: object) -> bool:
    """Say so for any string in `value`, which nests no deeper than `DEEPEST`."""
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, (list, tuple)):
        return any(_has_lone_surrogate(each) for each in value)
    return False


def _integer(text: str) -> int | _HugeInteger:
    return int(text) if len(text) <= _LONGEST_NUMBER else _HugeInteger(text)


def _no_constant(name: str) -> NoReturn:
    raise Refused(Outcome.NOT_JSON, f"the value is not JSON: {name} is no number there")


_PARSER = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_int=_integer,
    parse_float=_Number,
    parse_constant=_no_constant,
)
