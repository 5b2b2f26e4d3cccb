import asyncio
import itertools
import uuid
from typing import TYPE_CHECKING

import numpy as np
import pytest
from aiokafka.record.memory_records import MemoryRecords
from numpy.typing import NDArray

from streams.wire.encode import EncodedBatch, Message, encode_messages, encode_rows
from streams.wire.fetch import read

if TYPE_CHECKING:
    from streams.brokers.apache import ApacheKafka

every_compression = pytest.mark.parametrize("compression", ["none", "snappy", "lz4", "zstd"])

ODD: list[Message] = [
    (b"m1", b"value", [("trace", b"a"), ("trace", b"b"), ("none", None)], 1_700_000_000_000),
    (None, b"", [], 1_600_000_000_000),
    (b"", None, [("ключ", b"")], 1_650_000_000_000),
    (b"k" * 5_000, b"v" * 300_000, [], 1_700_000_000_001),
]


def end_to_end(keys: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    text = np.frombuffer(bytearray(b"".join(keys)), np.uint8)
    return text, np.array([len(key) for key in keys], np.int64)


def read_by_aiokafka(batch: EncodedBatch) -> list[Message]:
    records = MemoryRecords(bytes(batch._build()))
    batches = []
    while records.has_next():
        batches.append(records.next_batch())
    (only,) = batches
    assert only.validate_crc()
    return [(record.key, record.value, record.headers, record.timestamp) for record in only]


@every_compression
def test_another_client_reads_what_was_written(compression: str) -> None:
    (batch,) = encode_messages(ODD, compression)

    assert read_by_aiokafka(batch) == ODD
    assert batch.record_count() == len(ODD)
    assert batch.size() == len(batch._build())
    assert batch.closed()


@every_compression
def test_our_own_reader_reads_what_was_written(compression: str) -> None:
    (batch,) = encode_messages(ODD, compression)

    fetched = read(batch._build(), 0)

    assert fetched.refused is None
    assert fetched.records.timestamp.tolist() == [message[3] for message in ODD if len(message) > 3]
    assert fetched.records.value_length.tolist() == [5, 0, -1, 300_000]
    assert fetched.records.header_count.tolist() == [3, 0, 1, 0]


def test_the_checksum_holds_after_the_producer_has_put_itself_in() -> None:
    (batch,) = encode_messages([(b"k", b"v")])
    before = bytes(batch._build())

    batch._set_producer_state(4711, 3, 99)

    (header,) = [MemoryRecords(bytes(batch._build())).next_batch()]
    assert header.validate_crc()
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (4711, 3, 99)
    assert bytes(batch._build()) != before


def test_a_message_without_a_time_gets_the_present_one() -> None:
    batches = encode_messages([(None, b"a"), (None, b"b", []), (None, b"c", [], None)])

    (times,) = [[message[3] for message in read_by_aiokafka(batch)] for batch in batches]  # type: ignore[misc]
    assert len(set(times)) == 1
    assert times[0] is not None
    assert times[0] > 1_700_000_000_000


@every_compression
def test_rows_are_cut_into_batches_that_a_broker_takes(compression: str) -> None:
    rows = np.random.default_rng(1).integers(0, 256, (700, 1_340), np.uint8)
    keys = [b"merchant-%d" % i for i in range(700)]

    batches = encode_rows(*end_to_end(keys), rows, compression)

    assert len(batches) == 2
    assert all(batch.size() < 1_000_000 for batch in batches)
    read_back = list(itertools.chain.from_iterable(map(read_by_aiokafka, batches)))
    assert [message[0] for message in read_back] == keys
    assert [message[1] for message in read_back] == [row.tobytes() for row in rows]


def test_a_record_above_the_limit_gets_a_batch_of_its_own() -> None:
    batches = encode_messages([(b"a", b"1"), (b"b", bytes(950_000)), (b"c", b"3")], "none")

    assert [batch.record_count() for batch in batches] == [1, 1, 1]
    assert [read_by_aiokafka(batch)[0][0] for batch in batches] == [b"a", b"b", b"c"]


def test_nothing_makes_no_batch() -> None:
    assert encode_messages([]) == []
    assert encode_rows(*end_to_end([]), np.empty((0, 1_340), np.uint8)) == []


@every_compression
async def test_a_broker_takes_the_batches_of_an_idempotent_producer(
    kafka: "ApacheKafka", compression: str
) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    topic = f"encode-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True)
    await producer.start()
    written = [*ODD, *[(b"k%d" % i, b"v" * 100, [], 1_700_000_000_000 + i) for i in range(5)]]
    try:
        for batch in [
            *encode_messages(ODD, compression),
            *encode_messages(written[4:], compression),
        ]:
            await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        found = [await asyncio.wait_for(consumer.getone(), 20) for _ in written]
    finally:
        await consumer.stop()
    assert [(r.key, r.value, list(r.headers), r.timestamp) for r in found] == written
    assert [r.offset for r in found] == list(range(len(written)))
