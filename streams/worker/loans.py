"""Loan events in their place in the log: what becomes of them, and what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from scorers.loans import SENTENCES, Draw, LoanEvent, example_of
from streams.dead_letters import DeadLetter, field, letter_of
from streams.decode.payments import decode_relayed

if TYPE_CHECKING:
    from scorers.loans import Example
    from streams.observability.metrics import Metrics
    from streams.state.holding import Holding
    from streams.transport.fold import Fold

_decode = msgspec.json.Decoder(LoanEvent).decode


class Outputs(NamedTuple):
    """What the loan events of a fold lead to, in the order of the log."""

    examples: list[Example]
    letters: list[DeadLetter]


def apply_loan_event(
    holding: Holding, fold: Fold, i: int, outputs: Outputs, metrics: Metrics
) -> None:
    """Apply the relayed event at index `i`; everything before it has been applied."""
    offset = int(fold.records.offset[i])
    if offset <= holding.partition.offset:
        return
    raw = field(fold, fold.records.value_at[i], fold.records.value_length[i])
    relayed = decode_relayed(raw or b"")
    try:
        event = _decode(relayed.event)
    except msgspec.DecodeError as error:
        # The relay lets none through: someone else has put it here.
        outputs.letters.append(letter_of(fold, i, "wrong_type", str(error), relayed))
        return

    def draw() -> Draw:
        return holding.partition.draw(event.merchant_id.encode(), event.occurred_at)

    verdict = holding.loans.apply(event, offset, draw)
    metrics.loan_event(event.kind, verdict.became)
    if (sentence := SENTENCES.get(verdict.became)) is not None:
        outputs.letters.append(letter_of(fold, i, verdict.became, sentence, relayed))
    elif verdict.loan is not None and verdict.draw is not None:
        source = (fold.topic, fold.partition, offset)
        outputs.examples.append(example_of(event, verdict.loan, verdict.draw, source))
