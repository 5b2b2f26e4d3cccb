"""The limit rule as the kernels run it: what a policy gives for a merchant's figures, and when.

The formula and worked figures stand in docs/limits.md. Two parts: `wanted` is what the figures
of this moment give, whole steps and all; `decide` is what becomes of the limit in force. Merchants
in the hold-out have rules of their own (`scorers.hold_out`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

import numpy as np

from features.calendar import NEVER
from features.compiler import JIT, inlined, kernel, pasted
from features.events import currency_index
from scorers.policy import FACTOR_NAMES, LOG1P_FACTORS, Factor, Policy, Product, check_policy
from scorers.scorecard import FEATURE_NAMES, log1p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FACTOR_FEATURES = tuple(FEATURE_NAMES.index(name) for name in FACTOR_NAMES)
NET_28 = FEATURE_NAMES.index("net_28")
ACTIVE_DAYS_28 = FEATURE_NAMES.index("active_days_28")
PAYMENTS_28 = FEATURE_NAMES.index("payments_28")
PAYERS_28 = FEATURE_NAMES.index("payers_28")

CREDIT: Final = 0
"""The limit is what volume, factors and PD give."""
COVER: Final = 1
"""The limit is what the months' payments give (`scorers.cover`)."""
NO_LIMIT: Final = 2
"""There is no limit, only consent."""

POLICY: Final = np.dtype(
    [
        ("key", "<u8"),
        ("version", "<i8"),
        ("currency", "<i8"),
        ("ends_at", "<i8"),
        ("advance_rate", "<f8"),
        ("pd_cut_off", "<f8"),
        ("pd_floor", "<f8"),
        ("pd_band", "<f8"),
        ("worst", "<f8", (len(FACTOR_NAMES),)),
        ("per_span", "<f8", (len(FACTOR_NAMES),)),
        ("floor", "<f8", (len(FACTOR_NAMES),)),
        ("logarithm", "u1", (len(FACTOR_NAMES),)),
        ("starter_amount", "<i8"),
        ("starter_payments", "<i8"),
        ("starter_payers", "<i8"),
        ("starter_days", "<i8"),
        ("starter_keep", "<f8"),
        ("cap", "<i8"),
        ("step", "<i8"),
        ("dead_band", "<f8"),
        ("raise_step", "<i8"),
        ("cool_down_ms", "<i8"),
        ("hold_out_share", "<f8"),
        ("rule", "<i8"),
        ("cover_rate", "<f8"),
        ("cover_carry", "<f8"),
    ],
    align=True,
)
"""A policy as the kernels read it; `PolicyArgs` says what is in it."""

_RECORD: Final = np.dtype((np.record, POLICY))
_1: Final = np.uint64(1)


class PolicyArgs(Protocol):
    """One policy as the kernels read it; the arrays are in the order of `FACTOR_NAMES`."""

    key: int
    """`policy.key_of` its lender and product."""
    version: int
    currency: int
    ends_at: int
    """Event time from which on it gives nothing, epoch ms."""
    advance_rate: float
    pd_cut_off: float
    pd_floor: float
    pd_band: float
    worst: NDArray[np.float64]
    per_span: NDArray[np.float64]
    """1 / (best - worst)."""
    floor: NDArray[np.float64]
    logarithm: NDArray[np.uint8]
    """Whether the feature is counted in ln(1 + x)."""
    starter_amount: int
    starter_payments: int
    starter_payers: int
    starter_days: int
    starter_keep: float
    cap: int
    step: int
    dead_band: float
    raise_step: int
    cool_down_ms: int
    hold_out_share: float
    rule: int
    """`CREDIT`, `COVER` or `NO_LIMIT`."""
    cover_rate: float
    cover_carry: float


class PolicyViews(Protocol):
    """Several policies: `policies[i]` is one."""

    def __getitem__(self, i: int) -> PolicyArgs:
        """Return policy `i`."""


class PolicyTable(NamedTuple):
    """The policies in force, laid out for the kernels: the first is every merchant's."""

    keys: NDArray[np.uint64]
    """Their keys; ascending from entry 1 on."""
    slots: NDArray[np.int32]
    """Where the policy of a key stands, from slot `key % len(slots)` on; -1 where a slot is free.
    A power of two of them, at least half of them free. The first policy is in none."""
    table: NDArray[np.uint8]
    """The bytes of the policies, for `as_policies`."""


if JIT:

    @pasted
    def as_policies(table: NDArray[np.uint8]) -> PolicyViews:
        """Return the policies whose bytes are `table`."""
        return table.view(POLICY)

else:

    def as_policies(table: NDArray[np.uint8]) -> PolicyViews:
        """Return the policies whose bytes are `table`."""
        return cast(PolicyViews, table.view(_RECORD).view(np.recarray))


@kernel
def index_of(key: np.uint64, policies: PolicyTable) -> int:
    """Return where the policy of a key stands behind the first one, or -1."""
    last = np.uint64(len(policies.slots) - 1)
    slot = key & last
    while True:
        place = int(policies.slots[slot])
        if place < 0 or policies.keys[place] == key:
            return place
        slot = (slot + _1) & last


def table_of(policies: Sequence[Policy]) -> PolicyTable:
    """Lay policies out for the kernels, the first one first.

    Args:
        policies: the platform's, and behind it the others by ascending key.

    Raises:
        ValueError: `check_policy` refuses one of them.
    """
    table = np.zeros(len(policies), _RECORD)
    for entry, policy in zip(table, policies, strict=True):
        _fill(cast(PolicyArgs, entry), policy)
    keys = table["key"].copy()
    return PolicyTable(keys, _slots_of(keys), table.view(np.uint8))


def _slots_of(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    slots = np.full(1 << (2 * len(keys)).bit_length(), -1, np.int32)
    for place, key in enumerate(keys.tolist()[1:], 1):
        slot = key % len(slots)
        while slots[slot] >= 0:
            slot = (slot + 1) % len(slots)
        slots[slot] = place
    return slots


def args_of(policy: Policy) -> PolicyArgs:
    """Lay a policy out for the kernels.

    Raises:
        ValueError: `check_policy` refuses it.
    """
    table = np.zeros(1, _RECORD)
    args = cast(PolicyArgs, table[0])
    _fill(args, policy)
    return args


def _fill(entry: PolicyArgs, policy: Policy) -> None:
    check_policy(policy)
    factors: list[Factor] = [getattr(policy, name) for name in FACTOR_NAMES]
    ends = np.array([(factor.worst, factor.best) for factor in factors], np.float64)
    logarithm = np.array([name in LOG1P_FACTORS for name in FACTOR_NAMES], np.bool_)
    ends[logarithm] = np.log1p(ends[logarithm])
    for name in POLICY.names or ():
        if name in Policy.__struct_fields__ and name != "currency":
            setattr(entry, name, getattr(policy, name))
    entry.key = policy.name.key
    entry.currency = currency_index(policy.currency)
    entry.ends_at = NEVER if policy.valid_to is None else policy.valid_to
    entry.worst[:] = ends[:, 0]
    entry.per_span[:] = 1.0 / (ends[:, 1] - ends[:, 0])
    entry.floor[:] = [factor.floor for factor in factors]
    entry.logarithm[:] = logarithm
    if policy.cover is not None:
        entry.rule = COVER
        entry.cover_rate, entry.cover_carry = policy.cover.rate, policy.cover.carry
    elif policy.product is Product.FUND_SWEEP:
        entry.rule = NO_LIMIT


@inlined
def factor_of(value: float, factor: int, policy: PolicyArgs) -> float:
    """Return what a feature leaves of the limit, in [floor, 1]; absent counts as half-way."""
    floor = float(policy.floor[factor])
    if not math.isfinite(value):
        return (1.0 + floor) / 2.0
    value = float(value)
    if policy.logarithm[factor]:
        value = log1p(value)
    share = (value - float(policy.worst[factor])) * float(policy.per_span[factor])
    return floor + (1.0 - floor) * min(max(share, 0.0), 1.0)


@inlined
def pd_factor(pd: float, policy: PolicyArgs) -> float:
    """Return what the probability of default leaves of the limit.

    Falls evenly from 1 to `pd_floor` just below the cut-off, and is 0 from there. The drop
    instead of a line to 0 keeps a PD that wavers by 1 % from moving a limit by more than that.
    """
    if not pd < policy.pd_cut_off:
        return 0.0
    return 1.0 - (1.0 - policy.pd_floor) * (pd / policy.pd_cut_off)


@inlined
def target(vector: NDArray[np.float64], pd: float, policy: PolicyArgs) -> float:
    """Return the amount that volume, factors and PD give, in minor units, before any rounding."""
    net = float(vector[NET_28])
    if not (math.isfinite(net) and net > 0.0):
        return 0.0
    amount = policy.advance_rate * net * pd_factor(pd, policy)
    for factor in range(len(FACTOR_FEATURES)):
        amount *= factor_of(vector[FACTOR_FEATURES[factor]], factor, policy)
    return amount


@inlined
def earns_starter(vector: NDArray[np.float64], limit: int, policy: PolicyArgs) -> bool:
    """Tell whether a merchant has enough payments, payers and days for the starter amount.

    Who has a limit already keeps it with `starter_keep` of the counts, or one voided payment
    would take it away and the next one give it back.
    """
    share = policy.starter_keep if limit > 0 else 1.0
    return bool(
        vector[PAYMENTS_28] >= share * policy.starter_payments
        and vector[PAYERS_28] >= share * policy.starter_payers
        and vector[ACTIVE_DAYS_28] >= share * policy.starter_days
    )


@inlined
def may_have_a_limit(pd: float, limit: int, limit_version: int, policy: PolicyArgs) -> bool:
    """Tell whether the PD lies below the cut-off, or well below it after a cut to 0."""
    bar = policy.pd_cut_off
    if limit == 0 and limit_version > 0:
        bar *= 1.0 - policy.pd_band
    return pd < bar


@inlined
def wanted(
    vector: NDArray[np.float64], pd: float, limit: int, limit_version: int, policy: PolicyArgs
) -> int:
    """Return the limit that a merchant's figures give now: whole steps, in [0, cap].

    Args:
        vector: the merchant's features, in the order of `FEATURES`.
        pd: its probability of default.
        limit: its limit in force, minor units.
        limit_version: how often it has changed; 0 for a merchant that never had one.
        policy: the policy.
    """
    if not may_have_a_limit(pd, limit, limit_version, policy):
        return 0
    amount = target(vector, pd, policy)
    if earns_starter(vector, limit, policy):
        amount = max(amount, float(policy.starter_amount))
    return int(min(amount, float(policy.cap))) // policy.step * policy.step


@inlined
def decide(
    whole: int, limit: int, limit_version: int, raised_at: int, as_of: int, policy: PolicyArgs
) -> tuple[int, bool]:
    """Return the limit from now on, and whether a raise waits for the end of the cool-down.

    Args:
        whole: what the figures give now (`wanted`).
        limit: limit in force, minor units.
        limit_version: how often it has changed.
        raised_at: event time of the last raise, epoch ms; without meaning at version 0.
        as_of: event time of this decision, epoch ms.
        policy: the policy.
    """
    band = max(policy.step, int(policy.dead_band * limit))
    if whole < limit:
        # The end of a limit and a lowered cap are no wavering: they are not held back.
        if whole == 0 or limit > policy.cap or limit - whole > band:
            return whole, False
        return limit, False
    if whole - limit <= band:
        return limit, False
    if limit_version > 0 and as_of - raised_at < policy.cool_down_ms:
        return limit, True
    raised = min(whole, limit + policy.raise_step)
    return raised, whole - raised > max(policy.step, int(policy.dead_band * raised))
