"""Limit updates and answers for the tests of a lender."""

from typing import Any

import msgspec

from scorers.applications.messages import Decision, Ground, Outcome, Price, Product
from scorers.claims.events import ClaimAnswer
from scorers.funds.events import FundAnswer
from streams.contract.examples import EXAMPLES
from streams.contract.messages import LimitUpdate


def update(merchant: str, version: int, limit: int, **changes: object) -> LimitUpdate:
    """An update of the platform's loan."""
    (usual,) = (each for each in EXAMPLES[LimitUpdate] if isinstance(each, LimitUpdate))
    return msgspec.structs.replace(
        usual, merchant_id=merchant, version=version, limit=limit, **changes
    )


def decision(merchant: str, application: str, **changes: Any) -> Decision:
    """The platform's approval of an application."""
    usual = Decision(
        application_id=application, lender_id="platform", merchant_id=merchant,
        product=Product.LOAN, outcome=Outcome.APPROVE, asked=800_000, amount=800_000,
        currency="CNY", price=Price(1_500, 90, 29_589), expires_at=SECOND + 86_400_000,
        reasons=(Ground("within_limits", "It fits."),), probability_of_default=0.02,
        limit=900_000, limit_version=3, available=900_000, over_limit=0, model_version=1,
        policy_version=2, as_of=SECOND, source_topic="payments", source_partition=1,
        source_offset=77, stages={"total": 3.5},
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def fund_answer(merchant: str, event: str, **changes: Any) -> FundAnswer:
    """The platform's answer to a redemption."""
    usual = FundAnswer(
        event_id=event, merchant_id=merchant, lender_id="platform", fund_id="f1", currency="CNY",
        t_plus_0=1_000_000, t_plus_1=200_000, refused=0, reasons=[], holding=300_000,
        remaining_t_plus_0=0, advance_provider="icbc", policy_version=1, as_of=SECOND,
        source_topic="payments", source_partition=1, source_offset=78,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def claim_answer(merchant: str, claim: str, **changes: Any) -> ClaimAnswer:
    """The platform's answer to a claim."""
    usual = ClaimAnswer(
        claim_id=claim, merchant_id=merchant, lender_id="platform", currency="CNY", amount=120_000,
        covered=80_000, uncovered=40_000, reasons=[], cover=80_000, already_covered=0,
        cover_version=12, policy_version=1, as_of=SECOND, source_topic="payments",
        source_partition=1, source_offset=79,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def encoded(one: msgspec.Struct) -> bytes:
    """The same as the value of a record."""
    return msgspec.json.encode(one)


SECOND = 1_767_315_600_000
"""Three versions of m1 lie inside this second, in an order that their times do not tell."""

UPDATES = [
    update("m1", 1, 500_000, previous_limit=0, as_of=SECOND + 120),
    update("m1", 2, 400_000, previous_limit=500_000, as_of=SECOND + 640),
    update("m1", 5, 450_000, previous_limit=400_000, as_of=SECOND + 640),
    update("m1", 2, 90_000, product="advance", as_of=SECOND),
    update("m2", 3, 0, as_of=SECOND - 86_400_000),
    update("m2", 9, 70_000, as_of=SECOND - 86_400_000),
]
"""Versions rise, but not by one."""

NEWEST = [UPDATES[3], UPDATES[2], UPDATES[5]]
"""What is known in the end, by merchant and product."""

BROKEN: list[bytes | None] = [
    None,
    b"",
    b"{not JSON",
    b"\xff\xfe",
    b"[]",
    b'{"merchant_id": "m1", "version": 99}',
    encoded(update("m1", 99, 1)).replace(b'"schema_version":1', b'"schema_version":2'),
    encoded(update("m1", 99, 1)).replace(b'"version":99', b'"version":"99"'),
    encoded(update("m1", 99, 1, lender_id="harbour")),
]
"""Records that change nothing: a tombstone, some that nobody can read, one of another lender."""
