"""Policies: what each lender gives for which product, as data that is checked on its way in.

What a policy makes of a merchant's figures is `scorers.limits`; which one is in force
`scorers.catalogue`.
"""

from __future__ import annotations

import math
from enum import StrEnum
from functools import cache
from typing import NamedTuple

import msgspec

from features.bounds import LARGEST_AMOUNT, Identifier, Milliseconds, Version
from features.events import currency_index
from features.hashing import hash_of
from scorers.applications.terms import Lending, Terms, wrong_lending
from scorers.entitlements import FULL, MOST_STANDING
from scorers.funds.terms import FundTerms

# The features that a policy looks at, beside the volume, each through one `Factor`.
FACTOR_NAMES = (
    "tenure_days",
    "active_days_28",
    "payers_28",
    "largest_payer_share",
    "volatility_28",
)
LOG1P_FACTORS = ("payers_28",)

SMALLEST_SPAN = 1e-9
LARGEST_HOLD_OUT = 0.1
LARGEST_COVER_RATE = 1_000.0

PLATFORM = "platform"
"""The lender whose policy for loans every merchant has, enrolled or not."""


class Product(StrEnum):
    """What a policy is for."""

    LOAN = "loan"
    TRADE_CREDIT = "trade_credit"
    INSURANCE = "insurance"
    FUND_SWEEP = "fund_sweep"


@cache
def _key_of(lender: str, product: Product, shadow: bool) -> int:
    name = f"{lender}\0{product}"
    return hash_of(f"{name}\0shadow".encode() if shadow else name.encode())


class PolicyName(NamedTuple):
    """What names a policy through all its versions.

    >>> print(PolicyName("bank", Product.LOAN, shadow=True))
    bank, loan (shadow)
    """

    lender: str
    product: Product
    shadow: bool = False
    """Whether it is only counted, beside the live policy of this lender and product."""

    @property
    def key(self) -> int:
        """Number by which rows and kernels know it, 1 to 2**64 - 1.

        >>> PolicyName("bank", Product.LOAN).key == PolicyName("bank", Product.TRADE_CREDIT).key
        False
        """
        return _key_of(self.lender, self.product, self.shadow)

    @property
    def live(self) -> PolicyName:
        """What names the policy of this lender and product that merchants have limits by."""
        return self._replace(shadow=False)

    @property
    def what(self) -> str:
        """Product, and that it is a shadow, for people."""
        return f"{self.product} (shadow)" if self.shadow else str(self.product)

    def __str__(self) -> str:
        return f"{self.lender}, {self.what}"


EVERYBODYS = PolicyName(PLATFORM, Product.LOAN)
"""The policy that every merchant has."""


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


class OverdueBand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left of a limit while something is overdue.

    Attributes:
        share: of what is owed, from which on this band holds, 0 to 1.
        standing: share of the limit that is left, in 1/10,000, 0 to 10,000.
    """

    share: float
    standing: int


class Servicing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What paying back does to a limit.

    Attributes:
        overdue: bands; of those that are reached the lowest standing counts.
        bonus_of_a_loan: what each loan that was paid back and never overdue adds to the limit,
            in 1/10,000 of it.
        most_bonus: most that all of them add, in 1/10,000; the cap stays what it is.
    """

    overdue: tuple[OverdueBand, ...] = (OverdueBand(0.0, 5_000), OverdueBand(0.5, 0))
    bonus_of_a_loan: int = 0
    most_bonus: int = 0


class Cover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How insurance cover grows with payments; docs/cover.md has the formula.

    Attributes:
        rate: cover for one unit of net payments in the local month, above 0 to 1,000.
        carry: share of what last month's payments gave that is added, 0 to 1. Both are whole
            millionths.
    """

    rate: float
    carry: float = 0.0


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One lender's rule for one product, as it is published on the topic `policies`.

    Amounts are minor units of `currency` (fen for CNY); a merchant who collects in another
    currency has no limit.

    Attributes:
        version: rises with each one published for this lender and product; the built-in one is 0.
            Shadows have versions of their own.
        lender: lender's id.
        product: what the limit is for.
        shadow: what it would give is counted beside the live policy, and nothing follows from it.
        currency: ISO 4217 code.
        valid_from: event time from which on it replaces the version before it, in ms; at once
            when left out.
        valid_to: event time from which on it gives nothing, in ms; never when left out.
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
        lending: how applications are answered; of loans and trade credit.
        servicing: what paying back does to the limit.
        cover: with `insurance` only: the limit is a cover, which follows this rule, the step and
            the cap, and none of the others.
        fund: with `fund_sweep` only: what may be redeemed at once. It has no limit.
    """

    version: Version
    lender: Identifier = PLATFORM
    product: Product = Product.LOAN
    shadow: bool = False
    currency: str = "CNY"
    valid_from: Milliseconds | None = None
    valid_to: Milliseconds | None = None
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
    lending: Lending = Lending()
    servicing: Servicing = Servicing()
    cover: Cover | None = None
    fund: FundTerms | None = None

    @property
    def terms(self) -> Terms:
        """What applications are answered by."""
        lending = msgspec.structs.asdict(self.lending)
        return Terms(version=self.version, currency=self.currency, **lending)

    @property
    def name(self) -> PolicyName:
        """Lender and product, and whether it is a shadow."""
        return PolicyName(self.lender, self.product, self.shadow)

    def ended(self, at: int) -> bool:
        """Tell whether it gives nothing any more at an event time (epoch ms)."""
        return self.valid_to is not None and at >= self.valid_to


BUILT_IN = Policy(version=0)


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
    if policy.valid_to is not None and policy.valid_to <= (policy.valid_from or 0):
        wrong.append(
            f"valid_to is {policy.valid_to}, not after valid_from {policy.valid_from or 0}"
        )
    try:
        currency_index(policy.currency)
    except ValueError as error:
        wrong.append(str(error))
    wrong.extend(_wrong_parts(policy))
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


def _wrong_parts(policy: Policy) -> list[str]:
    wrong = []
    if policy.shadow and policy.product is Product.FUND_SWEEP:
        wrong.append(f"shadow is true, but {policy.product} has no limit that could be compared")
    parts = {Product.INSURANCE: ("cover", policy.cover), Product.FUND_SWEEP: ("fund", policy.fund)}
    for product, (name, part) in parts.items():
        if (part is None) == (policy.product is product):
            wrong.append(f"{name} has to be there with the product {product}, and with it only")
    if policy.cover is not None:
        if not 0 < policy.cover.rate <= LARGEST_COVER_RATE:
            wrong.append(f"cover.rate is {policy.cover.rate}, not in (0, {LARGEST_COVER_RATE}]")
        if not 0 <= policy.cover.carry <= 1:
            wrong.append(f"cover.carry is {policy.cover.carry}, not in [0, 1]")
        wrong.extend(
            f"cover.{name} is {share}, not a whole number of millionths"
            for name, share in (("rate", policy.cover.rate), ("carry", policy.cover.carry))
            if math.isfinite(share) and round(share, 6) != share
        )
    wrong.extend(f"lending: {each}" for each in wrong_lending(policy.lending))
    wrong.extend(
        f"servicing.overdue has {band}, whose share is not in [0, 1] or standing not in [0, {FULL}]"
        for band in policy.servicing.overdue
        if not (0 <= band.share <= 1 and 0 <= band.standing <= FULL)
    )
    wrong.extend(
        f"servicing.{name} is {getattr(policy.servicing, name)}, not in [0, {MOST_STANDING - FULL}]"
        for name in ("bonus_of_a_loan", "most_bonus")
        if not 0 <= getattr(policy.servicing, name) <= MOST_STANDING - FULL
    )
    if policy.fund is not None:
        wrong.extend(f"fund: {each}" for each in policy.fund.wrong())
        if policy.fund.currency != policy.currency:
            wrong.append(f"fund.currency is {policy.fund.currency}, not {policy.currency}")
    return wrong


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
