"""What a credit policy gives a merchant now: the limit rule or the hold-out's, and the standing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.compiler import inlined
from scorers.entitlements import FULL
from scorers.hold_out import constant
from scorers.limits import wanted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from features.views import Row
    from scorers.limits import PolicyArgs


@inlined
def credit_of(
    row: Row,
    held_out: bool,
    vector: NDArray[np.float64],
    pd: float,
    limit: int,
    limit_version: int,
    standing: int,
    policy: PolicyArgs,
) -> int:
    """Return the limit that a merchant's figures give now: whole steps, in [0, cap].

    Args:
        row: of the merchant.
        held_out: whether it is in the hold-out.
        vector: its features, in the order of `FEATURES`.
        pd: its probability of default.
        limit: the limit in force, minor units.
        limit_version: how often it has changed; 0 for a merchant that never had one.
        standing: share of what the figures give, in 1/10,000; nothing at or below 0.
        policy: the policy, whose rule is `CREDIT`.
    """
    if row.currency != policy.currency or row.clock >= policy.ends_at or standing <= 0:
        return 0
    if held_out:
        return constant(vector, pd, limit, limit_version, policy)
    whole = wanted(vector, pd, limit, limit_version, policy)
    if standing != FULL:
        whole = min(whole * standing // FULL, policy.cap) // policy.step * policy.step
    return whole
