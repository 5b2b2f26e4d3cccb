"""Events as columns: what the decoder fills and the kernels read."""

from enum import IntEnum
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """What an event says."""

    PAYMENT = 0
    REFUND = 1
    CHARGEBACK = 2
    CHARGEBACK_REVERSED = 3
    VOID = 4
    TICK = 5
    OUTFLOW = 6
    RELAYED = 7
    """An event of another topic that the worker has put into the log: no payment."""


class Funding(IntEnum):
    """What the payer paid from."""

    UNKNOWN = 0
    BALANCE = 1
    DEBIT = 2
    CREDIT = 3
    OTHER = 4


class Outcome(IntEnum):
    """What became of one event."""

    PENDING = 0
    """Decoded well, not yet applied."""
    APPLIED = 1
    TICK = 2
    """A tick: it moves time and is nobody's payment."""
    REPLAYED = 3
    """The merchant's row already holds it: it comes again after a crash."""
    DUPLICATE = 4
    """The same payment id with the same content came before."""
    RELAYED = 5
    """An event of another topic, in its place in the log: the kernels pass over it."""

    # From here on the record is a dead letter.
    CONFLICT = 10
    """The same payment id came before with other content."""
    TOO_LATE = 11
    FROM_THE_FUTURE = 12
    OTHER_CURRENCY = 13
    OVERFLOW = 14

    MISROUTED = 20
    """On the wrong partition: keyed anew by the worker, no dead letter."""

    # Refused by the decoder.
    NULL_VALUE = 30
    NOT_UTF8 = 31
    NOT_JSON = 32
    NOT_AN_OBJECT = 33
    REPEATED_FIELD = 34
    MISSING_FIELD = 35
    WRONG_TYPE = 36
    OUT_OF_RANGE = 37
    UNKNOWN_KIND = 38
    UNKNOWN_CURRENCY = 39
    TOO_LARGE = 40
    TOO_DEEP = 41

    SLOW = 99
    """The fast decoder leaves it to the slow one; it never leaves the decoder."""


ABSENT: Final = -1
"""A time that was not given, or has not come yet."""


class Events(NamedTuple):
    """A batch of events in log order, one array entry an event.

    The merchant's id is `text[merchant_at:merchant_at + merchant_length]` of the bytes that
    travel beside the columns. Times are epoch milliseconds, amounts minor units.
    """

    offset: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    """The record's own Kafka timestamp, ms."""
    outcome: NDArray[np.uint8]
    """`Outcome`."""
    kind: NDArray[np.uint8]
    """`Kind`."""
    merchant_at: NDArray[np.int64]
    merchant_length: NDArray[np.int32]
    merchant_hash: NDArray[np.uint64]
    payment_hash: NDArray[np.uint64]
    content_hash: NDArray[np.uint64]
    """Of everything that a repetition of the same payment must repeat."""
    payer_hash: NDArray[np.uint64]
    """0 when no payer was given."""
    amount: NDArray[np.int64]
    """Minor units, above 0; 0 for a tick."""
    currency: NDArray[np.int32]
    """`currency_index`."""
    occurred_at: NDArray[np.int64]
    original_at: NDArray[np.int64]
    """When the payment occurred that this takes back; -1 when not given."""
    funding: NDArray[np.uint8]
    """`Funding`."""


def allocate(n: int) -> Events:
    """Return room for `n` events: all zero, pending, and without an original time.

    >>> allocate(3).original_at.tolist()
    [-1, -1, -1]
    """
    return Events(
        offset=np.zeros(n, np.int64),
        timestamp=np.zeros(n, np.int64),
        outcome=np.zeros(n, np.uint8),
        kind=np.zeros(n, np.uint8),
        merchant_at=np.zeros(n, np.int64),
        merchant_length=np.zeros(n, np.int32),
        merchant_hash=np.zeros(n, np.uint64),
        payment_hash=np.zeros(n, np.uint64),
        content_hash=np.zeros(n, np.uint64),
        payer_hash=np.zeros(n, np.uint64),
        amount=np.zeros(n, np.int64),
        currency=np.zeros(n, np.int32),
        occurred_at=np.zeros(n, np.int64),
        original_at=np.full(n, ABSENT, np.int64),
        funding=np.zeros(n, np.uint8),
    )


def places_of(outcomes: NDArray[np.uint8], outcome: Outcome) -> list[int]:
    """Return where an outcome stands. Of most there is none, which the bytes say fastest.

    >>> places_of(np.array([1, 5, 1, 5], np.uint8), Outcome.RELAYED)
    [1, 3]
    """
    if outcome not in outcomes.tobytes():
        return []
    found: list[int] = np.flatnonzero(outcomes == outcome).tolist()
    return found


def currency_index(code: str) -> int:
    """Return the number that stands for a currency of three capital letters in kernels.

    Raises:
        ValueError: when `code` is anything else.

    >>> currency_index("AAA"), currency_index("CNY")
    (0, 1714)
    """
    if len(code) != 3 or not all("A" <= letter <= "Z" for letter in code):
        raise ValueError(f"a currency is three capital letters, not {code!r}")
    first, second, third = (ord(letter) - 65 for letter in code)
    return (first * 26 + second) * 26 + third


@cache
def currency_code(index: int) -> str:
    """Return the three letters that `currency_index` made a number of.

    Raises:
        ValueError: when `index` stands for no currency.

    >>> currency_code(1714)
    'CNY'
    """
    if not 0 <= index < 26**3:
        raise ValueError(f"{index} stands for no currency")
    return "".join(chr(65 + index // 26**place % 26) for place in (2, 1, 0))
