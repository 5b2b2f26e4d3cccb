"""Products and sums of squares beyond 64 bits, exact: (high, low) stands for high * 2**60 + low.

Sixty bits a limb, not sixty-four: then carries are plain integers that never wrap, compiled and
uncompiled alike.
"""

from typing import Final

from features.compiler import kernel

LIMB: Final = 60
_MASK: Final = 2**LIMB - 1
_HALF: Final = 30
_HALF_MASK: Final = 2**_HALF - 1


@kernel
def multiply(a: int, b: int) -> tuple[int, int]:
    """Return a * b as (high, low), 0 <= low < 2**60, for 0 <= a, b < 2**60.

    >>> multiply(2**59, 6)
    (3, 0)
    """
    a_high, a_low = a >> _HALF, a & _HALF_MASK
    b_high, b_low = b >> _HALF, b & _HALF_MASK
    cross = a_high * b_low + a_low * b_high
    low = a_low * b_low + ((cross & _HALF_MASK) << _HALF)
    return a_high * b_high + (cross >> _HALF) + (low >> LIMB), low & _MASK


@kernel
def add(high: int, low: int, more_high: int, more_low: int) -> tuple[int, int]:
    """Return the sum of two such numbers, 0 <= low < 2**60; `high` carries the sign.

    >>> add(0, 2**60 - 1, 0, 1), add(0, 0, 0, -1)
    ((1, 0), (-1, 1152921504606846975))
    """
    low += more_low
    return high + more_high + (low >> LIMB), low & _MASK


@kernel
def to_float(high: int, low: int) -> float:
    """Return the number as a float, off by at most 2 units in the last place.

    >>> to_float(1, 1) == 2.0**60
    True
    """
    return float(high) * 2.0**LIMB + float(low)
