"""One hash for every id: 64 bits, the same in every process and on every machine.

Eight bytes at a time are xor-ed in, multiplied by an odd constant and folded; the last bytes are
padded with zeros, and the length goes in first so that padding makes no two ids alike. Stafford's
thirteenth variant of the 64-bit finaliser (as in SplitMix64: Steele, Lea and Flood 2014) mixes
the end. The hash is not keyed: it keeps apart ids that a payment system makes, and is no
defence against one that looks for collisions.
"""

import numpy as np
from numpy.typing import NDArray

from features.compiler import JIT, kernel

_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_0, _1, _8 = np.uint64(0), np.uint64(1), np.uint64(8)
_27, _30, _31, _32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ALL = 0xFFFFFFFFFFFFFFFF

if JIT:

    @kernel
    def multiply(a: np.uint64, b: np.uint64) -> np.uint64:
        """Return `a * b` modulo 2**64."""
        return a * b

else:

    def multiply(a: np.uint64, b: np.uint64) -> np.uint64:
        """Return `a * b` modulo 2**64; numpy's own product would warn."""
        return np.uint64(int(a) * int(b) & _ALL)


@kernel
def mix(h: np.uint64) -> np.uint64:
    """Return a permutation of the 64-bit numbers in which every bit depends on every other."""
    h = multiply(h ^ (h >> _30), _FIRST)
    h = multiply(h ^ (h >> _27), _SECOND)
    return h ^ (h >> _31)


@kernel
def _word(text: NDArray[np.uint8], i: np.uint64, size: np.uint64) -> np.uint64:
    """Return up to eight bytes from `i` on as a little-endian number."""
    w = _0
    for j in range(size):
        k = np.uint64(j)
        w |= np.uint64(text[i + k]) << (k * _8)
    return w


@kernel
def absorb(h: np.uint64, word: np.uint64) -> np.uint64:
    """Return `h` with eight more bytes taken in."""
    h = multiply(h ^ word, _MULTIPLIER)
    return h ^ (h >> _32)


@kernel
def hash_bytes(text: NDArray[np.uint8], at: int, length: int) -> np.uint64:
    """Return the hash of `text[at:at + length]`, never 0.

    The bounds are the caller's to keep: a kernel checks none.
    """
    i = np.uint64(at)
    left = np.uint64(length)
    h = multiply(left + _1, _SEED)
    while left >= _8:
        h = absorb(h, _word(text, i, _8))
        i += _8
        left -= _8
    if left > _0:
        h = absorb(h, _word(text, i, left))
    h = mix(h)
    return h if h != _0 else _SEED


def hash_of(data: bytes) -> int:
    """Return `hash_bytes` of all of `data`.

    >>> hex(hash_of(b"merchant-1")) == hex(hash_of(b"merchant-1"))
    True
    >>> hash_of(b"a") == hash_of(b"a" + bytes(1))
    False
    """
    return int(hash_bytes(np.frombuffer(data, np.uint8), 0, len(data)))
