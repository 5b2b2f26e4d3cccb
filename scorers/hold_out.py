"""The hold-out: merchants whose limit does not follow their payments.

Credit itself raises sales, so what limits do to sales and losses can only be judged against
merchants who have the same limit whatever they collect. Who is among them follows from the
merchant id alone, see docs/limits.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from features.compiler import inlined
from features.hashing import mix
from scorers.limits import earns_starter, may_have_a_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scorers.limits import PolicyArgs

SALT: Final = np.uint64(0x509A9583B66BB85A)
"""`hash_of(b"duoshou hold-out")`. Another one would draw other merchants: it never changes."""

_11: Final = np.uint64(11)
_PER_UNIT: Final = 2.0**-53


@inlined
def draw_of(hashed: np.uint64) -> float:
    """Return a merchant's draw, evenly spread over [0, 1).

    Args:
        hashed: `hash_bytes` of its id. It is salted and mixed once more, so that the draw has
            nothing to do with the place in the index; the partition comes from another hash.
    """
    return float(mix(hashed ^ SALT) >> _11) * _PER_UNIT


@inlined
def is_held_out(hashed: np.uint64, policy: PolicyArgs) -> bool:
    """Tell whether the merchant of a hash is in the hold-out; a larger share only adds some."""
    return draw_of(hashed) < policy.hold_out_share


@inlined
def constant(
    vector: NDArray[np.float64], pd: float, limit: int, limit_version: int, policy: PolicyArgs
) -> int:
    """Return the limit of a merchant in the hold-out: the starter amount, or 0.

    Once given it stays, whatever it collects: only a PD from the cut-off on ends it. Then it has
    to be earned anew, or passing time could give a limit to a shop that has closed.

    Args:
        vector: the merchant's features, in the order of `FEATURES`.
        pd: its probability of default.
        limit: its limit in force, minor units.
        limit_version: how often it has changed; 0 for a merchant that never had one.
        policy: the policy.
    """
    if not may_have_a_limit(pd, limit, limit_version, policy):
        return 0
    if limit > 0 or earns_starter(vector, limit, policy):
        return policy.starter_amount
    return 0


@inlined
def settle(
    whole: int, limit: int, limit_version: int, raised_at: int, as_of: int, policy: PolicyArgs
) -> tuple[int, bool]:
    """Return the limit from now on, and whether a raise waits, as `policy.decide` does.

    There is no dead band: who comes into the hold-out with another limit, or when the starter
    amount changes, shall not keep the old one.

    Args:
        whole: what the hold-out gives now (`constant`).
        limit: limit in force, minor units.
        limit_version: how often it has changed.
        raised_at: event time of the last raise, epoch ms; without meaning at version 0.
        as_of: event time of this decision, epoch ms.
        policy: the policy.
    """
    if whole > limit and limit_version > 0 and as_of - raised_at < policy.cool_down_ms:
        return limit, True
    return whole, False
