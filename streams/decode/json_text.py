"""JSON (RFC 8259) over bytes: kernels that find the end of a string or value, or refuse it.

Positions are ints, -1 stands for "refused": what lies there is not JSON, or is better left to
the slow decoder. Nothing at or behind `end` is taken for a part of the value.
"""

import numpy as np
from numpy.typing import NDArray

from features.compiler import inlined, kernel
from features.hashing import multiply
from streams.wire.words import word

DEEPEST = 32
"""Levels of objects and arrays that an event may have, the event itself being the first."""

_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH_BITS = np.uint64(0x8080808080808080)
_TO_SPACE = np.uint64(0x6060606060606060)
_TENS, _DIGITS = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)
_SIXES, _UNITS = np.uint64(0x0606060606060606), np.uint64(0x0F0F0F0F0F0F0F0F)
_PAIRS, _FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_JOIN_DIGITS, _JOIN_PAIRS = np.uint64(10 * 2**8 + 1), np.uint64(100 * 2**16 + 1)
_JOIN_FOURS = np.uint64(10_000 * 2**32 + 1)
_EIGHTH = np.uint64(1 << 63)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_LOW_QUARTER = np.uint64(0xFFFF)
_LOW_BYTE = np.uint64(0xFF)
_0, _8, _16, _32 = np.uint64(0), np.uint64(8), np.uint64(16), np.uint64(32)

_QUOTE, _BACKSLASH, _COMMA, _COLON = ord('"'), ord("\\"), ord(","), ord(":")
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = ord("{"), ord("}"), ord("["), ord("]")
_ZERO, _NINE, _MINUS, _PLUS, _POINT = ord("0"), ord("9"), ord("-"), ord("+"), ord(".")
_U = ord("u")
_AFTER_BACKSLASH = tuple(b'"\\/bfnrt')
_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)


@inlined
def after_space(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position of the first byte from `at` on that is not white space, or `end`."""
    while at < end:
        c = text[np.uint64(at)]
        if c > 0x20 or not (c == 0x20 or c == 0x0A or c == 0x0D or c == 0x09):
            return at
        at += 1
    return end


@inlined
def _specials(w: np.uint64) -> np.uint64:
    """Mark the quotes, backslashes, control characters and non-ASCII bytes of a word.

    The mark is the byte's high bit. For each byte b, `(b & 0x7F) + 0x7F` has its high bit set
    unless b is 0 or 0x80, and `(b & 0x7F) + 0x60` unless b is below 0x20: no carry ever leaves
    a byte.
    """
    no_quote = ((w ^ _QUOTES) & _LOW_BITS) + _LOW_BITS
    no_backslash = ((w ^ _BACKSLASHES) & _LOW_BITS) + _LOW_BITS
    no_control = (w & _LOW_BITS) + _TO_SPACE
    return np.uint64((~(no_quote & no_backslash & no_control) | w) & _HIGH_BITS)


@inlined
def _next_special(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where the next byte is that `_specials` marks, or `end`."""
    while at + 8 <= text.size and at < end:
        special = _specials(word(text, at))
        if special != _0:
            if special & _LOW_HALF == _0:
                special >>= _32
                at += 4
            if special & _LOW_QUARTER == _0:
                special >>= _16
                at += 2
            if special & _LOW_BYTE == _0:
                at += 1
            return min(at, end)
        at += 8
    while at < end:
        c = text[np.uint64(at)]
        if c in (_QUOTE, _BACKSLASH) or c < 0x20 or c >= 0x80:
            return at
        at += 1
    return end


@inlined
def ends_after(text: NDArray[np.uint8], at: int, end: int, size: int) -> bool:
    """Say whether the string whose first byte is at `at` has `size` plain characters.

    Cheaper than to look for its end, since no step waits for the one before; False for strings
    below seven bytes, too.
    """
    last = at + size - 7  # the word there has the closing quote as its eighth byte
    if size < 7 or last + 8 > end:
        return False
    if _specials(word(text, last)) != _EIGHTH or text[np.uint64(last + 7)] != _QUOTE:
        return False
    marks = _0
    while at < last:
        marks |= _specials(word(text, at))
        at += 8
    return bool(marks == _0)


@kernel
def _after_character(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the end of the UTF-8 sequence of two to four bytes at `at`, -1 if it is malformed."""
    lead = text[at]
    low, high = 0x80, 0xBF
    if 0xC2 <= lead <= 0xDF:
        size = 2
    elif 0xE0 <= lead <= 0xEF:
        size = 3
        if lead == 0xE0:
            low = 0xA0  # shorter forms exist below
        elif lead == 0xED:
            high = 0x9F  # surrogates lie above
    elif 0xF0 <= lead <= 0xF4:
        size = 4
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F  # beyond U+10FFFF
    else:
        return -1
    if at + size > end or not low <= text[at + 1] <= high:
        return -1
    for i in range(2, size):
        if not 0x80 <= text[at + i] <= 0xBF:
            return -1
    return at + size


@inlined
def plain_string_end(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the position of the quote that ends the string whose first byte is at `at`.

    -1 when it has an escape, a control character, bytes that are not UTF-8, or no end.
    """
    at = _next_special(text, at, end)
    while at < end and text[np.uint64(at)] != _QUOTE:
        if text[np.uint64(at)] < 0x80:
            return -1
        at = _after_character(text, at, end)
        if at < 0:
            return -1
        at = _next_special(text, at, end)
    return at if at < end else -1


@kernel
def _escaped_unit(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the UTF-16 code unit that the escape at `at` stands for, -1 if there is none."""
    if at + 6 > end or text[at] != _BACKSLASH or text[at + 1] != _U:
        return -1
    unit = 0
    for i in range(at + 2, at + 6):
        h = int(text[i])
        if 0x30 <= h <= 0x39:
            digit = h - 0x30
        elif 0x41 <= h <= 0x46 or 0x61 <= h <= 0x66:
            digit = (h & 0x0F) + 9
        else:
            return -1
        unit = unit * 16 + digit
    return unit


@kernel
def _after_escape(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the end of the escape whose backslash is at `at`, both halves of a surrogate pair.

    -1 for half a pair and for what is no escape.
    """
    if at + 1 >= end:
        return -1
    c = text[at + 1]
    if c != _U:
        return at + 2 if c in _AFTER_BACKSLASH else -1
    unit = _escaped_unit(text, at, end)
    if unit < 0xD800 or unit > 0xDFFF:
        return at + 6 if unit >= 0 else -1
    if unit >= 0xDC00 or not 0xDC00 <= _escaped_unit(text, at + 6, end) <= 0xDFFF:
        return -1
    return at + 12


@kernel
def _after_string(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the end of the string whose opening quote is at `at`, escapes allowed."""
    at = _next_special(text, at + 1, end)
    while at < end:
        c = text[np.uint64(at)]
        if c == _QUOTE:
            return at + 1
        if c == _BACKSLASH:
            at = _after_escape(text, at, end)
        elif c < 0x20:
            return -1
        else:
            at = _after_character(text, at, end)
        if at < 0:
            return -1
        at = _next_special(text, at, end)
    return -1


@kernel
def _after_digits(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the end of the digits at `at`, -1 if there is none."""
    first = at
    while at < end and _ZERO <= text[np.uint64(at)] <= _NINE:
        at += 1
    return at if at > first else -1


@kernel
def _after_number(text: NDArray[np.uint8], at: int, end: int) -> int:
    if text[at] == _MINUS:
        at += 1
    if at < end and text[at] == _ZERO:
        at += 1
    else:
        at = _after_digits(text, at, end)
    if 0 <= at < end and text[at] == _POINT:
        at = _after_digits(text, at + 1, end)
    if 0 <= at < end and text[at] | 0x20 == ord("e"):
        at += 1
        if at < end and (text[at] == _PLUS or text[at] == _MINUS):
            at += 1
        at = _after_digits(text, at, end)
    return at


@inlined
def are_digits(w: np.uint64) -> bool:
    """Say whether the eight bytes of a word are all ASCII digits."""
    return bool(w & _TENS == _DIGITS and (w + _SIXES) & _TENS == _DIGITS)


@inlined
def number_of(w: np.uint64) -> int:
    """Return the number that eight digits spell, the first in the lowest byte.

    Neighbours are joined three times: to four pairs, two fours, one eight.
    """
    w = multiply(w & _UNITS, _JOIN_DIGITS) >> _8
    w = multiply(w & _PAIRS, _JOIN_PAIRS) >> _16
    return int(multiply(w & _FOURS, _JOIN_FOURS) >> _32)


@kernel
def after_literal(text: NDArray[np.uint8], at: int, end: int, literal: NDArray[np.uint8]) -> int:
    """Return the end of `literal` if it stands at `at`, else -1."""
    if at + literal.size > end:
        return -1
    for i in range(literal.size):
        if text[at + i] != literal[i]:
            return -1
    return at + literal.size


@kernel
def after_null(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the end of `null` if it stands at `at`, else -1."""
    return after_literal(text, at, end, _NULL)


@kernel
def _after_scalar(text: NDArray[np.uint8], at: int, end: int) -> int:
    if at >= end:
        return -1
    c = text[at]
    if c == _QUOTE:
        return _after_string(text, at, end)
    if c == ord("t"):
        return after_literal(text, at, end, _TRUE)
    if c == ord("f"):
        return after_literal(text, at, end, _FALSE)
    if c == ord("n"):
        return after_literal(text, at, end, _NULL)
    return _after_number(text, at, end)


@kernel
def _value_of_member(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where the value of the member whose key begins at `at` begins."""
    if at >= end or text[at] != _QUOTE:
        return -1
    at = _after_string(text, at, end)
    if at < 0:
        return -1
    at = after_space(text, at, end)
    if at >= end or text[at] != _COLON:
        return -1
    return after_space(text, at + 1, end)


@kernel
def after_value(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the end of the JSON value at `at`, whatever it is.

    -1 when it is malformed, deeper than a member of an event may be, or escapes a surrogate.
    """
    depth = 0
    objects = 0  # one bit a level, the innermost lowest: 1 in an object, 0 in an array
    while True:
        if at < end and (text[at] == _OPEN_OBJECT or text[at] == _OPEN_ARRAY):
            depth += 1
            if depth >= DEEPEST:
                return -1
            objects = objects * 2 + (1 if text[at] == _OPEN_OBJECT else 0)
            at = after_space(text, at + 1, end)
            closing = _CLOSE_OBJECT if objects & 1 else _CLOSE_ARRAY
            if at >= end or text[at] != closing:
                if objects & 1:
                    at = _value_of_member(text, at, end)
                    if at < 0:
                        return -1
                continue
        else:
            at = _after_scalar(text, at, end)
            if at < 0 or depth == 0:
                return at
            at = after_space(text, at, end)
        # Behind a value, inside a container: close as many as end here.
        while at < end and text[at] == (_CLOSE_OBJECT if objects & 1 else _CLOSE_ARRAY):
            depth -= 1
            objects >>= 1
            at += 1
            if depth == 0:
                return at
            at = after_space(text, at, end)
        if at >= end or text[at] != _COMMA:
            return -1
        at = after_space(text, at + 1, end)
        if objects & 1:
            at = _value_of_member(text, at, end)
            if at < 0:
                return -1


@kernel
def nests_deeper(text: NDArray[np.uint8], limit: int) -> bool:
    """Say whether brackets outside of strings nest deeper than `limit`; malformed text is fine."""
    depth = 0
    quoted = False
    at = 0
    while at < text.size:
        c = text[at]
        if c == _BACKSLASH and quoted:
            at += 1
        elif c == _QUOTE:
            quoted = not quoted
        elif not quoted and c in (_OPEN_OBJECT, _OPEN_ARRAY):
            depth += 1
            if depth > limit:
                return True
        elif not quoted and c in (_CLOSE_OBJECT, _CLOSE_ARRAY):
            depth -= 1
        at += 1
    return False
