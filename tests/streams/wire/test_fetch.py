import struct

import numpy as np
import pytest

from streams.wire.batches import HEADER_BYTES, Marker, TimestampType, split
from streams.wire.errors import CorruptBatch, DecompressionBomb, UnsupportedBatch
from streams.wire.fetch import Fetched, read
from streams.wire.records import headers
from tests.streams.wire import foreign

every_codec = pytest.mark.parametrize("codec", foreign.CODECS.values(), ids=foreign.CODECS)
every_compression = pytest.mark.parametrize(
    "codec",
    [c for c in foreign.CODECS.values() if c],
    ids=[n for n in foreign.CODECS if n != "none"],
)


def values(fetched: Fetched) -> list[bytes | None]:
    records, text = fetched.records, fetched.text
    return [
        None if length < 0 else text[at : at + length].tobytes()
        for at, length in zip(records.value_at, records.value_length, strict=True)
    ]


@every_codec
def test_keys_values_headers_timestamps_and_offsets_come_out_as_they_went_in(codec: int) -> None:
    written: list[foreign.Record] = [
        (b"key", b"value" * 40, [("trace", b"a"), ("trace", b"b"), ("x", None)], 1_700_000_000_000),
        (None, b"", [], 1_700_000_000_000 - 5),
        (b"", None, [("ключ", b"")], 1_700_000_100_000),
        (b"k" * 300, b"v" * 70_000, [], 1_700_000_000_001),
    ]

    fetched = read(foreign.batch(written, codec, base_offset=1000), 0)

    records, text = fetched.records, fetched.text
    assert fetched.refused is None
    assert fetched.next_offset == 1004
    assert records.offset.tolist() == [1000, 1001, 1002, 1003]
    assert records.timestamp.tolist() == [record[3] for record in written]
    assert records.key_length.tolist() == [3, -1, 0, 300]
    assert values(fetched) == [record[1] for record in written]
    assert records.header_count.tolist() == [3, 0, 1, 0]
    assert [
        headers(text, int(at), int(length))
        for at, length in zip(records.headers_at, records.headers_length, strict=True)
    ] == [record[2] for record in written]


def test_batches_of_different_compressions_become_one_text_in_offset_order() -> None:
    data = b"".join(
        foreign.simple([b"%d" % (2 * i), b"%d" % (2 * i + 1)], codec, 2 * i)
        for i, codec in enumerate([0, 2, 0, 4, 3, 1, 0])
    )

    fetched = read(data, 0)

    assert values(fetched) == [b"%d" % i for i in range(14)]
    assert fetched.records.offset.tolist() == list(range(14))


@every_codec
def test_records_below_the_wanted_offset_are_dropped(codec: int) -> None:
    data = foreign.simple([b"0", b"1", b"2"], codec) + foreign.simple([b"3"], codec, 3)

    assert values(read(data, 2)) == [b"2", b"3"]
    assert values(read(data, 3)) == [b"3"]
    assert values(read(data, 4)) == []


def test_the_gaps_that_compaction_leaves_do_not_stop_reading() -> None:
    data = bytearray(foreign.simple([b"a", b"b"], base_offset=10))
    data[23:27] = struct.pack(">i", 89)  # the batch once held 90 records

    fetched = read(foreign.sealed(data), 0)

    assert fetched.records.offset.tolist() == [10, 11]
    assert fetched.next_offset == 100


def test_a_batch_emptied_by_compaction_is_passed() -> None:
    fetched = read(foreign.with_records(b"", 0, base_offset=7) + foreign.simple([b"x"], 0, 8), 0)

    assert values(fetched) == [b"x"]


def test_log_append_time_is_the_time_of_every_record() -> None:
    data = bytearray(foreign.simple([b"a", b"b"]))
    data[21:23] = struct.pack(">h", 8)
    data[35:43] = struct.pack(">q", 5_000)
    sealed = foreign.sealed(data)

    assert read(sealed, 0).records.timestamp.tolist() == [5_000, 5_000]
    assert next(iter(split(sealed))).timestamp_type is TimestampType.LOG_APPEND_TIME


def test_a_truncated_last_batch_is_left_for_the_next_fetch() -> None:
    whole, cut = foreign.simple([b"a"]), foreign.simple([b"b"], base_offset=1)

    for size in range(len(cut)):
        fetched = read(whole + cut[:size], 0)
        assert (values(fetched), fetched.next_offset, fetched.trailing) == ([b"a"], 1, size)
        batches = split(whole + cut[:size])
        assert len(list(batches)) == 1
        assert batches.trailing == size


def test_control_batches_are_left_out_and_their_markers_can_be_read() -> None:
    data = foreign.control(0, 7, 0) + foreign.control(1, 7, 1) + foreign.simple([b"a"], 0, 2)

    assert [batch.marker() for batch in split(data)] == [Marker.ABORT, Marker.COMMIT, None]
    assert values(read(data, 0)) == [b"a"]
    assert read(data[: len(foreign.control(0, 7, 0))], 0).next_offset == 1


def test_an_aborted_transaction_is_left_out_and_the_producers_next_one_is_not() -> None:
    def sent(value: bytes, offset: int, producer: int) -> bytes:
        records: list[foreign.Record] = [(None, value, [], 1)]
        return foreign.batch(
            records, foreign.SNAPPY, offset, transactional=True, producer_id=producer
        )

    data = (
        sent(b"kept-before", 0, 7)
        + sent(b"aborted", 1, 7)
        + sent(b"other producer", 2, 8)
        + foreign.control(3, 7, 0)
        + sent(b"committed", 4, 7)
        + foreign.control(5, 7, 1)
    )

    assert values(read(data, 0, aborted=[(7, 1)])) == [
        b"kept-before",
        b"other producer",
        b"committed",
    ]
    assert len(values(read(data, 0))) == 4


def test_a_wrong_checksum_stops_reading_before_that_batch() -> None:
    bad = bytearray(foreign.simple([b"bad"], base_offset=1))
    bad[-2] ^= 1

    fetched = read(foreign.simple([b"good"]) + bytes(bad) + foreign.simple([b"x"], 0, 2), 0)

    assert values(fetched) == [b"good"]
    assert fetched.next_offset == 1
    assert isinstance(fetched.refused, CorruptBatch)
    assert (fetched.refused.base_offset, fetched.refused.next_offset) == (1, 2)
    with pytest.raises(CorruptBatch, match="checksum of the batch at offset 1"):
        next(iter(split(bytes(bad)))).validate_crc()


@every_compression
def test_a_bomb_is_refused_alone_and_can_be_passed(codec: int) -> None:
    bomb = foreign.with_records(foreign.packed(bytes(3_000_000), codec), 1, codec, 1)
    data = foreign.simple([b"good"]) + bomb + foreign.simple([b"after"], 0, 2)

    fetched = read(data, 0, max_bytes=1_000_000)

    assert values(fetched) == [b"good"]
    assert fetched.next_offset == 1
    assert isinstance(fetched.refused, DecompressionBomb)
    assert "offsets 1 to 1: it opens to more than the 1000000 bytes" in str(fetched.refused)
    assert values(read(data, fetched.refused.next_offset, max_bytes=1_000_000)) == [b"after"]
    with pytest.raises(DecompressionBomb):
        next(iter(split(bomb))).records(1_000_000)


@every_compression
def test_a_batch_may_open_to_exactly_what_is_allowed(codec: int) -> None:
    plain = foreign.simple([bytes(100_000)])
    packed = foreign.simple([bytes(100_000)], codec)
    size = len(plain) - HEADER_BYTES

    assert read(packed, 0, max_bytes=size).refused is None
    assert next(iter(split(packed))).records(size) == plain[HEADER_BYTES:]


def test_reading_stops_when_all_batches_together_have_opened_to_the_limit() -> None:
    data = b"".join(foreign.simple([bytes(1000)], foreign.LZ4, i) for i in range(10))

    first = read(data, 0, max_bytes=2_500)

    assert (len(values(first)), first.next_offset, first.refused) == (3, 3, None)
    assert len(values(read(data, first.next_offset, max_bytes=100_000))) == 7


@every_compression
def test_a_broken_stream_is_a_corrupt_batch(codec: int) -> None:
    section = foreign.packed(foreign.simple([bytes(range(256)) * 8])[HEADER_BYTES:], codec)
    for broken in (section[:-1], section[: len(section) // 2], section + b"abc", b"", b"\xff" * 40):
        fetched = read(foreign.with_records(broken, 1, codec), 0)
        assert isinstance(fetched.refused, CorruptBatch), broken
        assert fetched.next_offset == 0


def test_snappy_in_blocks_is_read_and_a_block_that_overruns_is_refused() -> None:
    section = foreign.simple([b"x" * 70_000])[HEADER_BYTES:]
    head = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    blocks = [foreign.packed(section[i : i + 32_768], foreign.SNAPPY) for i in (0, 32_768, 65_536)]
    framed = head + b"".join(struct.pack(">i", len(block)) + block for block in blocks)

    assert values(read(foreign.with_records(framed, 1, foreign.SNAPPY), 0)) == [b"x" * 70_000]
    cut = foreign.with_records(framed[:-1], 1, foreign.SNAPPY)
    assert isinstance(read(cut, 0).refused, CorruptBatch)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_compression_is_named(codec: int) -> None:
    fetched = read(foreign.with_records(b"abc", 1, codec), 0)

    assert isinstance(fetched.refused, UnsupportedBatch)
    assert f"number {codec}" in str(fetched.refused)


@pytest.mark.parametrize("magic", [0, 1, 3])
def test_another_magic_is_refused_with_what_to_do(magic: int) -> None:
    other = struct.pack(">qiIbb", 9, 14, 0, magic, 0) + bytes(8)
    data = foreign.simple([b"a"]) + other

    fetched = read(data, 0)

    assert values(fetched) == [b"a"]
    assert isinstance(fetched.refused, UnsupportedBatch)
    assert f"offset 9 has magic {magic}" in str(fetched.refused)
    with pytest.raises(UnsupportedBatch):
        list(split(data))


@pytest.mark.parametrize("length", [-1, 0, 5, 48])
def test_an_impossible_length_is_refused(length: int) -> None:
    data = bytearray(foreign.simple([b"a"]))
    data[8:12] = struct.pack(">i", length)

    assert isinstance(read(bytes(data), 0).refused, CorruptBatch)


@pytest.mark.parametrize(
    ("base", "delta"), [(-1, 0), (0, -1), ((1 << 63) - 1, 0)], ids=["base", "delta", "overflow"]
)
def test_impossible_offsets_are_refused(base: int, delta: int) -> None:
    data = bytearray(foreign.simple([b"a"]))
    data[:8] = struct.pack(">q", base)
    data[23:27] = struct.pack(">i", delta)

    fetched = read(foreign.sealed(data), 0)

    assert isinstance(fetched.refused, CorruptBatch)
    assert fetched.next_offset == 0


@pytest.mark.parametrize("count", [-1, 0, 2, 1_000_000, (1 << 31) - 1])
def test_a_record_count_that_does_not_fit_the_bytes_is_refused(count: int) -> None:
    data = foreign.changed(foreign.simple([b"abcdefghijklmnop"]), 57, struct.pack(">i", count))

    fetched = read(foreign.simple([b"good"]) + data[:7] + b"\x01" + data[8:], 0)

    assert values(fetched) == [b"good"]
    assert isinstance(fetched.refused, CorruptBatch)


def test_offsets_that_do_not_rise_are_refused() -> None:
    record = foreign.simple([b"a"])[HEADER_BYTES:]
    twice = foreign.with_records(record + record, 2)

    assert isinstance(read(twice, 0).refused, CorruptBatch)


def test_any_byte_may_be_wrong_and_nothing_outside_the_section_is_read() -> None:
    """Whatever a byte of the records says, reading ends with records or with CorruptBatch."""
    written: list[foreign.Record] = [
        (b"key", b"value", [("name", b"content"), ("other", None)], 1000 + i) for i in range(3)
    ]
    data = foreign.batch(written)
    for at in range(HEADER_BYTES, len(data)):
        for byte in (0x00, 0x01, 0x7E, 0x7F, 0x80, 0xFF, data[at] ^ 2):
            fetched = read(foreign.changed(data, at, bytes([byte])), 0)
            assert fetched.refused is None or isinstance(fetched.refused, CorruptBatch)
            records = fetched.records
            for column, length in (
                (records.key_at, records.key_length),
                (records.value_at, records.value_length),
                (records.headers_at, records.headers_length),
            ):
                assert np.all(column + np.maximum(length, 0) <= fetched.text.size)


def test_nothing_is_nothing() -> None:
    fetched = read(b"", 12)

    assert (values(fetched), fetched.next_offset, fetched.refused) == ([], 12, None)
