"""Why a merchant's limit is what it is, and what would raise it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from features.calendar import load_zone
from features.hashing import hash_of
from features.layout import ROW
from features.rows import row_at
from features.vector import FEATURES, compute
from scorers.entitlements import FULL, record_in
from scorers.evaluation import new_scratch
from scorers.hold_out import constant, is_held_out
from scorers.limits import FACTOR_FEATURES, args_of, factor_of, pd_factor, target
from scorers.policy import FACTOR_NAMES
from scorers.reasons import effects
from scorers.scorecard import probability, weights_of
from scorers.zones import name_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scorers.catalogue import Policies
    from scorers.entitlements import Entitled
    from scorers.limits import PolicyArgs
    from scorers.partition import Version


class FeatureEffect(msgspec.Struct, frozen=True):
    """One feature of a merchant.

    Attributes:
        name: as in docs/features.md.
        unit: unit of the value.
        value: the value; None when it is absent.
        log_odds: what it added to the log-odds of default.
        effect: the factor by which it moves the limit, against an ordinary merchant, less 1; 0
            in the hold-out, where it does not.
    """

    name: str
    unit: str
    value: float | None
    log_odds: float
    effect: float


class Lever(msgspec.Struct, frozen=True):
    """One thing that holds a limit down.

    Attributes:
        name: a factor of the policy, `probability_of_default`, or `volume`.
        factor: what it leaves of the limit now, 0 to 1; for volume 1.
        target_without: the amount that the figures would give if this factor were 1 (for volume:
            if a tenth more had been collected), minor units, before steps and cap.
    """

    name: str
    factor: float
    target_without: int


class Entitlement(msgspec.Struct, frozen=True):
    """One policy that a merchant is enrolled for, and its limit.

    Attributes:
        lender: the lender's id; None when the policy has not been published.
        product: what it is for; None likewise.
        limit: the limit in force, minor units.
        limit_version: how often it has changed.
        standing: what is left of it by how the merchant pays back; 1 when nothing is held
            against it.
    """

    lender: str | None
    product: str | None
    limit: int
    limit_version: int
    standing: float


class Explanation(msgspec.Struct, frozen=True):
    """A merchant's row, features, score and limit.

    Attributes:
        as_of: event time of the figures, epoch ms.
        zone: IANA time zone of the merchant's local days.
        offset: offset of the last record in them.
        probability_of_default: 0 to 1.
        limit: the limit in force, minor units.
        limit_version: how often it has changed.
        held_out: whether the merchant is in the hold-out, where payments do not move the limit.
        target: the amount that the figures give, minor units, before steps, cap and dead band;
            in the hold-out the starter amount or 0.
        cap: the policy's cap, minor units.
        features: every feature, in the order of the table.
        levers: what holds the limit down, the heaviest first; none in the hold-out.
        stopped: whether no limit of this policy rises for now (`scorers.raises`).
        model_version: scorecard used.
        policy_version: policy used.
        entitlements: what the merchant is enrolled for, in no order.
    """

    as_of: int
    zone: str
    offset: int
    probability_of_default: float
    limit: int
    limit_version: int
    held_out: bool
    target: int
    cap: int
    features: list[FeatureEffect]
    levers: list[Lever]
    stopped: bool
    model_version: int
    policy_version: int
    entitlements: list[Entitlement]


def explain(merchant_id: bytes, row: bytes, version: Version, zone: str, as_of: int) -> Explanation:
    """Explain everybody's limit of a row as the changelog carries it.

    Args:
        merchant_id: whose row it is.
        row: bytes of one row of the present schema version, what it is enrolled for included.
        version: the scorecard and policy in force.
        zone: IANA name of the installation's time zone, for a merchant that registered none.
        as_of: event time to roll the row to, epoch ms; a row that is later stays.

    Raises:
        ValueError: the bytes are not a row, or name a time zone that this machine does not know.
    """
    record = record_in(row[ROW.itemsize :])
    zone = name_in(record, zone)
    known = row_at(row[: ROW.itemsize], as_of, load_zone(zone))
    everybodys = version.policies.everybodys
    weights, policy = weights_of(version.scorecard), args_of(everybodys)
    scratch = new_scratch()
    compute(known, scratch.vector)
    pd = probability(scratch.vector, weights, scratch.contributions)
    held_out = bool(is_held_out(np.uint64(hash_of(merchant_id)), policy))
    if held_out:
        amount = 0.0
        if known.currency == policy.currency:
            amount = constant(scratch.vector, pd, known.limit, known.limit_version, policy)
        levers = []
    else:
        effects(scratch.vector, scratch.contributions, pd, weights, policy, scratch.effect)
        amount = target(scratch.vector, pd, policy)
        levers = _levers(scratch.vector, pd, amount, policy)
    return Explanation(
        as_of=int(known.clock),
        zone=zone,
        offset=int(known.offset),
        probability_of_default=pd,
        limit=int(known.limit),
        limit_version=int(known.limit_version),
        held_out=held_out,
        target=int(amount),
        cap=everybodys.cap,
        features=[
            FeatureEffect(
                name=feature.name,
                unit=feature.unit,
                value=float(value) if math.isfinite(value) else None,
                log_odds=float(contribution),
                effect=math.expm1(effect),
            )
            for feature, value, contribution, effect in zip(
                FEATURES, scratch.vector, scratch.contributions, scratch.effect, strict=True
            )
        ],
        levers=levers,
        stopped=any(stop.policy == everybodys.name for stop in version.stops),
        model_version=version.scorecard.version,
        policy_version=everybodys.version,
        entitlements=_entitlements(record, version.policies),
    )


def _entitlements(record: Entitled | None, policies: Policies) -> list[Entitlement]:
    if record is None:
        return []
    names = {policy.name.key: policy.name for policy in policies}
    return [
        Entitlement(
            lender=name.lender if (name := names.get(int(record.key[entry]))) else None,
            product=name.product if name else None,
            limit=int(record.limit[entry]),
            limit_version=int(record.version[entry]),
            standing=0.0 if record.closed else int(record.standing[entry]) / FULL,
        )
        for entry in np.flatnonzero(record.key)
    ]


def _levers(
    vector: NDArray[np.float64], pd: float, amount: float, policy: PolicyArgs
) -> list[Lever]:
    """Return what holds an amount down, the heaviest first."""
    factors = {
        name: factor_of(float(vector[feature]), n, policy)
        for n, (name, feature) in enumerate(zip(FACTOR_NAMES, FACTOR_FEATURES, strict=True))
    }
    factors["probability_of_default"] = pd_factor(pd, policy)
    levers = [Lever("volume", 1.0, int(amount * 1.1))]
    levers += [
        Lever(name, round(factor, 4), int(amount / factor))
        for name, factor in factors.items()
        if 0.0 < factor < 1.0
    ]
    return sorted(levers, key=lambda lever: -lever.target_without)
