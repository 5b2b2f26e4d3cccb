"""The names in a payment event, recognised eight bytes at a time."""

import numpy as np
from numpy.typing import NDArray

from features.compiler import inlined, kernel
from features.events import Funding, Kind
from streams.wire.words import word

FIELDS = (
    "payment_id",
    "kind",
    "merchant_id",
    "amount",
    "currency",
    "occurred_at",
    "code_id",
    "payer_id",
    "original_payment_id",
    "original_occurred_at",
    "funding",
    "channel",
)
"""The known fields; a field's number is its place here."""

(
    PAYMENT_ID,
    KIND,
    MERCHANT_ID,
    AMOUNT,
    CURRENCY,
    OCCURRED_AT,
    CODE_ID,
    PAYER_ID,
    ORIGINAL_PAYMENT_ID,
    ORIGINAL_OCCURRED_AT,
    FUNDING,
    CHANNEL,
) = range(len(FIELDS))

UNKNOWN, UNSURE = -1, -2


def _w(name: str, at: int = 0) -> np.uint64:
    """Up to eight bytes of `name` as `word` loads them."""
    return np.uint64(int.from_bytes(name[at : at + 8].encode(), "little"))


_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
_W_KIND, _W_AMOUNT, _W_CODE_ID, _W_FUNDING = _w("kind"), _w("amount"), _w("code_id"), _w("funding")
_W_CHANNEL, _W_PAYER_ID, _W_CURRENCY = _w("channel"), _w("payer_id"), _w("currency")
_W_PAYMENT_ID, _W_PAYMENT_ID_2 = _w("payment_id"), _w("payment_id", 2)
_W_MERCHANT_ID, _W_MERCHANT_ID_3 = _w("merchant_id"), _w("merchant_id", 3)
_W_OCCURRED_AT, _W_OCCURRED_AT_3 = _w("occurred_at"), _w("occurred_at", 3)
_W_ORIGINAL = _w("original")
_W_PAYMENT_8, _W_PAYMENT_11 = _w("original_payment_id", 8), _w("original_payment_id", 11)
_W_OCCURRED_8, _W_OCCURRED_12 = _w("original_occurred_at", 8), _w("original_occurred_at", 12)
_W_OUTFLOW = _w("outflow")
_W_PAYMENT, _W_REFUND, _W_VOID, _W_TICK = _w("payment"), _w("refund"), _w("void"), _w("tick")
_W_CHARGEBACK, _W_CHARGEBACK_2 = _w("chargeback"), _w("chargeback", 2)
_W_REVERSED_8, _W_REVERSED_11 = _w("chargeback_reversed", 8), _w("chargeback_reversed", 11)
_W_BALANCE, _W_DEBIT, _W_CREDIT, _W_OTHER = _w("balance"), _w("debit"), _w("credit"), _w("other")


_KIND_PAYMENT, _KIND_REFUND, _KIND_VOID = int(Kind.PAYMENT), int(Kind.REFUND), int(Kind.VOID)
_KIND_CHARGEBACK, _KIND_REVERSED = int(Kind.CHARGEBACK), int(Kind.CHARGEBACK_REVERSED)
_KIND_TICK, _KIND_OUTFLOW = int(Kind.TICK), int(Kind.OUTFLOW)
_BALANCE, _DEBIT = int(Funding.BALANCE), int(Funding.DEBIT)
_CREDIT, _OTHER = int(Funding.CREDIT), int(Funding.OTHER)


_KEYS = [f'"{name}":'.encode().ljust(24) for name in FIELDS]
KEY_SIZE = np.array([len(name) + 3 for name in FIELDS], np.int64)
"""Bytes of a field's key with its quotes and the colon right behind them."""

_KEY_WORDS = np.frombuffer(b"".join(_KEYS), np.uint64).reshape(len(FIELDS), 3).copy()
_KEY_MASKS = (
    np.where(np.arange(24) < KEY_SIZE[:, None], 0xFF, 0).astype(np.uint8).view(np.uint64).copy()
)
_KEY_WORDS &= _KEY_MASKS


@inlined
def stands_at(text: NDArray[np.uint8], at: int, field: int) -> bool:
    """Say whether `"<name of field>":` stands at `at`; False near the end of the text."""
    if at + 24 > text.size:
        return False
    return bool(
        word(text, at) & _KEY_MASKS[field, 0] == _KEY_WORDS[field, 0]
        and word(text, at + 8) & _KEY_MASKS[field, 1] == _KEY_WORDS[field, 1]
        and word(text, at + 16) & _KEY_MASKS[field, 2] == _KEY_WORDS[field, 2]
    )


@kernel
def field_number(text: NDArray[np.uint8], at: int, size: int) -> int:
    """Return the number of the field whose name is `text[at:at + size]`, else UNKNOWN.

    UNSURE when that lies too near the end of the text to load eight bytes at once.
    """
    if at + 8 > text.size:
        return UNSURE
    first = word(text, at) & _MASKS[min(size, 8)]
    if size == 4:
        return KIND if first == _W_KIND else UNKNOWN
    if size == 6:
        return AMOUNT if first == _W_AMOUNT else UNKNOWN
    if size == 7:
        if first == _W_CODE_ID:
            return CODE_ID
        if first == _W_FUNDING:
            return FUNDING
        return CHANNEL if first == _W_CHANNEL else UNKNOWN
    if size == 8:
        if first == _W_PAYER_ID:
            return PAYER_ID
        return CURRENCY if first == _W_CURRENCY else UNKNOWN
    if size < 10:
        return UNKNOWN
    last = word(text, at + size - 8)
    if size == 10 and first == _W_PAYMENT_ID and last == _W_PAYMENT_ID_2:
        return PAYMENT_ID
    if size == 11 and first == _W_MERCHANT_ID and last == _W_MERCHANT_ID_3:
        return MERCHANT_ID
    if size == 11 and first == _W_OCCURRED_AT and last == _W_OCCURRED_AT_3:
        return OCCURRED_AT
    if first != _W_ORIGINAL or size < 19:
        return UNKNOWN
    middle = word(text, at + 8)
    if size == 19 and middle == _W_PAYMENT_8 and last == _W_PAYMENT_11:
        return ORIGINAL_PAYMENT_ID
    if size == 20 and middle == _W_OCCURRED_8 and last == _W_OCCURRED_12:
        return ORIGINAL_OCCURRED_AT
    return UNKNOWN


@kernel
def kind_number(text: NDArray[np.uint8], at: int, size: int) -> int:
    """Return the `Kind` that `text[at:at + size]` spells, -1 for none (or UNSURE's case)."""
    if at + 8 > text.size:
        return -1
    first = word(text, at) & _MASKS[min(size, 8)]
    if size == 7 and first == _W_PAYMENT:
        return _KIND_PAYMENT
    if size == 7 and first == _W_OUTFLOW:
        return _KIND_OUTFLOW
    if size == 6 and first == _W_REFUND:
        return _KIND_REFUND
    if size == 4:
        if first == _W_TICK:
            return _KIND_TICK
        return _KIND_VOID if first == _W_VOID else -1
    if size < 10 or first != _W_CHARGEBACK:
        return -1
    last = word(text, at + size - 8)
    if size == 10 and last == _W_CHARGEBACK_2:
        return _KIND_CHARGEBACK
    if size == 19 and word(text, at + 8) == _W_REVERSED_8 and last == _W_REVERSED_11:
        return _KIND_REVERSED
    return -1


@kernel
def funding_number(text: NDArray[np.uint8], at: int, size: int) -> int:
    """Return the `Funding` that `text[at:at + size]` spells, -1 for none (or UNSURE's case)."""
    if at + 8 > text.size or size > 8:
        return -1
    first = word(text, at) & _MASKS[size]
    if first == _W_BALANCE:
        return _BALANCE
    if first == _W_DEBIT:
        return _DEBIT
    if first == _W_CREDIT:
        return _CREDIT
    return _OTHER if first == _W_OTHER else -1
