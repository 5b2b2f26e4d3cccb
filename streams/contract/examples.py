"""An example of each message, as it stands in the schemas and the AsyncAPI document."""

import msgspec

from scorers.applications.messages import Application, Decision, Price, interest
from scorers.applications.messages import Outcome as DecisionOutcome
from scorers.applications.messages import Product as Applied
from scorers.applications.rules import GROUNDS, Rule
from scorers.claims.events import REASONS as CLAIM_REASONS
from scorers.claims.events import ClaimAnswer, ClaimEvent, ClaimReason
from scorers.claims.events import ReasonCode as ClaimReasonCode
from scorers.funds.events import REASONS as FUND_REASONS
from scorers.funds.events import FundAnswer, FundEvent, FundKind, FundReason, ReasonCode
from scorers.loans import Example, LoanEvent, LoanKind
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.models import Model, Origin
from scorers.policy import BUILT_IN as BUILT_IN_POLICY
from scorers.policy import Policy, Product
from scorers.prior import BUILT_IN as BUILT_IN_SCORECARD
from streams.contract.messages import (
    DeadLetterHeaders,
    FundingSource,
    LimitUpdate,
    PaymentEvent,
    PaymentKind,
    Reason,
    Relayed,
    Tick,
)

NINE_IN_THE_MORNING = 1_767_315_600_000
BEYOND = ClaimReasonCode.BEYOND_THE_COVER
"""2026-01-02 09:00 in Shanghai."""

DRAWN = LoanEvent(
    event_id="l-881-drawn",
    kind=LoanKind.DRAWN,
    loan_id="l-881",
    lender_id="platform",
    merchant_id="noodles-on-the-corner",
    product="loan",
    currency="CNY",
    occurred_at=NINE_IN_THE_MORNING,
    amount=500_000,
)

EXAMPLES: dict[type[msgspec.Struct], tuple[msgspec.Struct, ...]] = {
    PaymentEvent: (
        PaymentEvent(
            payment_id="p-20260102-000017",
            kind=PaymentKind.PAYMENT,
            merchant_id="noodles-on-the-corner",
            amount=2_350,
            currency="CNY",
            occurred_at=NINE_IN_THE_MORNING,
            code_id="counter-1",
            payer_id="u-84f1",
            funding=FundingSource.BALANCE,
            channel="static_code",
        ),
        PaymentEvent(
            payment_id="r-20260103-000002",
            kind=PaymentKind.REFUND,
            merchant_id="noodles-on-the-corner",
            amount=850,
            currency="CNY",
            occurred_at=NINE_IN_THE_MORNING + 86_400_000,
            original_payment_id="p-20260102-000017",
            original_occurred_at=NINE_IN_THE_MORNING,
        ),
        PaymentEvent(
            payment_id="c-20260201-000001",
            kind=PaymentKind.CHARGEBACK,
            merchant_id="kimono-rental",
            amount=12_000,
            currency="JPY",
            occurred_at=NINE_IN_THE_MORNING + 30 * 86_400_000,
            original_payment_id="p-20260102-000018",
        ),
        PaymentEvent(
            payment_id="o-20260103-000003",
            kind=PaymentKind.OUTFLOW,
            merchant_id="noodles-on-the-corner",
            amount=48_000,
            currency="CNY",
            occurred_at=NINE_IN_THE_MORNING + 86_400_000,
            payer_id="flour-wholesale",
        ),
    ),
    LoanEvent: (
        DRAWN,
        LoanEvent(
            event_id="l-881-settled",
            kind=LoanKind.SETTLED,
            loan_id="l-881",
            lender_id="platform",
            merchant_id="noodles-on-the-corner",
            product="loan",
            currency="CNY",
            occurred_at=NINE_IN_THE_MORNING + 30 * 86_400_000,
        ),
    ),
    Relayed: (
        Relayed(
            merchant_id="noodles-on-the-corner",
            topic="loan-events",
            partition=2,
            offset=311,
            event=msgspec.Raw(msgspec.json.encode(DRAWN)),
            relayed_at=NINE_IN_THE_MORNING + 9,
            log_delay_ms=4,
        ),
    ),
    Example: (
        Example(
            merchant_id="noodles-on-the-corner",
            lender_id="platform",
            loan_id="l-881",
            product="loan",
            currency="CNY",
            amount=500_000,
            outcome=LoanKind.SETTLED,
            defaulted=False,
            features={"tenure_days": 211.0, "payers_28": 840.0, "chargeback_share": None},
            probability_of_default=0.0213,
            model_version=1,
            drawn_at=NINE_IN_THE_MORNING,
            ended_at=NINE_IN_THE_MORNING + 30 * 86_400_000,
            source_topic="payments",
            source_partition=2,
            source_offset=204_215,
        ),
    ),
    Tick: (Tick(occurred_at=NINE_IN_THE_MORNING + 3_600_000),),
    LimitUpdate: (
        LimitUpdate(
            merchant_id="noodles-on-the-corner",
            lender_id="platform",
            product="loan",
            currency="CNY",
            limit=850_000,
            previous_limit=800_000,
            version=7,
            probability_of_default=0.0213,
            reasons=[
                Reason(
                    code="payers_28",
                    effect=-0.61,
                    text="Payments came from many different payers: raises the limit.",
                ),
                Reason(
                    code="tenure_days",
                    effect=-0.42,
                    text="The merchant has collected for a long time: raises the limit.",
                ),
                Reason(
                    code="volatility_28",
                    effect=0.18,
                    text="Takings differ much from day to day: lowers the limit.",
                ),
            ],
            model_version=1,
            policy_version=1,
            as_of=NINE_IN_THE_MORNING,
            source_topic="payments",
            source_partition=2,
            source_offset=104_215,
        ),
    ),
    MerchantEvent: (
        MerchantEvent(
            event_id="registration-7",
            kind=MerchantKind.REGISTERED,
            merchant_id="noodles-on-the-corner",
            occurred_at=NINE_IN_THE_MORNING,
            currency="CNY",
            zone="Asia/Shanghai",
            category="restaurant",
        ),
        MerchantEvent(
            event_id="consent-12",
            kind=MerchantKind.ENROLLED,
            merchant_id="noodles-on-the-corner",
            occurred_at=NINE_IN_THE_MORNING,
            lender_id="bank-of-the-harbour",
            product=Product.LOAN,
        ),
    ),
    Application: (
        Application(
            application_id="a-1007",
            lender_id="bank-of-the-harbour",
            merchant_id="noodles-on-the-corner",
            product=Applied.LOAN,
            currency="CNY",
            amount=500_000,
            applied_at=NINE_IN_THE_MORNING,
            term_days=30,
        ),
    ),
    Decision: (
        Decision(
            application_id="a-1007",
            lender_id="bank-of-the-harbour",
            merchant_id="noodles-on-the-corner",
            product=Applied.LOAN,
            outcome=DecisionOutcome.APPROVE,
            asked=500_000,
            amount=500_000,
            currency="CNY",
            price=Price(1_500, 30, interest(500_000, 1_500, 30)),
            expires_at=NINE_IN_THE_MORNING + 86_400_000,
            reasons=(GROUNDS[Rule.WITHIN_LIMITS],),
            probability_of_default=0.0213,
            limit=850_000,
            limit_version=7,
            available=850_000,
            over_limit=0,
            model_version=1,
            policy_version=3,
            as_of=NINE_IN_THE_MORNING,
            source_topic="payments",
            source_partition=2,
            source_offset=104_231,
            stages={"to_log": 7.0, "in_log": 12.1, "apply": 2.3, "total": 21.4},
        ),
    ),
    FundEvent: (
        FundEvent(
            event_id="redemption-3",
            kind=FundKind.REDEMPTION_REQUESTED,
            merchant_id="noodles-on-the-corner",
            lender_id="bank-of-the-harbour",
            fund_id="surplus",
            currency="CNY",
            amount=1_200_000,
            occurred_at=NINE_IN_THE_MORNING,
            advance_provider="icbc",
        ),
    ),
    FundAnswer: (
        FundAnswer(
            event_id="redemption-3",
            merchant_id="noodles-on-the-corner",
            lender_id="bank-of-the-harbour",
            fund_id="surplus",
            currency="CNY",
            t_plus_0=1_000_000,
            t_plus_1=200_000,
            refused=0,
            reasons=[FundReason(ReasonCode.DAILY_LIMIT, FUND_REASONS[ReasonCode.DAILY_LIMIT])],
            holding=300_000,
            remaining_t_plus_0=0,
            advance_provider="icbc",
            policy_version=2,
            as_of=NINE_IN_THE_MORNING,
            source_topic="payments",
            source_partition=2,
            source_offset=104_240,
        ),
    ),
    ClaimEvent: (
        ClaimEvent(
            claim_id="burst-pipe-1",
            merchant_id="noodles-on-the-corner",
            lender_id="mutual-of-the-market",
            currency="CNY",
            amount=120_000,
            occurred_at=NINE_IN_THE_MORNING - 86_400_000,
            claimed_at=NINE_IN_THE_MORNING,
        ),
    ),
    ClaimAnswer: (
        ClaimAnswer(
            claim_id="burst-pipe-1",
            merchant_id="noodles-on-the-corner",
            lender_id="mutual-of-the-market",
            currency="CNY",
            amount=120_000,
            covered=80_000,
            uncovered=40_000,
            reasons=[ClaimReason(BEYOND, CLAIM_REASONS[BEYOND])],
            cover=80_000,
            already_covered=0,
            cover_version=12,
            policy_version=1,
            as_of=NINE_IN_THE_MORNING,
            source_topic="payments",
            source_partition=2,
            source_offset=104_250,
        ),
    ),
    Model: (Model(msgspec.structs.replace(BUILT_IN_SCORECARD, version=1), Origin.PUBLISHED),),
    Policy: (BUILT_IN_POLICY,),
    DeadLetterHeaders: (
        DeadLetterHeaders(
            reason="too_late",
            message="The payment lies 26 hours behind the newest payment of this merchant; "
            "24 hours are allowed.",
            topic="payments",
            partition="2",
            offset="104216",
            timestamp="1767315600123",
        ),
    ),
}
"""By type; each validates against the schema of its type (a test holds that)."""
