"""Merchant events in their place in the log: they change rows, by their content alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from scorers.merchants import SENTENCES, Enrolment, MerchantEvent

if TYPE_CHECKING:
    from streams.observability.metrics import Metrics
    from streams.worker.relayed import Arrival, Outputs

_decode = msgspec.json.Decoder(MerchantEvent).decode


def apply_merchant_event(arrival: Arrival, outputs: Outputs, metrics: Metrics) -> None:
    """Apply a merchant event to the merchant's row; one that the row holds changes nothing."""
    relayed = arrival.relayed
    try:
        event = _decode(relayed.event)
    except msgspec.DecodeError as error:
        # The relay lets none through: someone else has put it here.
        outputs.letters.append(arrival.letter("wrong_type", str(error)))
        return
    refused = arrival.holding.partition.amend(
        event.merchant_id.encode(),
        Enrolment(event, (relayed.partition, relayed.offset)),
        event=arrival.i,
        offset=arrival.offset,
    )
    metrics.merchant_event(event.kind, refused or "applied")
    if refused is not None:
        outputs.letters.append(arrival.letter(refused, SENTENCES[refused]))
