from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.partitioner import murmur2
from faust.types import TP

from features.calendar import load_zone
from features.events import Outcome
from scorers.partition import Partition
from streams.contract.messages import Relayed
from streams.decode.payments import decode_relayed
from streams.decode.routing import mark_misrouted
from streams.settings import Settings
from streams.state.holding import Holding
from streams.transport.fetching import FoldDecoder, folds
from streams.wire.encode import EncodedBatch, Message, encode_messages
from streams.worker.decoding import fold_decoder
from streams.worker.relayed import Arrival, Handled, Outputs, RelayedEvents, publish_to_log

if TYPE_CHECKING:
    from streams.transport.fold import Fold

NOW = 1_760_000_000_000
PARTITIONS = 4


def fold_of(messages: list[tuple[bytes | None, bytes | None]], topic: str = "payments") -> Fold:
    records: list[Message] = [(key, value, [], NOW) for key, value in messages]
    return read(encode_messages(records, compression="none")[0], topic)


def read(batch: EncodedBatch, topic: str = "payments") -> Fold:
    decoder = FoldDecoder({"payments": fold_decoder(PARTITIONS)}, 1 << 20)
    (fold,) = folds(TP(topic, 0), bytes(batch._build()), (), 0, decoder)
    return fold


def holding() -> Holding:
    return Holding(2, Partition(load_zone("Asia/Shanghai")))


def relayed(topic: str, merchant_id: str | None = "m1") -> bytes:
    return msgspec.json.encode(Relayed(merchant_id, topic, 1, 77, msgspec.Raw(b'{"kind":"x"}')))


def test_an_event_goes_to_whom_its_topic_names_and_only_once() -> None:
    told: list[tuple[str, int]] = []

    def take(_: Any, arrival: Arrival, outputs: Outputs, metrics: Any) -> None:
        told.append((arrival.relayed.topic, arrival.offset))

    events = RelayedEvents(
        {"loans": Handled(dict, take), "applications": Handled(dict, take)},
        None,  # type: ignore[arg-type]
    )
    fold = fold_of([(b"m1", relayed("loans")), (b"m1", relayed("applications"))])
    held, outputs = holding(), Outputs.none(4)
    for i in (0, 1, 0, 1):
        events.apply(held, fold, i, outputs)
    assert told == [("loans", 0), ("applications", 1)]
    assert outputs == Outputs.none(4)


def test_an_event_of_a_topic_that_is_not_relayed_is_set_aside_as_it_came() -> None:
    events = RelayedEvents({}, None)  # type: ignore[arg-type]
    fold = fold_of([(b"m1", relayed("models"))])
    outputs = Outputs.none(4)
    events.apply(holding(), fold, 0, outputs)
    (letter,) = outputs.letters
    assert (letter.reason, letter.value) == ("out_of_range", relayed("models"))
    assert tuple(dict(letter.headers)[f"duoshou-{name}"] for name in ("topic", "offset")) == (
        b"payments",
        b"0",
    )


class Published:
    """An outbox that keeps what is published."""

    def __init__(self) -> None:
        self.app: Any = SimpleNamespace(
            settings=Settings(partitions=PARTITIONS, compression="none"),
            payments_topic="payments",
            outbox=self,
        )
        self.at: dict[int, Fold] = {}

    async def publish(
        self, source: int, topic: str, partition: int, messages: list[Message]
    ) -> None:
        assert (source, topic) == (2, "payments"), "a checkpoint of the source must wait for it"
        (batch,) = encode_messages(messages, "none")
        self.at[partition] = read(batch)


def envelopes(fold: Fold) -> list[tuple[bytes | None, Relayed]]:
    records = fold.records
    return [
        (
            None
            if records.key_length[i] < 0
            else fold.text[records.key_at[i] :][: records.key_length[i]].tobytes(),
            decode_relayed(fold.text[records.value_at[i] :][: records.value_length[i]].tobytes()),
        )
        for i in range(len(fold))
    ]


def test_what_is_said_of_a_merchant_goes_to_its_log_and_of_a_partition_has_no_key() -> None:
    published, outputs = Published(), Outputs.none(4)
    outputs.to_log(40, b'{"n":1}', merchant_id="m1")
    outputs.to_partition(41, b'{"n":2}', partition=3)
    outputs.to_log(42, b'{"n":3}', merchant_id="m1")
    asyncio.run(publish_to_log(published.app, holding(), outputs.messages))
    home = (murmur2(b"m1") & 0x7FFFFFFF) % PARTITIONS
    assert home != 3
    assert envelopes(published.at[home]) == [
        (b"m1", Relayed("m1", "payments", 2, 40, msgspec.Raw(b'{"n":1}'))),
        (b"m1", Relayed("m1", "payments", 2, 42, msgspec.Raw(b'{"n":3}'))),
    ]
    assert envelopes(published.at[3]) == [
        (None, Relayed(None, "payments", 2, 41, msgspec.Raw(b'{"n":2}'))),
    ]


def test_what_is_said_of_a_partition_is_not_sent_home() -> None:
    fold = fold_of([(None, relayed("payments", None))])
    events, text = fold.decoded.events, fold.decoded.text
    for partition in range(PARTITIONS):
        assert mark_misrouted(events, text, partition, PARTITIONS) == 0
    assert events.outcome.tolist() == [Outcome.RELAYED]
