"""Payment events as JSON, and what the decoder makes of them."""

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import Events, Outcome
from streams.contract.currencies import MINOR_DIGITS_TABLE
from streams.decode.payments import Refusal, decode
from streams.wire.encode import encode_messages
from streams.wire.fetch import read

NOW = 1_760_000_000_000

PAYMENT: dict[str, Any] = {
    "payment_id": "p-1",
    "kind": "payment",
    "merchant_id": "merchant-1",
    "code_id": "code-1",
    "payer_id": "payer-1",
    "amount": 1250,
    "currency": "CNY",
    "occurred_at": NOW,
    "funding": "balance",
    "channel": "static_code",
}
REFUND: dict[str, Any] = {
    **PAYMENT,
    "payment_id": "r-1",
    "kind": "refund",
    "original_payment_id": "p-1",
    "original_occurred_at": NOW - 1000,
}


class Decoded(NamedTuple):
    events: Events
    text: NDArray[np.uint8]
    refusals: list[Refusal]

    def outcomes(self) -> list[Outcome]:
        return [Outcome(outcome) for outcome in self.events.outcome.tolist()]

    def merchants(self) -> list[str]:
        """The ids of the events that are not refused."""
        columns = zip(
            self.events.outcome, self.events.merchant_at, self.events.merchant_length, strict=True
        )
        return [
            self.text[at : at + length].tobytes().decode()
            for outcome, at, length in columns
            if outcome == Outcome.PENDING
        ]

    def row(self, i: int) -> dict[str, Any]:
        """Everything that the columns say of one event."""
        row = {name: column[i].item() for name, column in self.events._asdict().items()}
        at, length = row.pop("merchant_at"), row["merchant_length"]
        return {**row, "merchant_id": self.text[at : at + length].tobytes()}


def written(**changes: Any) -> bytes:
    """The payment with some fields changed; None leaves a field out."""
    fields = {**PAYMENT, **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


def decoded(*values: bytes | None) -> Decoded:
    """What the decoder makes of records with these values, fetched at once."""
    log = bytearray()
    offset = 0
    for batch in encode_messages([(b"key", value, [], NOW) for value in values], "none"):
        data = batch._build()
        data[:8] = offset.to_bytes(8, "big")  # as the broker does
        log += data
        offset += batch.record_count()
    fetched = read(log, 0)
    return Decoded(*decode(fetched.records, fetched.text, MINOR_DIGITS_TABLE))
