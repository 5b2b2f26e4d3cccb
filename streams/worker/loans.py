"""Loan events in their place in the log: what becomes of them, and what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from scorers.loans import SENTENCES, Draw, LoanEvent, example_of

if TYPE_CHECKING:
    from streams.observability.metrics import Metrics
    from streams.worker.relayed import Arrival, Outputs

_decode = msgspec.json.Decoder(LoanEvent).decode


def apply_loan_event(arrival: Arrival, outputs: Outputs, metrics: Metrics) -> None:
    """Apply a loan event that the ledger takes."""
    holding, fold = arrival.holding, arrival.fold
    try:
        event = _decode(arrival.relayed.event)
    except msgspec.DecodeError as error:
        # The relay lets none through: someone else has put it here.
        outputs.letters.append(arrival.letter("wrong_type", str(error)))
        return

    def draw() -> Draw:
        return holding.partition.draw(event.merchant_id.encode(), event.occurred_at)

    verdict = holding.loans.apply(event, draw)
    metrics.loan_event(event.kind, verdict.became)
    if (sentence := SENTENCES.get(verdict.became)) is not None:
        outputs.letters.append(arrival.letter(verdict.became, sentence))
    elif verdict.loan is not None and verdict.draw is not None:
        source = (fold.topic, fold.partition, arrival.offset)
        outputs.examples.append(example_of(event, verdict.loan, verdict.draw, source))
