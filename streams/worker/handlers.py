"""What is done with each kind of relayed event in its place in the log."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from scorers import loans, merchants, profiles
from scorers.applications import book as applications
from scorers.applications.messages import Application, BudgetGiven, BudgetWanted, Ground
from scorers.applications.terms import Standing
from scorers.claims import book as claims
from scorers.claims.book import CoverStanding
from scorers.claims.events import ClaimEvent
from scorers.funds import book as funds
from scorers.funds.events import FundEvent
from scorers.loans import Draw, LoanEvent, example_of
from scorers.merchants import CODES, Enrolment, MerchantEvent, MerchantKind
from scorers.policy import PolicyName, Product
from scorers.reasons import reason_code, reason_text
from scorers.servicing import Restanding, StandingChanged
from scorers.source import Source
from streams.worker.relayed import Decided, Handled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.contract.topics import Topics
    from streams.observability.metrics import Metrics
    from streams.worker.relayed import Arrival, Outputs

Message = BudgetWanted | BudgetGiven | StandingChanged
"""What workers say to each other, and to themselves, through the log."""

NO_POLICY = "no_policy"
NO_POLICY_SENTENCE = "the lender has no policy for this product: nothing can be applied for"


def handled(topics: Topics) -> Mapping[str, Handled]:
    """Return who handles what, by the full name of the topic."""
    return {
        topics.loan_events.name: Handled(LoanEvent, by_ledger=apply_loan_event),
        topics.merchant_events.name: Handled(
            MerchantEvent, by_ledger=keep_merchant, by_row=apply_merchant_event
        ),
        topics.applications.name: Handled(Application, by_ledger=apply_application),
        topics.fund_events.name: Handled(FundEvent, by_ledger=apply_fund_event),
        topics.claim_events.name: Handled(ClaimEvent, by_ledger=apply_claim),
        topics.payments.name: Handled(Message, by_ledger=apply_message, by_row=apply_standing),
    }


def apply_loan_event(
    event: LoanEvent, arrival: Arrival, outputs: Outputs, metrics: Metrics
) -> None:
    """Apply a loan event, and tell the row when it changes the merchant's standing."""
    holding, fold = arrival.holding, arrival.fold
    accounts = holding.accounts

    def draw() -> Draw:
        return holding.partition.draw(event.merchant_id.encode(), event.occurred_at)

    verdict = accounts.loans.apply(event, draw)
    accounts.applications.drawn(event, arrival.offset, holding.partition.watermark)
    accounts.keep_clock()
    metrics.loan_event(event.kind, verdict.became)
    if (sentence := loans.SENTENCES.get(verdict.became)) is not None:
        _set_aside(arrival, verdict.became, sentence, outputs)
        return
    if verdict.loan is not None and verdict.draw is not None:
        source = (fold.topic, fold.partition, arrival.offset)
        outputs.examples.append(example_of(event, verdict.loan, verdict.draw, source))
    _say_standing(arrival, outputs, event.merchant_id, event.lender_id, event.product, anew=False)


def keep_merchant(
    event: MerchantEvent, arrival: Arrival, outputs: Outputs, metrics: Metrics
) -> None:
    """Note what is on record of a merchant; one that has just enrolled is told its standing."""
    relayed = arrival.relayed
    refused = arrival.holding.accounts.profiles.apply(event, (relayed.partition, relayed.offset))
    if refused is not None:
        _refuse_once(event, refused, profiles.SENTENCES[refused], arrival, outputs, metrics)
    elif event.kind in CODES:
        metrics.merchant_event(event.kind, "applied")
    if event.kind is MerchantKind.ENROLLED and event.lender_id and event.product:
        _say_standing(
            arrival, outputs, event.merchant_id, event.lender_id, event.product, anew=True
        )


def apply_merchant_event(
    event: MerchantEvent, arrival: Arrival, outputs: Outputs, metrics: Metrics
) -> None:
    """Apply a merchant event to the merchant's row; one that the row holds changes nothing."""
    relayed = arrival.relayed
    refused = arrival.holding.partition.amend(
        event.merchant_id.encode(),
        Enrolment(event, (relayed.partition, relayed.offset)),
        offset=arrival.offset,
    )
    if refused is not None:
        _refuse_once(event, refused, merchants.SENTENCES[refused], arrival, outputs, metrics)
    elif event.kind not in CODES:
        metrics.merchant_event(event.kind, "applied")


def _refuse_once(
    event: MerchantEvent, refused: str, sentence: str, arrival: Arrival, outputs: Outputs,
    metrics: Metrics,
) -> None:  # fmt: skip
    """Set a refused merchant event aside, which its row meets however often it is read."""
    if arrival.taken and _set_aside(arrival, refused, sentence, outputs):
        metrics.merchant_event(event.kind, refused)


def _set_aside(arrival: Arrival, refused: str, sentence: str, outputs: Outputs) -> bool:
    """Set a refused event aside, unless it has been: after a crash it may be relayed twice.

    The relayed topics have as many partitions as the log. One beyond them was not put here by the
    relay, and is set aside each time: nothing is kept of it.

    Returns:
        whether it has a dead letter now.
    """
    source = Source(arrival.relayed.topic, arrival.relayed.partition, arrival.relayed.offset)
    noted = source.partition < outputs.partitions
    if noted and not arrival.holding.accounts.refusals.note(source):
        return False
    outputs.letters.append(arrival.letter(refused, sentence))
    return True


def apply_application(
    application: Application, arrival: Arrival, outputs: Outputs, metrics: Metrics
) -> None:
    """Answer an application."""
    partition, book = arrival.holding.partition, arrival.holding.accounts.applications
    name = PolicyName(application.lender_id, Product(application.product))
    policy = partition.version.policies.find(name)
    if policy is None:
        _set_aside(arrival, NO_POLICY, NO_POLICY_SENTENCE, outputs)
        return
    standing = _standing(arrival, application.merchant_id, name)
    verdict = book.decide(
        application, arrival.offset, partition.watermark, standing, policy.terms,
        waited_ms=arrival.waited_ms,
    )  # fmt: skip
    arrival.holding.accounts.keep_clock()
    metrics.application(verdict)
    if (sentence := applications.SENTENCES.get(verdict.became)) is not None:
        _set_aside(arrival, verdict.became, sentence, outputs)
    elif verdict.decision is not None:
        outputs.decisions.append(Decided(arrival.sent_at, arrival.relayed, verdict.decision))
    if verdict.wanted is not None:
        for each in range(outputs.partitions):
            if each != arrival.holding.number:
                said = msgspec.json.encode(verdict.wanted)
                outputs.to_partition(arrival.offset, said, partition=each)


def apply_fund_event(
    event: FundEvent, arrival: Arrival, outputs: Outputs, metrics: Metrics
) -> None:
    """Apply a fund event, and answer a redemption."""
    policies = arrival.holding.partition.version.policies
    policy = policies.find(PolicyName(event.lender_id, Product.FUND_SWEEP))
    source = Source(arrival.fold.topic, arrival.fold.partition, arrival.offset)
    if policy is not None and policy.ended(arrival.holding.partition.watermark):
        policy = None
    terms, version = (None, 0) if policy is None else (policy.fund, policy.version)
    verdict = arrival.holding.accounts.funds.apply(event, source, terms, version)
    metrics.fund_event(event.kind, verdict.became)
    if (sentence := funds.SENTENCES.get(verdict.became)) is not None:
        _set_aside(arrival, verdict.became, sentence, outputs)
    elif verdict.answer is not None:
        outputs.fund_answers.append(verdict.answer)


def apply_claim(claim: ClaimEvent, arrival: Arrival, outputs: Outputs, metrics: Metrics) -> None:
    """Answer a claim from the cover in force."""
    partition = arrival.holding.partition
    name = PolicyName(claim.lender_id, Product.INSURANCE)
    policy = partition.version.policies.find(name)
    known = partition.known_of(claim.merchant_id.encode(), name)
    standing = CoverStanding(
        enrolled=known.enrolled,
        closed=known.closed,
        currency=None if policy is None else policy.currency,
        cover=known.limit,
        version=known.limit_version,
        zone=partition.zone_of(claim.merchant_id.encode()),
    )
    source = Source(arrival.fold.topic, arrival.fold.partition, arrival.offset)
    version = 0 if policy is None else policy.version
    verdict = arrival.holding.accounts.claims.apply(
        claim, source, standing, version, partition.watermark
    )
    metrics.claim(verdict.became)
    if (sentence := claims.SENTENCES.get(verdict.became)) is not None:
        _set_aside(arrival, verdict.became, sentence, outputs)
    elif verdict.answer is not None:
        outputs.claim_answers.append(verdict.answer)


def apply_message(message: Message, arrival: Arrival, outputs: Outputs, _: Metrics) -> None:
    """Take in what another partition says of a lender's budget."""
    holding = arrival.holding
    book, watermark = holding.accounts.applications, holding.partition.watermark
    match message:
        case BudgetWanted() if not (
            message.partition < outputs.partitions and message.product in set(Product)
        ):
            sentence = f"there is no partition {message.partition}, or no product {message.product}"
            outputs.letters.append(arrival.letter("out_of_range", sentence))
        case BudgetWanted():
            name = PolicyName(message.lender_id, Product(message.product))
            policy = holding.partition.version.policies.find(name)
            terms = None if policy is None else policy.terms
            given = book.wanted(message, arrival.offset, watermark, terms)
            if given is not None:
                said = msgspec.json.encode(given)
                outputs.to_partition(arrival.offset, said, partition=given.to_partition)
        case BudgetGiven():
            book.given(message, arrival.offset, watermark)
        case _:
            return
    holding.accounts.keep_clock()


def apply_standing(message: Message, arrival: Arrival, outputs: Outputs, _: Metrics) -> None:
    """Take in how a merchant stands with a lender."""
    if isinstance(message, StandingChanged):
        source = (arrival.relayed.partition, arrival.relayed.offset)
        arrival.holding.partition.amend(
            message.merchant_id.encode(),
            Restanding(message, source),
            offset=arrival.offset,
        )


def _say_standing(
    arrival: Arrival, outputs: Outputs, merchant_id: str, lender_id: str, product: str, *,
    anew: bool,
) -> None:  # fmt: skip
    if product not in set(Product):
        return
    policy = arrival.holding.partition.version.policies.find(
        PolicyName(lender_id, Product(product))
    )
    if policy is None:
        return
    standing = arrival.holding.accounts.standing_to_say(
        merchant_id, lender_id, product, policy.servicing, anew=anew
    )
    if standing is not None:
        said = StandingChanged(merchant_id, lender_id, Product(product), standing)
        outputs.to_log(arrival.offset, msgspec.json.encode(said), merchant_id=merchant_id)


def _standing(arrival: Arrival, merchant_id: str, name: PolicyName) -> Standing:
    known = arrival.holding.partition.known_of(merchant_id.encode(), name)
    return Standing(
        enrolled=known.enrolled,
        closed=known.closed,
        currency=known.currency,
        limit=known.limit,
        limit_version=known.limit_version,
        capacity=known.everybodys_limit,
        probability_of_default=known.probability_of_default,
        model_version=arrival.holding.partition.version.scorecard.version,
        reasons=tuple(_ground(reason) for reason in known.reasons),
    )


@cache
def _ground(reason: int) -> Ground:
    return Ground(reason_code(reason), reason_text(reason))
