"""Records of the topic `payments`, from bytes to event columns."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.events import Events, Kind, Outcome, allocate
from features.hashing import hash_of
from streams.contract.messages import Relayed
from streams.decode.fast import decode_usual, scratch
from streams.decode.identity import content_hash, payment_hash
from streams.decode.slow import Event, decode_event
from streams.decode.strict import Refused
from streams.wire.records import Records

NO_VALUE = "the record has no value"
RELAYED = msgspec.json.encode({"kind": "relayed"})[:-1]
"""How the worker's own envelope begins."""

decode_relayed = msgspec.json.Decoder(Relayed).decode


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no payment event.

    Attributes:
        index: Its place among the records.
        outcome: NULL_VALUE, or what rule it breaks.
        sentence: For a person: the field, the rule, and what was found, shortened.
    """

    index: int
    outcome: Outcome
    sentence: str


def decode(
    records: Records, text: NDArray[np.uint8], currency_digits: NDArray[np.int8]
) -> tuple[Events, NDArray[np.uint8], list[Refusal]]:
    """Return the records' events, the text that their merchant ids stand in, and the refusals.

    One entry an event and record, in the same order; those that are refused have the outcome
    that their refusal names, events of other topics RELAYED, all others PENDING. A bad record
    costs only itself. The text is the one given, or a longer one when identifiers had to be freed
    of escapes.
    `currency_digits` is the contract's `MINOR_DIGITS_TABLE`.
    """
    events = allocate(len(records.offset))
    events.offset[:] = records.offset
    events.timestamp[:] = records.timestamp
    decode_usual(text, records.value_at, records.value_length, currency_digits, events, scratch())
    refusals = []
    longer = _Text(text)
    for i in np.flatnonzero(events.outcome).tolist():
        if events.outcome[i] == Outcome.NULL_VALUE:
            refusals.append(Refusal(i, Outcome.NULL_VALUE, NO_VALUE))
            continue
        at = int(records.value_at[i])
        payload = text[at : at + int(records.value_length[i])].tobytes()
        try:
            if payload.startswith(RELAYED):
                _check_relayed(payload)
                events.kind[i], events.outcome[i] = Kind.RELAYED, Outcome.RELAYED
            else:
                _fill(events, i, decode_event(payload, currency_digits), longer)
        except Refused as refused:
            events.outcome[i] = refused.outcome
            refusals.append(Refusal(i, refused.outcome, refused.sentence))
    return events, longer.whole(), refusals


def _check_relayed(payload: bytes) -> None:
    try:
        decode_relayed(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(
            Outcome.WRONG_TYPE, f"an event of kind relayed is the worker's own: {error}"
        ) from None


class _Text:
    """A text that identifiers can be added to."""

    def __init__(self, text: NDArray[np.uint8]) -> None:
        self._text = text
        self._added: list[bytes] = []
        self._end = text.size

    def add(self, identifier: bytes) -> int:
        """Return where the identifier will stand."""
        at = self._end
        self._added.append(identifier)
        self._end += len(identifier)
        return at

    def whole(self) -> NDArray[np.uint8]:
        """Return the text with all that was added."""
        if not self._added:
            return self._text
        return np.concatenate((self._text, np.frombuffer(b"".join(self._added), np.uint8)))


def _fill(events: Events, i: int, event: Event, text: _Text) -> None:
    """Write the columns of one event, as the fast decoder would."""
    events.outcome[i] = Outcome.PENDING
    events.kind[i] = event.kind
    events.occurred_at[i] = event.occurred_at
    events.currency[i] = event.currency
    if event.kind is Kind.TICK:
        return
    merchant, payer = _hash(event.merchant_id), _hash(event.payer_id)
    events.merchant_at[i] = text.add(event.merchant_id)
    events.merchant_length[i] = len(event.merchant_id)
    events.merchant_hash[i] = merchant
    events.payer_hash[i] = payer
    events.payment_hash[i] = payment_hash(merchant, _hash(event.payment_id))
    events.content_hash[i] = content_hash(
        int(event.kind),
        int(event.funding),
        event.amount,
        event.currency,
        event.occurred_at,
        event.original_occurred_at,
        merchant,
        _hash(event.code_id),
        payer,
        _hash(event.original_payment_id),
        _hash(event.channel),
    )
    events.amount[i] = event.amount
    takes_back = event.kind not in (Kind.PAYMENT, Kind.OUTFLOW)
    events.original_at[i] = event.original_occurred_at if takes_back else -1
    events.funding[i] = event.funding


def _hash(value: bytes | None) -> np.uint64:
    return np.uint64(0) if value is None else np.uint64(hash_of(value))
