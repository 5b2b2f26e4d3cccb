"""Events that are no payments, in their place in the log: who decides, and what follows.

Each is decided once, by what the ledger and the rows are at its place. Behind a crash the rows may
stand further on than the ledger's mark, and are then brought up by the log alone: so what the
ledger wants of a row is said through the log (`Outputs.to_log`). Who takes events to a row acts by
their content and the row's own offset, whatever the ledger holds.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from streams.contract.messages import Relayed
from streams.dead_letters import DeadLetter, field, letter_of
from streams.decode.payments import decode_relayed
from streams.decode.routing import home_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scorers.applications.messages import Decision
    from scorers.claims.events import ClaimAnswer
    from scorers.funds.events import FundAnswer
    from scorers.loans import Example
    from streams.observability.metrics import Metrics
    from streams.state.holding import Holding
    from streams.transport.fold import Fold
    from streams.wire.encode import Message
    from streams.worker.app import App


class LogMessage(NamedTuple):
    """Something that one partition says to another, or to itself, through the log."""

    source_offset: int
    """Offset of the record that led to it, in the log of the partition that says it."""
    partition: int | None
    """Whose log it goes to; None for that of the merchant."""
    merchant_id: str | None
    """Whom it is about; None for the whole partition."""
    event: bytes
    """JSON."""


class Decided(NamedTuple):
    """A decision, and what is known of the way that its application took."""

    sent_at: int
    """Timestamp of the application's record, epoch ms."""
    relayed: Relayed
    """The envelope in which it came."""
    decision: Decision


class Outputs(NamedTuple):
    """What the relayed events of a fold lead to, in the order of the log."""

    partitions: int
    """How many there are of the log."""
    examples: list[Example]
    decisions: list[Decided]
    fund_answers: list[FundAnswer]
    claim_answers: list[ClaimAnswer]
    letters: list[DeadLetter]
    messages: list[LogMessage]

    @classmethod
    def none(cls, partitions: int) -> Outputs:
        """Return outputs to be filled, for a log of so many partitions."""
        return cls(partitions, [], [], [], [], [], [])

    def to_log(self, source_offset: int, event: bytes, *, merchant_id: str) -> None:
        """Say something of a merchant, in that merchant's log.

        Args:
            source_offset: of the record that leads to it.
            event: JSON object.
            merchant_id: whom it is about.
        """
        self.messages.append(LogMessage(source_offset, None, merchant_id, event))

    def to_partition(self, source_offset: int, event: bytes, *, partition: int) -> None:
        """Say something of a whole partition, in its log."""
        self.messages.append(LogMessage(source_offset, partition, None, event))


class Arrival(NamedTuple):
    """A relayed event in its place: everything before it has been applied, nothing behind it."""

    holding: Holding
    fold: Fold
    i: int
    """Index of its record in the fold."""
    relayed: Relayed
    taken: bool = False
    """Whether the ledger takes it now; else it holds it, and what it led to is published."""

    @property
    def offset(self) -> int:
        """Its offset in the log."""
        return int(self.fold.records.offset[self.i])

    @property
    def sent_at(self) -> int:
        """Timestamp of its record, which it keeps when it is relayed, epoch ms."""
        return int(self.fold.records.timestamp[self.i])

    @property
    def waited_ms(self) -> int:
        """For how long it has waited, as far as the log says; 0 where the log says nothing.

        Until it was relayed, and then as long as what stood in front of it had waited. No clock is
        read here: whoever reads the log again finds the same.
        """
        relayed_at = self.relayed.relayed_at
        if relayed_at is None or self.sent_at < 0:
            return 0
        return max(0, relayed_at - self.sent_at) + (self.relayed.log_delay_ms or 0)

    def letter(self, reason: str, sentence: str) -> DeadLetter:
        """Return the event as a dead letter, as it was before it was relayed."""
        return letter_of(self.fold, self.i, reason, sentence, self.relayed)


Handler: TypeAlias = "Callable[[Any, Arrival, Outputs, Metrics], None]"
"""Takes the decoded event, and its place in the log."""


class Handled(NamedTuple):
    """Who handles the events of one topic."""

    kind: Any
    """Type that they are decoded to, or a union of types."""
    by_ledger: Handler | None = None
    """Decides once, by the ledger."""
    by_row: Handler | None = None
    """Changes a row, by the content of the event and the row's own offset."""


class RelayedEvents:
    """Hands each relayed event to whom it concerns, by the topic that it came from.

    Args:
        handled: by the topic's full name; the worker's own messages come from `payments`.
        metrics: where to report to.
    """

    def __init__(self, handled: Mapping[str, Handled], metrics: Metrics) -> None:
        self._handled = handled
        self._decoders = {
            topic: msgspec.json.Decoder(each.kind).decode for topic, each in handled.items()
        }
        self._metrics = metrics

    def apply(self, holding: Holding, fold: Fold, i: int, outputs: Outputs) -> None:
        """Decide the relayed event at index `i`, unless ledger or row already hold it."""
        value = field(fold, fold.records.value_at[i], fold.records.value_length[i])
        arrival = Arrival(holding, fold, i, decode_relayed(value or b""))
        handled = self._handled.get(arrival.relayed.topic)
        if handled is None:
            known = ", ".join(sorted(self._handled))
            sentence = f"topic must be one of {known}: nothing else is relayed"
            letter = letter_of(fold, i, "out_of_range", sentence)
        else:
            try:
                event = self._decoders[arrival.relayed.topic](arrival.relayed.event)
            except msgspec.DecodeError as error:
                letter = arrival.letter("wrong_type", str(error))
            else:
                self._hand_on(handled, event, arrival, outputs)
                return
        # The relay lets none through: someone else has put it here.
        if holding.accounts.ledger.takes(arrival.offset):
            outputs.letters.append(letter)

    def _hand_on(self, handled: Handled, event: Any, arrival: Arrival, outputs: Outputs) -> None:
        taken = arrival.holding.accounts.ledger.takes(arrival.offset)
        arrival = arrival._replace(taken=taken)
        if handled.by_row is not None:
            handled.by_row(event, arrival, outputs, self._metrics)
        if taken and handled.by_ledger is not None:
            handled.by_ledger(event, arrival, outputs, self._metrics)


async def publish_to_log(app: App, holding: Holding, messages: Iterable[LogMessage]) -> None:
    """Put messages of a partition into the log; its next checkpoint waits for them.

    After a crash a message may come again, with the same content and source: what takes it must
    know it by an id.
    """
    homes: defaultdict[int, list[Message]] = defaultdict(list)
    for each in messages:
        key = None if each.merchant_id is None else each.merchant_id.encode()
        home = each.partition
        if home is None:
            home = holding.number if key is None else home_of(key, app.settings.partitions)
        envelope = Relayed(
            merchant_id=each.merchant_id,
            topic=app.payments_topic,
            partition=holding.number,
            offset=each.source_offset,
            event=msgspec.Raw(each.event),
        )
        homes[home].append((key, msgspec.json.encode(envelope)))
    for home, records in homes.items():
        await app.outbox.publish(holding.number, app.payments_topic, home, records)
