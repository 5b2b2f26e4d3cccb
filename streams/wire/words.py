"""Eight bytes at once: the little-endian loads that the kernels of this package share."""

import numpy as np
from numpy.typing import NDArray

from features.compiler import inlined, kernel

_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
_FIVE, _SIX, _SEVEN = np.uint64(5), np.uint64(6), np.uint64(7)
_8, _16, _24, _32 = np.uint64(8), np.uint64(16), np.uint64(24), np.uint64(32)
_40, _48, _56 = np.uint64(40), np.uint64(48), np.uint64(56)


@inlined
def word(text: NDArray[np.uint8], at: int) -> np.uint64:
    """Return `text[at:at + 8]` as a little-endian integer; all eight bytes must exist.

    Written byte by byte: the compiler makes one load of it, and it needs no alignment.
    The index is unsigned so that no check for negative indices stands in the way.
    """
    i = np.uint64(at)
    return np.uint64(
        np.uint64(text[i])
        | np.uint64(text[i + _ONE]) << _8
        | np.uint64(text[i + _TWO]) << _16
        | np.uint64(text[i + _THREE]) << _24
        | np.uint64(text[i + _FOUR]) << _32
        | np.uint64(text[i + _FIVE]) << _40
        | np.uint64(text[i + _SIX]) << _48
        | np.uint64(text[i + _SEVEN]) << _56
    )


@kernel
def copy(source: NDArray[np.uint8], at: int, target: NDArray[np.uint8], to: int, size: int) -> None:
    """Copy `source[at:at + size]` to `target[to:]`; both must exist, and not overlap.

    Twenty times faster than assigning a slice inside a kernel.
    """
    i, j = np.uint64(at), np.uint64(to)
    for k in range(np.uint64(size)):
        target[j + k] = source[i + k]
