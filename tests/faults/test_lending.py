"""Workers are killed while merchants apply, draw and repay, and while policies change."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import msgspec

from scorers.applications.messages import Outcome
from scorers.applications.terms import Lending
from scorers.claims.events import ClaimAnswer
from scorers.funds.terms import FundTerms
from scorers.policy import Cover, Policy, Product
from streams.brokers.policies import publish_policy
from tests.faults.crew import Crew
from tests.faults.ledger import Writer, make_log
from tests.faults.market import INSURER, PATIENT, YUAN, Market
from tests.faults.outcome import await_committed, await_relayed
from tests.integration.log_alone import (
    assert_claims_are_dealt_with,
    assert_same,
    expected,
    published,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import MakeSettings

EVENTS, MERCHANTS, RATE = 8_000, 100, 50.0
KILLS = 4
# A kill that was to fall into a checkpoint may come a moment too late.
MOST_KILLS = 10
LENDERS = ("platform", "bank-a", PATIENT)
DAY_MS = 86_400_000
# Whoever applies at a partition that has just lost its worker waits for more than a second.
LATE = {"platform", "bank-a"}
CLAIM_REASONS = {"not_enrolled", "other_currency", "beyond_the_cover"}


def policy(version: int, lender: str, *, yuan: int, budget: int | None, days: int) -> Policy:
    """A policy whose limit everybody soon has."""
    lending = Lending(
        smallest_amount=100 * YUAN, step=100 * YUAN, reservation_ms=days * DAY_MS,
        budget=None if budget is None else budget * YUAN,
        answer_within_ms=None if lender == PATIENT else 1_000,
    )  # fmt: skip
    return Policy(
        version=version, lender=lender, lending=lending, starter_amount=yuan * YUAN,
        starter_payments=3, starter_payers=2, starter_days=1, raise_step=10_000 * YUAN,
        cool_down_ms=0,
    )  # fmt: skip


def await_decisions(market: Market, lender: str, version: int) -> None:
    """Wait until a lender's merchants have been answered by this version of its policy."""
    market.await_until(
        lambda: any(each[:2] == (lender, version) for each in market.decided),
        f"a decision by version {version} of the policy of {lender}",
    )


def test_every_answer_is_given_once_and_follows_from_the_log_whatever_is_killed(
    settings_of: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_of(log_level="DEBUG", lenders=LENDERS)
    first = [
        policy(1, "platform", yuan=6_000, budget=None, days=1),
        policy(1, "bank-a", yuan=4_000, budget=None, days=1),
        policy(1, PATIENT, yuan=5_000, budget=60_000, days=30),
        Policy(
            version=1, lender="bank-a", product=Product.FUND_SWEEP,
            fund=FundTerms(qualified_banks=("icbc",)),
        ),
        Policy(
            version=1, lender=INSURER, product=Product.INSURANCE, cap=5_000 * YUAN, step=YUAN,
            cover=Cover(rate=0.1),
        ),
    ]  # fmt: skip
    later = [
        policy(2, PATIENT, yuan=5_000, budget=90_000, days=30),
        policy(2, "bank-a", yuan=1_000, budget=100_000, days=1),
        policy(2, "platform", yuan=4_000, budget=None, days=1),
        policy(3, "bank-a", yuan=3_000, budget=None, days=2),
        policy(3, "platform", yuan=6_000, budget=None, days=1),
    ]
    for each in first:
        publish_policy(settings, each)
    log = make_log(EVENTS, MERCHANTS, settings.partitions)
    dice = random.Random(11)
    cut_off = 0
    with Crew(settings, tmp_path) as crew:
        for worker in [crew.start(), crew.start()]:
            worker.await_ready()
        with (
            Writer(settings, log, RATE) as writer,
            Market(settings, [f"m{number:05d}" for number in range(MERCHANTS)]) as market,
        ):
            for number in range(MOST_KILLS):
                if number >= KILLS and cut_off:
                    break
                crew.workers[0].await_ready()
                if number < len(later):
                    await_decisions(market, later[number].lender, later[number].version - 1)
                    publish_policy(settings, later[number])
                if number % 2 == 0 or number >= KILLS:
                    cut_off += crew.kill_in_a_checkpoint(crew.workers[0], dice.uniform(0.0, 0.004))
                else:
                    time.sleep(dice.uniform(0.5, 2.0))
                    crew.kill(crew.workers[0])
                crew.start()
                crew.check()
            assert writer.writing(), "the kills must fall under load: lower the rate"
            await_decisions(market, "bank-a", 3)
            market.await_until(lambda: market.late >= LATE, "late decisions")
            market.await_until(lambda: market.claim_reasons >= CLAIM_REASONS, "answers to claims")
            market.await_until(
                lambda: {outcome for _, _, outcome in market.decided} == {*Outcome}, "outcomes"
            )
            market.finish()
            writer.finish()
            await_relayed(settings, crew.check)
            await_committed(settings)
            crew.check()
    found = published(settings)
    assert_same(found, expected(settings))
    assert_claims_are_dealt_with(settings, found)
    decided = found.decided()
    # Nothing that the patient lender approved ever came back to it.
    assert 0 < found.approved(PATIENT) <= 90_000 * YUAN
    assert {each.outcome for each in decided} == {*Outcome}
    late = {each.lender_id for each in decided if each.reasons[0].code == "too_late"}
    assert late == LATE
    claims = [msgspec.json.decode(raw, type=ClaimAnswer) for raw in found.claim_answers.values()]
    assert {reason.code for each in claims for reason in each.reasons} >= CLAIM_REASONS
    assert sum(each.covered for each in claims) > 0
    assert {each.policy_version for each in decided if each.lender_id == "bank-a"} == {1, 2, 3}
    assert cut_off > 0, "no kill fell into a checkpoint"
    assert min(len(found.said), len(found.fund_answers), len(market.sent)) > 0
