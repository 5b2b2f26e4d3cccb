"""Reads JSON objects strictly, by the rules of a message type, and says what is wrong with one.

The rules are read from the type itself; beyond them: no known field twice, and identifiers are
bounded in bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec
import numpy as np

from features.bounds import LARGEST_EVENT
from features.events import Outcome, currency_index
from streams.decode.json_text import DEEPEST, nests_deeper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_LONGEST_NUMBER = 19  # digits; nothing that long is within any bound
_SHOWN = 40


class Refused(Exception):  # noqa: N818 - what became of the record, not a failure
    """Raised by the decoders: the outcome, and a sentence that names field, rule and finding."""

    def __init__(self, outcome: Outcome, sentence: str) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.sentence = sentence


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, in order, repeated keys and all."""


class _Number:
    """A number that is no integer of ours, as it is spelled: fraction, exponent or too long."""

    def __init__(self, text: str) -> None:
        self.text = text


class _HugeInteger(_Number):
    """An integer of more digits than any bound here; never converted, which would be dear."""


class Rule(NamedTuple):
    """What the contract says of one field."""

    name: str
    required: bool
    is_integer: bool
    least: int | None
    most: int | None
    """Of the integer, or of the string's length in bytes."""
    choices: tuple[str, ...]


def rules_of(message: type[msgspec.Struct]) -> tuple[Rule, ...]:
    """Return the rules of a message type's fields; each is an integer, a string or a choice."""
    described = msgspec.inspect.type_info(message)
    assert isinstance(described, msgspec.inspect.StructType)  # noqa: S101 - narrows the type
    return tuple(_rule(field) for field in described.fields)


def _rule(field: msgspec.inspect.Field) -> Rule:
    given = field.type
    for kind in given.types if isinstance(given, msgspec.inspect.UnionType) else (given,):
        if isinstance(kind, msgspec.inspect.Metadata):
            kind = kind.type
        if isinstance(kind, msgspec.inspect.IntType):
            return Rule(field.name, field.required, True, kind.ge, kind.le, ())
        if isinstance(kind, msgspec.inspect.EnumType):
            choices = tuple(str(choice) for choice in kind.cls)
            return Rule(field.name, field.required, False, None, None, choices)
        if isinstance(kind, msgspec.inspect.StrType):
            shortest, longest = kind.min_length, kind.max_length
            return Rule(field.name, field.required, False, shortest, longest, ())
    raise TypeError(f"{field.name}: neither integer, string nor choice")


def members_of(payload: bytes, rules: Iterable[Rule]) -> dict[str, Any]:
    """Return the members of the JSON object that `payload` is.

    Raises:
        Refused: it is none, or has a field of the rules more than once.
    """
    members = _object(payload)
    counts = Counter(name for name, _ in members)
    for rule in rules:
        if counts[rule.name] > 1:
            raise Refused(Outcome.REPEATED_FIELD, f"{rule.name} appears {counts[rule.name]} times")
    return dict(members)


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
        found = f", found {shown(text[error.pos :])}" if text[error.pos :] else ""
        raise Refused(
            Outcome.NOT_JSON, f"the value is not JSON: {error.msg} at character {error.pos}{found}"
        ) from None
    if ("\\ud" in text or "\\uD" in text) and _has_lone_surrogate(value):
        raise Refused(Outcome.NOT_UTF8, "the value escapes half of a surrogate pair")
    if not isinstance(value, _Members):
        raise Refused(
            Outcome.NOT_AN_OBJECT, f"the value must be a JSON object, found {shown(value)}"
        )
    return value


def check_field(rule: Rule, fields: dict[str, Any]) -> None:
    """Raise `Refused` unless the field follows its rule."""
    if rule.required and rule.name not in fields:
        raise Refused(Outcome.MISSING_FIELD, f"{rule.name} is missing")
    value: Any = fields.get(rule.name)
    if value is None and not rule.required:
        return
    if rule.is_integer and isinstance(value, _HugeInteger):
        out_of_range(rule.name, f"{rule.least} to {rule.most}", value)
    if not isinstance(value, int if rule.is_integer else str) or isinstance(value, bool):
        wanted = "an integer" if rule.is_integer else "a string"
        raise Refused(Outcome.WRONG_TYPE, f"{rule.name} must be {wanted}, found {shown(value)}")
    if rule.choices:
        if value not in rule.choices:
            out_of_range(rule.name, f"one of {', '.join(rule.choices)}", value)
        return
    size = value if isinstance(value, int) else len(value.encode())
    if rule.least is not None and rule.most is not None and not rule.least <= size <= rule.most:
        unit = "" if rule.is_integer else " bytes long"
        out_of_range(rule.name, f"{rule.least} to {rule.most}{unit}", value)


def currency_of(code: str, currency_digits: NDArray[np.int8]) -> int:
    """Return the index of a currency that exists, or raise `Refused`.

    `currency_digits` is the contract's table of minor digits by currency index, -1 for none.
    """
    try:
        index = currency_index(code)
    except ValueError:
        index = -1
    if index < 0 or currency_digits[index] < 0:
        raise Refused(
            Outcome.UNKNOWN_CURRENCY,
            f"currency must be the ISO 4217 code of a currency in use, found {shown(code)}",
        )
    return index


def out_of_range(name: str, rule: str, value: object) -> NoReturn:
    """Raise `Refused` for a field whose value breaks a rule."""
    raise Refused(Outcome.OUT_OF_RANGE, f"{name} must be {rule}, found {shown(value)}")


def shown(value: object) -> str:
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
