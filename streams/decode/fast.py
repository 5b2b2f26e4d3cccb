"""The fast decoder: payment events of the usual shape, straight from bytes to columns.

It accepts a subset of what the slow one accepts, with the same columns; everything else it
leaves as `Outcome.SLOW`. Known fields may come in any order, with white space between tokens,
without escapes; unknown fields are checked and skipped. The bounds are those of
`features.bounds`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bounds import (
    LARGEST_AMOUNT,
    LARGEST_CHANNEL,
    LARGEST_EVENT,
    LARGEST_IDENTIFIER,
    LATEST_TIME,
)
from features.compiler import inlined, kernel
from features.events import Events, Funding, Kind, Outcome
from features.hashing import hash_bytes
from streams.decode import names
from streams.decode.identity import content_hash, payment_hash
from streams.decode.json_text import (
    after_null,
    after_space,
    after_value,
    are_digits,
    ends_after,
    number_of,
    plain_string_end,
)
from streams.wire.words import word

_REQUIRED = sum(1 << field for field in range(names.OCCURRED_AT + 1))
_TICK_FIELDS = 1 << names.KIND | 1 << names.OCCURRED_AT
_MAY_BE_NULL = sum(1 << field for field in range(names.CODE_ID, len(names.FIELDS)))
_INTEGERS = 1 << names.AMOUNT | 1 << names.OCCURRED_AT | 1 << names.ORIGINAL_OCCURRED_AT

_ABSENT = np.uint64(0)
_MEMBERS = 16  # as many places of an object as are tried in the order of the one before
_A, _LETTERS = ord("A"), 26
_MOST_DIGITS = 17  # more than any bound has, fewer than would overflow

_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE = ord('"'), ord(","), ord(":"), ord("{"), ord("}")
_ZERO, _NINE = ord("0"), ord("9")


_PENDING, _NULL_VALUE, _SLOW = int(Outcome.PENDING), int(Outcome.NULL_VALUE), int(Outcome.SLOW)
_PAYMENT, _OUTFLOW, _TICK = int(Kind.PAYMENT), int(Kind.OUTFLOW), int(Kind.TICK)
_FUNDING_UNKNOWN = int(Funding.UNKNOWN)


class Scratch(NamedTuple):
    """What the kernel notes on the way, made once a batch."""

    slots: NDArray[np.int64]
    """(position, length) of a string, (value, 0) of an integer, (-1, -1) of an absent field."""
    order: NDArray[np.int64]
    """The fields of the last object in their order."""


def scratch() -> Scratch:
    """Return the scratch space for one call of `decode_usual`."""
    fields = len(names.FIELDS)
    return Scratch(
        slots=np.full((fields, 2), -1, np.int64),
        order=np.full(_MEMBERS, names.UNKNOWN, np.int64),
    )


@kernel
def decode_usual(
    text: NDArray[np.uint8],
    value_at: NDArray[np.int64],
    value_length: NDArray[np.int64],
    digits: NDArray[np.int8],
    events: Events,
    scratch: Scratch,
) -> None:
    """Fill `events` from the record values in `text`, one row a value.

    `digits` is the contract's table of minor digits by currency index. The outcome becomes
    PENDING, NULL_VALUE (a length of -1) or SLOW; a SLOW row's other columns stay as they were.
    """
    slots, order = scratch.slots, scratch.order
    kind, funding, outcome = events.kind, events.funding, events.outcome
    merchant_at, merchant_length = events.merchant_at, events.merchant_length
    merchant_hash, payer_hash = events.merchant_hash, events.payer_hash
    payment_hashes, content_hashes = events.payment_hash, events.content_hash
    amount, currency = events.amount, events.currency
    occurred_at, original_at = events.occurred_at, events.original_at
    for i in range(value_at.size):
        length = value_length[i]
        if length < 0:
            outcome[i] = _NULL_VALUE
            continue
        outcome[i] = _SLOW
        if length > LARGEST_EVENT:
            continue
        seen = _members(text, value_at[i], value_at[i] + length, slots, order)
        if seen < 0:
            continue
        is_a = _check(text, seen, slots, digits)
        if is_a < 0:
            continue
        outcome[i] = _PENDING
        kind[i] = is_a
        occurred_at[i] = slots[names.OCCURRED_AT, 0]
        if is_a == _TICK:
            currency[i] = -1
            continue
        merchant = _hash(text, slots, names.MERCHANT_ID)
        payer = _hash(text, slots, names.PAYER_ID)
        merchant_at[i] = slots[names.MERCHANT_ID, 0]
        merchant_length[i] = slots[names.MERCHANT_ID, 1]
        merchant_hash[i] = merchant
        payer_hash[i] = payer
        payment_hashes[i] = payment_hash(merchant, _hash(text, slots, names.PAYMENT_ID))
        content_hashes[i] = content_hash(
            is_a,
            slots[names.FUNDING, 0],
            slots[names.AMOUNT, 0],
            slots[names.CURRENCY, 0],
            slots[names.OCCURRED_AT, 0],
            slots[names.ORIGINAL_OCCURRED_AT, 0],
            merchant,
            _hash(text, slots, names.CODE_ID),
            payer,
            _hash(text, slots, names.ORIGINAL_PAYMENT_ID),
            _hash(text, slots, names.CHANNEL),
        )
        amount[i] = slots[names.AMOUNT, 0]
        currency[i] = slots[names.CURRENCY, 0]
        takes_back = is_a not in (_PAYMENT, _OUTFLOW)
        original_at[i] = slots[names.ORIGINAL_OCCURRED_AT, 0] if takes_back else -1
        funding[i] = slots[names.FUNDING, 0]


@kernel
def _members(
    text: NDArray[np.uint8], at: int, end: int, slots: NDArray[np.int64], order: NDArray[np.int64]
) -> int:
    """Note the known fields of the object in `text[at:end]` in `slots`; return which were there.

    One bit a field. A slot is (position, length) of a string, (value, 0) of an integer and
    (-1, -1) of a null or absent one. -1 when the text is not such an object. `order` holds the
    fields in the order of the object before: it is tried first, as producers do not change it.
    """
    at = after_space(text, at, end)
    if at >= end or text[at] != _OPEN:
        return -1
    at = after_space(text, at + 1, end)
    seen = 0
    place = 0
    while True:
        field = order[place]
        if field >= 0 and names.stands_at(text, at, field):
            at += names.KEY_SIZE[field]
        else:
            if at >= end or text[np.uint64(at)] != _QUOTE:
                return -1
            key = at + 1
            key_end = plain_string_end(text, key, end)
            if key_end < 0:
                return -1
            field = names.field_number(text, key, key_end - key)
            order[place] = field
            at = after_space(text, key_end + 1, end)
            if at >= end or text[np.uint64(at)] != _COLON:
                return -1
            at += 1
        at = after_space(text, at, end)
        if field == names.UNKNOWN:
            at = after_value(text, at, end)
        elif field == names.UNSURE or seen >> field & 1:
            return -1
        else:
            seen |= 1 << field
            at = _known_value(text, at, end, field, slots)
        if at < 0:
            return -1
        at = after_space(text, at, end)
        if at >= end:
            return -1
        c = text[np.uint64(at)]
        at = after_space(text, at + 1, end)
        if c == _CLOSE:
            break
        if c != _COMMA:
            return -1
        place = min(place + 1, _MEMBERS - 1)
    if at != end:
        return -1
    for field in range(len(names.FIELDS)):
        if not seen >> field & 1:
            slots[field, 0] = -1
            slots[field, 1] = -1
    return seen


@inlined
def _known_value(
    text: NDArray[np.uint8], at: int, end: int, field: int, slots: NDArray[np.int64]
) -> int:
    """Note the value at `at` in the field's slot; return where it ends, -1 if it is unusual."""
    if at >= end:
        return -1
    c = text[np.uint64(at)]
    if c == _QUOTE and not _INTEGERS >> field & 1:
        closing = at + 1 + slots[field, 1]
        if not ends_after(text, at + 1, end, slots[field, 1]):
            closing = plain_string_end(text, at + 1, end)
        slots[field, 0] = at + 1
        slots[field, 1] = closing - at - 1
        return closing + 1 if closing >= 0 else -1
    if _ZERO <= c <= _NINE and _INTEGERS >> field & 1:
        first, value = at, np.int64(0)
        while at + 8 <= text.size and at - first < 16 and are_digits(word(text, at)):
            value = value * 100_000_000 + number_of(word(text, at))
            at += 8
        while at < end and _ZERO <= text[np.uint64(at)] <= _NINE and at - first < _MOST_DIGITS:
            value = value * 10 + (np.int64(text[np.uint64(at)]) - _ZERO)
            at += 1
        slots[field, 0] = value
        slots[field, 1] = 0
        return at if c != _ZERO or at == first + 1 else -1
    slots[field, 0] = -1
    slots[field, 1] = -1
    return after_null(text, at, end) if _MAY_BE_NULL >> field & 1 else -1


@kernel
def _check(
    text: NDArray[np.uint8], seen: int, slots: NDArray[np.int64], digits: NDArray[np.int8]
) -> int:
    """Check the fields noted in `slots`; return the kind of event, -1 if anything is unusual.

    The slots of the currency and the funding get their numbers.
    """
    if seen & _TICK_FIELDS != _TICK_FIELDS or slots[names.OCCURRED_AT, 0] > LATEST_TIME:
        return -1
    kind = names.kind_number(text, slots[names.KIND, 0], slots[names.KIND, 1])
    if kind == _TICK:
        return kind if seen == _TICK_FIELDS else -1
    if kind < 0 or seen & _REQUIRED != _REQUIRED:
        return -1
    if not 1 <= slots[names.AMOUNT, 0] <= LARGEST_AMOUNT:
        return -1
    if slots[names.ORIGINAL_OCCURRED_AT, 0] > slots[names.OCCURRED_AT, 0]:
        return -1
    currency = _currency(text, slots[names.CURRENCY, 0], slots[names.CURRENCY, 1])
    if currency < 0 or digits[currency] < 0:
        return -1
    slots[names.CURRENCY, 0] = currency
    funding = _FUNDING_UNKNOWN
    if slots[names.FUNDING, 1] != -1:
        funding = names.funding_number(text, slots[names.FUNDING, 0], slots[names.FUNDING, 1])
        if funding < 0:
            return -1
    slots[names.FUNDING, 0] = funding
    bounded = (
        _fits(slots, names.PAYMENT_ID, LARGEST_IDENTIFIER)
        and _fits(slots, names.MERCHANT_ID, LARGEST_IDENTIFIER)
        and _fits(slots, names.CODE_ID, LARGEST_IDENTIFIER)
        and _fits(slots, names.PAYER_ID, LARGEST_IDENTIFIER)
        and _fits(slots, names.ORIGINAL_PAYMENT_ID, LARGEST_IDENTIFIER)
        and _fits(slots, names.CHANNEL, LARGEST_CHANNEL)
    )
    return kind if bounded else -1


@inlined
def _fits(slots: NDArray[np.int64], field: int, largest: int) -> bool:
    """Say whether a string is absent, or has 1 to `largest` bytes."""
    size = slots[field, 1]
    return bool(size != 0 and size <= largest)


@inlined
def _hash(text: NDArray[np.uint8], slots: NDArray[np.int64], field: int) -> np.uint64:
    """Return the hash of a string, 0 if it is absent or null."""
    size = slots[field, 1]
    return hash_bytes(text, slots[field, 0], size) if size >= 0 else _ABSENT


@kernel
def _currency(text: NDArray[np.uint8], at: int, size: int) -> int:
    """Return the currency's index, -1 unless it is three capital letters."""
    if size != 3:
        return -1
    index = 0
    for k in range(3):
        letter = int(text[at + k]) - _A
        if not 0 <= letter < _LETTERS:
            return -1
        index = index * _LETTERS + letter
    return index
