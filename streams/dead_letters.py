"""Records that could not be counted, kept whole with the reason beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from features.events import Outcome
from streams.wire.records import headers

if TYPE_CHECKING:
    from streams.contract.messages import Relayed
    from streams.transport.fold import Fold

HEADER = "duoshou-"
"""Prefix of the headers that say why a record is a dead letter."""

SENTENCES = {
    Outcome.CONFLICT: "payment_id has been used within 24 hours for a payment with other content;"
    " the first one counts, send this one under an id of its own",
    Outcome.TOO_LATE: "occurred_at lies more than 24 hours behind the merchant's newest payment;"
    " a backfill must be sent in the order of its times",
    Outcome.FROM_THE_FUTURE: "occurred_at lies more than 5 minutes ahead of the time at which"
    " Kafka received the record; check the sender's clock and that the unit is milliseconds",
    Outcome.OTHER_CURRENCY: "the merchant's payments are kept in the currency of its first one;"
    " another currency needs a merchant_id of its own",
    Outcome.OVERFLOW: "the day's sum would leave the range of exact integers;"
    " check that amount is in minor units",
}

_COUNTED = bytes(range(Outcome.CONFLICT))
"""Outcomes that make no dead letter, nearly always all of them."""


class DeadLetter(NamedTuple):
    """One record for the topic `dead-letters`.

    Attributes:
        reason: the reason code, an `Outcome` in lower case or the name of a batch's defect.
        key: the record's own key.
        value: the record's own value; for a batch that could not be opened, the batch.
        headers: the record's own headers, then ours.
        timestamp: the record's own timestamp, epoch ms.
    """

    reason: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int

    @property
    def message(
        self,
    ) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]:
        """The record, as it goes to the topic."""
        return (self.key, self.value, self.headers, self.timestamp)


def dead_letters(fold: Fold) -> list[DeadLetter]:
    """Return the dead letters of an applied fold, in log order; unreadable batches come first."""
    letters = batch_letters(fold)
    outcomes = fold.decoded.events.outcome
    if not outcomes.tobytes().translate(None, _COUNTED):
        return letters
    sentences = {refusal.index: refusal.sentence for refusal in fold.decoded.refusals}
    dead = (outcomes >= Outcome.CONFLICT) & (outcomes != Outcome.MISROUTED)
    for i in np.flatnonzero(dead):
        outcome = Outcome(int(outcomes[i]))
        sentence = sentences.get(int(i)) or SENTENCES[outcome]
        letters.append(letter_of(fold, int(i), outcome.name.lower(), sentence))
    return letters


def batch_letters(fold: Fold) -> list[DeadLetter]:
    """Return the batches of a fold that could not be opened."""
    return [
        DeadLetter(
            batch.reason_code,
            None,
            batch.raw,
            _headers(
                batch.reason_code, batch.reason,
                (fold.topic, fold.partition, batch.first_offset), batch.timestamp,
            ),
            batch.timestamp,
        )
        for batch in fold.unreadable
    ]  # fmt: skip


def letter_of(
    fold: Fold, i: int, reason: str, sentence: str, relayed: Relayed | None = None
) -> DeadLetter:
    """Return a record of a fold as a dead letter.

    Args:
        fold: what was read.
        i: index of the record in it.
        reason: the reason code.
        sentence: the reason for a person.
        relayed: the record's envelope: it goes as it was before it was relayed.
    """
    records = fold.records
    timestamp = int(records.timestamp[i])
    own = headers(fold.text, int(records.headers_at[i]), int(records.headers_length[i]))
    if relayed is None:
        place = (fold.topic, fold.partition, int(records.offset[i]))
        value = field(fold, records.value_at[i], records.value_length[i])
    else:
        place = (relayed.topic, relayed.partition, relayed.offset)
        value = bytes(relayed.event)
    return DeadLetter(
        reason,
        field(fold, records.key_at[i], records.key_length[i]),
        value,
        own + _headers(reason, sentence, place, timestamp),
        timestamp,
    )


def field(fold: Fold, at: np.int64, length: np.int64) -> bytes | None:
    """Return a key or a value of a fold as bytes; None for null."""
    return None if length < 0 else fold.text[int(at) : int(at) + int(length)].tobytes()


def _headers(
    reason: str, sentence: str, place: tuple[str, int, int], timestamp: int
) -> list[tuple[str, bytes | None]]:
    topic, partition, offset = place
    facts = {
        "reason": reason,
        "message": sentence,
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "timestamp": str(timestamp),
    }
    return [(HEADER + name, text.encode()) for name, text in facts.items()]
