"""What makes two payment events the same: the hash of an id, and that of all else they say."""

import numpy as np

from features.compiler import kernel
from features.hashing import absorb, mix

_0, _1 = np.uint64(0), np.uint64(1)
_KINDS = 16


@kernel
def payment_hash(merchant: np.uint64, payment: np.uint64) -> np.uint64:
    """Return the hash of a payment id within its merchant, never 0, from the hashes of both ids.

    Two payment systems may number from 1: their merchants' payments are not duplicates.
    """
    h = mix(absorb(merchant, payment))
    return h if h != _0 else _1


@kernel
def content_hash(
    kind: int,
    funding: int,
    amount: int,
    currency: int,
    occurred_at: int,
    original_occurred_at: int,
    merchant: np.uint64,
    code: np.uint64,
    payer: np.uint64,
    original_payment: np.uint64,
    channel: np.uint64,
) -> np.uint64:
    """Return the hash of every known field but the payment id.

    Numbers are the columns' own (-1: no original time), strings their `hash_bytes`, 0 where
    the field is absent or null.
    """
    h = absorb(merchant, np.uint64(kind + _KINDS * funding))
    h = absorb(h, np.uint64(amount))
    h = absorb(h, np.uint64(currency))
    h = absorb(h, np.uint64(occurred_at))
    h = absorb(h, np.uint64(original_occurred_at + 1))
    h = absorb(h, code)
    h = absorb(h, payer)
    h = absorb(h, original_payment)
    h = absorb(h, channel)
    return mix(h)
