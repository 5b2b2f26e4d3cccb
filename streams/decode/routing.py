"""Which partition a merchant belongs to, by Kafka's default partitioner.

Clients that hash keys in another way (librdkafka's default is CRC32) or send without a key put
payments where another worker would keep a second row of the same merchant. Those are found by
the id in the payment and sent on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from features.events import Events, Outcome

_PENDING = int(Outcome.PENDING)
_MISROUTED = int(Outcome.MISROUTED)
_TICK = 5


@kernel
def murmur2(text: NDArray[np.uint8], at: int, length: int) -> int:
    """Return Kafka's 32-bit murmur2 hash of `text[at:at + length]`, with the sign bit cleared.

    As in `org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`.
    """
    mask = 0xFFFFFFFF
    h = (np.int64(0x9747B28C) ^ np.int64(length)) & mask
    for block in range(length // 4):
        i = at + block * 4
        k = (
            np.int64(text[i])
            | (np.int64(text[i + 1]) << 8)
            | (np.int64(text[i + 2]) << 16)
            | (np.int64(text[i + 3]) << 24)
        )
        k = _times_m(k)
        k ^= k >> 24
        k = _times_m(k)
        h = _times_m(h) ^ k
    tail = at + (length // 4) * 4
    rest = length % 4
    if rest == 3:
        h ^= np.int64(text[tail + 2]) << 16
    if rest >= 2:
        h ^= np.int64(text[tail + 1]) << 8
    if rest >= 1:
        h ^= np.int64(text[tail])
        h = _times_m(h)
    h ^= h >> 13
    h = _times_m(h)
    h ^= h >> 15
    return int(h & 0x7FFFFFFF)


@kernel
def _times_m(value: np.int64) -> np.int64:
    """Multiply by murmur2's constant modulo 2**32, in signed 64-bit steps that never overflow."""
    low = (value & 0xFFFF) * 0x5BD1E995
    high = ((value >> 16) & 0xFFFF) * 0x5BD1E995
    return np.int64((low + ((high & 0xFFFF) << 16)) & 0xFFFFFFFF)


def home_of(key: bytes, partitions: int) -> int:
    """Return the partition that a merchant belongs to, of every topic that is keyed by merchant.

    >>> home_of(b"stall-7", 1)
    0
    """
    text = np.frombuffer(key, np.uint8)
    return int(murmur2(text, 0, len(text))) % partitions


@kernel
def mark_misrouted(events: Events, text: NDArray[np.uint8], partition: int, partitions: int) -> int:
    """Mark payments whose merchant belongs to another partition; return how many.

    Args:
        events: columns of one fold; `outcome` is changed from PENDING to MISROUTED.
        text: the bytes that the merchant ids stand in.
        partition: where the fold came from.
        partitions: how many partitions the topic has.
    """
    found = 0
    for i in range(len(events.offset)):
        if events.outcome[i] != _PENDING or events.kind[i] == _TICK:
            continue
        home = murmur2(text, events.merchant_at[i], events.merchant_length[i]) % partitions
        if home != partition:
            events.outcome[i] = _MISROUTED
            found += 1
    return found
