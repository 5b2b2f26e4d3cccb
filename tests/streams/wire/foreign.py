"""Record batches as other clients write them: aiokafka's own builder, and the formats by hand."""

import gzip
import struct
from collections.abc import Sequence
from typing import Any

import cramjam
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]


def batch(
    records: Sequence[Record],
    codec: int = NONE,
    base_offset: int = 0,
    *,
    transactional: bool = False,
    producer_id: int = -1,
) -> bytes:
    """A batch of (key, value, headers, timestamp), written by aiokafka."""
    builder = DefaultRecordBatchBuilder(
        2,
        codec,
        is_transactional=int(transactional),
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 30,
    )
    for i, (key, value, headers, timestamp) in enumerate(records):
        builder.append(i, timestamp, key=key, value=value, headers=headers)
    data = bytearray(builder.build())
    data[:8] = struct.pack(">q", base_offset)
    return bytes(data)


def simple(values: Sequence[bytes], codec: int = NONE, base_offset: int = 0) -> bytes:
    return batch(
        [(b"k", value, [], 1000 + i) for i, value in enumerate(values)], codec, base_offset
    )


def sealed(data: bytes | bytearray) -> bytes:
    """The batch with the checksum that its bytes ask for."""
    fixed = bytearray(data)
    fixed[17:21] = struct.pack(">I", calc_crc32c(bytes(fixed[21:])))
    return bytes(fixed)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """The batch with other bytes at a position, its checksum right."""
    return sealed(data[:at] + new + data[at + len(new) :])


def with_records(section: bytes, count: int, codec: int = NONE, base_offset: int = 0) -> bytes:
    """A batch around a section of records that is taken as it is."""
    header = struct.pack(
        ">qiibIhiqqqhii",
        base_offset, 49 + len(section), -1, 2, 0, codec, max(count - 1, 0), 1000, 1000,
        -1, -1, -1, count,
    )  # fmt: skip
    return sealed(header + section)


def control(base_offset: int, producer_id: int, kind: int) -> bytes:
    """The marker that ends a transaction: 0 abort, 1 commit."""
    key, value = struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0)
    data = batch([(key, value, [], 1000)], NONE, base_offset, producer_id=producer_id)
    return changed(data, 21, struct.pack(">h", 0x30))


def packed(section: bytes, codec: int) -> bytes:
    """A section of records, compressed by the plain libraries."""
    compress: dict[int, Any] = {
        GZIP: gzip.compress,
        SNAPPY: cramjam.snappy.compress_raw,
        LZ4: cramjam.lz4.compress,
        ZSTD: cramjam.zstd.compress,
    }
    return bytes(compress[codec](section))
