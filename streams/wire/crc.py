"""CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), eight bytes a step, without the GIL."""

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel
from streams.wire.words import word

_POLYNOMIAL = 0x82F63B78
_BYTE = np.uint64(0xFF)
_ALL_ONES = np.uint64(0xFFFFFFFF)
_8, _16, _24, _32 = np.uint64(8), np.uint64(16), np.uint64(24), np.uint64(32)
_40, _48, _56 = np.uint64(40), np.uint64(48), np.uint64(56)


def _tables() -> NDArray[np.uint64]:
    """Row k: what a byte does to the checksum when k more zero bytes follow it."""
    tables = np.zeros((8, 256), np.uint64)
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = (rest >> 1) ^ (_POLYNOMIAL if rest & 1 else 0)
        tables[0, byte] = rest
    for row in range(1, 8):
        for byte in range(256):
            before = int(tables[row - 1, byte])
            tables[row, byte] = int(tables[0, before & 0xFF]) ^ (before >> 8)
    return tables


_TABLES = _tables()


@kernel
def crc32c(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Return the CRC-32C of `data[at:end]`, 0 to 2**32 - 1.

    >>> hex(crc32c(np.frombuffer(b"123456789", np.uint8), 0, 9))
    '0xe3069283'
    """
    rest = _ALL_ONES
    while at + 8 <= end:
        w = word(data, at) ^ rest
        rest = (
            _TABLES[7, w & _BYTE]
            ^ _TABLES[6, (w >> _8) & _BYTE]
            ^ _TABLES[5, (w >> _16) & _BYTE]
            ^ _TABLES[4, (w >> _24) & _BYTE]
            ^ _TABLES[3, (w >> _32) & _BYTE]
            ^ _TABLES[2, (w >> _40) & _BYTE]
            ^ _TABLES[1, (w >> _48) & _BYTE]
            ^ _TABLES[0, w >> _56]
        )
        at += 8
    while at < end:
        rest = _TABLES[0, (rest ^ np.uint64(data[at])) & _BYTE] ^ (rest >> _8)
        at += 1
    return int(rest ^ _ALL_ONES)
