"""The policy: from a merchant's features and its probability of default to its limit.

The formula and worked figures stand in docs/limits.md. Two parts: `wanted` is what the figures
of this moment give, whole steps and all; `decide` is what becomes of the limit in force. Merchants
in the hold-out have rules of their own (`scorers.hold_out`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from features.bounds import LARGEST_AMOUNT
from features.compiler import inlined
from features.events import currency_index
from scorers.scorecard import FEATURE_NAMES, log1p

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The features that a policy looks at, beside the volume, each through one `Factor`.
FACTOR_NAMES = (
    "tenure_days",
    "active_days_28",
    "payers_28",
    "largest_payer_share",
    "volatility_28",
)
LOG1P_FACTORS = ("payers_28",)

FACTOR_FEATURES = tuple(FEATURE_NAMES.index(name) for name in FACTOR_NAMES)
NET_28 = FEATURE_NAMES.index("net_28")
ACTIVE_DAYS_28 = FEATURE_NAMES.index("active_days_28")
PAYMENTS_28 = FEATURE_NAMES.index("payments_28")
PAYERS_28 = FEATURE_NAMES.index("payers_28")

SMALLEST_SPAN = 1e-9
LARGEST_HOLD_OUT = 0.1


class Factor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feature's part in the limit: a straight line from `floor` to 1, flat outside it.

    Payers are counted in ln(1 + payers). An absent feature counts as half-way.

    Attributes:
        worst: value at which only `floor` is left.
        best: value from which nothing is taken off; may lie on either side of `worst`.
        floor: least factor, above 0 and at most 1.
    """

    worst: float
    best: float
    floor: float


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One lender's rule for one product, as it is published on the topic `policies`.

    Amounts are minor units of `currency` (fen for CNY); a merchant who collects in another
    currency has no limit.

    Attributes:
        version: rises with each one published; the built-in one is 0.
        lender: lender's id.
        product: what the limit is for.
        currency: ISO 4217 code.
        advance_rate: share of 28 days' net payments that is lent, when nothing speaks against it.
        pd_cut_off: probability of default from which the limit is 0.
        pd_floor: factor of a PD just below the cut-off; the factor of a PD of 0 is 1.
        pd_band: a merchant cut to 0 comes back once its PD is this share below the cut-off.
        tenure_days: factor of the days since the first payment.
        active_days_28: factor of the days with payments.
        payers_28: factor of the number of different payers, in ln(1 + payers).
        largest_payer_share: factor of the share of the largest payer.
        volatility_28: factor of the daily net's standard deviation over its mean.
        starter_amount: least limit of whoever fulfils the three starter counts; 0 for none.
        starter_payments: payments in 28 days.
        starter_payers: different payers in 28 days.
        starter_days: days with payments in 28 days.
        starter_keep: share of the three counts that is enough to keep a limit once given.
        cap: no limit is above it.
        step: a limit is a multiple of it.
        dead_band: share of the limit; a change of no more than this, or one step, waits.
        raise_step: most that one raise adds.
        cool_down_ms: least event time between two raises, in milliseconds.
        hold_out_share: share of the merchants, 0 to 0.1, whose limit is the starter amount
            whatever they collect; 0 for none.
    """

    version: int
    lender: str = "platform"
    product: str = "loan"
    currency: str = "CNY"
    advance_rate: float = 0.25
    pd_cut_off: float = 0.20
    pd_floor: float = 0.5
    pd_band: float = 0.1
    tenure_days: Factor = Factor(worst=0, best=180, floor=0.5)
    active_days_28: Factor = Factor(worst=0, best=20, floor=0.4)
    payers_28: Factor = Factor(worst=0, best=60, floor=0.4)
    largest_payer_share: Factor = Factor(worst=1.0, best=0.3, floor=0.5)
    volatility_28: Factor = Factor(worst=3.0, best=1.0, floor=0.5)
    starter_amount: int = 50_000
    starter_payments: int = 10
    starter_payers: int = 5
    starter_days: int = 3
    starter_keep: float = 0.5
    cap: int = 30_000_000
    step: int = 10_000
    # The running day alone moves 28 days by a 28th, and the trend with it: 5 % would have every
    # steady stall cut each morning and raised each evening.
    dead_band: float = 0.10
    raise_step: int = 500_000
    cool_down_ms: int = 86_400_000
    hold_out_share: float = 0.01


BUILT_IN = Policy(version=0)


class PolicyArgs(NamedTuple):
    """A policy as the kernels read it; the arrays are in the order of `FACTOR_NAMES`."""

    version: int
    currency: int
    advance_rate: float
    pd_cut_off: float
    pd_floor: float
    pd_band: float
    worst: NDArray[np.float64]
    per_span: NDArray[np.float64]
    """1 / (best - worst)."""
    floor: NDArray[np.float64]
    logarithm: NDArray[np.bool_]
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


def load_policy(raw: bytes) -> Policy:
    """Read a policy from JSON.

    Raises:
        ValueError: it is malformed; the message lists everything that is wrong.
    """
    try:
        policy = msgspec.json.decode(raw, type=Policy)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a policy: {error}") from None
    check_policy(policy)
    return policy


def dump_policy(policy: Policy) -> bytes:
    """Write a policy as JSON that `load_policy` reads back unchanged."""
    return msgspec.json.encode(policy)


def check_policy(policy: Policy) -> None:
    """Refuse a policy that cannot mean what it says.

    Raises:
        ValueError: lists everything that is wrong.
    """
    wrong = [*_wrong_amounts(policy), *_wrong_shares(policy)]
    if policy.version < 0:
        wrong.append(f"version is {policy.version}, below 0")
    wrong.extend(f"{name} is empty" for name in ("lender", "product") if not getattr(policy, name))
    try:
        currency_index(policy.currency)
    except ValueError as error:
        wrong.append(str(error))
    for name in FACTOR_NAMES:
        factor: Factor = getattr(policy, name)
        if not (math.isfinite(factor.worst) and math.isfinite(factor.best)):
            wrong.append(f"{name} has a bound that is not finite")
        if name in LOG1P_FACTORS and min(factor.worst, factor.best) < 0:
            wrong.append(f"{name} has a bound below 0, which has no logarithm")
        if abs(factor.worst - factor.best) < SMALLEST_SPAN:
            wrong.append(f"{name} has the same worst and best, {factor.best}")
        if not 0 < factor.floor <= 1:
            wrong.append(f"{name} has a floor of {factor.floor}, not in (0, 1]")
    if wrong:
        raise ValueError("policy refused: " + "; ".join(wrong))


def _wrong_amounts(policy: Policy) -> list[str]:
    wrong = []
    for name, least in (("step", 1), ("cap", 0), ("raise_step", 1), ("starter_amount", 0)):
        amount: int = getattr(policy, name)
        if not least <= amount <= LARGEST_AMOUNT:
            wrong.append(f"{name} is {amount}, not between {least} and 10**15")
        elif policy.step >= 1 and amount % policy.step:
            wrong.append(f"{name} is {amount}, not a multiple of the step {policy.step}")
    if policy.raise_step <= policy.step:
        wrong.append(f"raise_step is {policy.raise_step}: one step is inside the dead band")
    if policy.starter_amount > min(policy.cap, policy.raise_step):
        wrong.append(f"starter_amount is {policy.starter_amount}, above the cap or the raise_step")
    if 0 < policy.starter_amount <= policy.step:
        wrong.append(f"starter_amount is {policy.starter_amount}: it is inside the dead band")
    wrong.extend(
        f"{name} is {getattr(policy, name)}, not between 0 and 10**15"
        for name in ("starter_payers", "starter_days", "cool_down_ms")
        if not 0 <= getattr(policy, name) <= LARGEST_AMOUNT
    )
    # With 0 even a merchant of whom nothing is left would keep a limit for ever.
    if not 1 <= policy.starter_payments <= LARGEST_AMOUNT:
        wrong.append(f"starter_payments is {policy.starter_payments}, not between 1 and 10**15")
    return wrong


def _wrong_shares(policy: Policy) -> list[str]:
    wrong = []
    if not 0 < policy.advance_rate <= 100:
        wrong.append(f"advance_rate is {policy.advance_rate}, not in (0, 100]")
    wrong.extend(
        f"{name} is {getattr(policy, name)}, not in (0, 1]"
        for name in ("pd_cut_off", "starter_keep")
        if not 0 < getattr(policy, name) <= 1
    )
    wrong.extend(
        f"{name} is {getattr(policy, name)}, not in [0, 1)"
        for name in ("pd_floor", "pd_band", "dead_band")
        if not 0 <= getattr(policy, name) < 1
    )
    if not 0 <= policy.hold_out_share <= LARGEST_HOLD_OUT:
        wrong.append(f"hold_out_share is {policy.hold_out_share}, not in [0, {LARGEST_HOLD_OUT}]")
    return wrong


def args_of(policy: Policy) -> PolicyArgs:
    """Lay a policy out for the kernels.

    Raises:
        ValueError: `check_policy` refuses it.
    """
    check_policy(policy)
    factors: list[Factor] = [getattr(policy, name) for name in FACTOR_NAMES]
    logarithm = np.array([name in LOG1P_FACTORS for name in FACTOR_NAMES], np.bool_)
    ends = np.array([(factor.worst, factor.best) for factor in factors], np.float64)
    ends[logarithm] = np.log1p(ends[logarithm])
    return PolicyArgs(
        version=policy.version,
        currency=currency_index(policy.currency),
        advance_rate=float(policy.advance_rate),
        pd_cut_off=float(policy.pd_cut_off),
        pd_floor=float(policy.pd_floor),
        pd_band=float(policy.pd_band),
        worst=ends[:, 0].copy(),
        per_span=1.0 / (ends[:, 1] - ends[:, 0]),
        floor=np.array([factor.floor for factor in factors], np.float64),
        logarithm=logarithm,
        starter_amount=policy.starter_amount,
        starter_payments=policy.starter_payments,
        starter_payers=policy.starter_payers,
        starter_days=policy.starter_days,
        starter_keep=float(policy.starter_keep),
        cap=policy.cap,
        step=policy.step,
        dead_band=float(policy.dead_band),
        raise_step=policy.raise_step,
        cool_down_ms=policy.cool_down_ms,
        hold_out_share=float(policy.hold_out_share),
    )


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
