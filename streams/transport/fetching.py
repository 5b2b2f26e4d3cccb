"""Makes an aiokafka consumer return folds.

aiokafka builds one Python object a record (1.7 us each). Its fetcher hands every fetched
partition to the class `PartitionRecords`; this module puts a class in front of it that unpacks
the whole fetch into columns, in kernels that hold no GIL. Only consumers whose key deserializer
is a `FoldDecoder` are affected.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from streams.transport.fold import Fold, UnreadableBatch
from streams.wire.batches import split
from streams.wire.errors import DecompressionBomb, WireError
from streams.wire.fetch import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_KafkaMemoryRecords = fetcher.MemoryRecords
_KafkaPartitionRecords = fetcher.PartitionRecords


class FoldDecoder:
    """Asks for folds, and says what each topic's records are decoded into.

    Args:
        decoders: for a topic, the function whose result becomes `Fold.decoded`; it runs in the
            consumer's thread.
        max_batch_bytes: the most bytes that one record batch may open to.
    """

    def __init__(self, decoders: Mapping[str, Callable[[Fold], Any]], max_batch_bytes: int) -> None:
        self.decoders = decoders
        self.max_batch_bytes = max_batch_bytes


class _KeptRecords:
    """aiokafka's MemoryRecords, with the fetched bytes still at hand."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.unpacked = _KafkaMemoryRecords(data)
        self.has_next = self.unpacked.has_next
        self.size_in_bytes = self.unpacked.size_in_bytes


class folds:  # noqa: N801  (used like a function)
    """The folds of one fetch of one partition: one, or more around a batch that cannot be opened.

    Args:
        tp: topic and partition, as aiokafka names them.
        data: the record batches as the broker sent them.
        aborted_transactions: (producer id, first offset) of each; empty to read all.
        fetch_offset: the offset that was asked for.
        decoder: what to decode the records with.

    Attributes:
        next_fetch_offset: where reading goes on.
    """

    def __init__(
        self,
        tp: Any,
        data: bytes,
        aborted_transactions: Sequence[tuple[int, int]],
        fetch_offset: int,
        decoder: FoldDecoder,
    ) -> None:
        self._tp = tp
        self._data = data
        self._aborted = aborted_transactions
        self._decoder = decoder
        self._done = False
        self.next_fetch_offset = fetch_offset

    def __iter__(self) -> folds:
        return self

    def __next__(self) -> Fold:
        if self._done:
            raise StopIteration
        began = time.perf_counter()
        begin = self.next_fetch_offset
        fetched = read(self._data, begin, self._decoder.max_batch_bytes, self._aborted)
        self.next_fetch_offset = fetched.next_offset
        # Reading stops early at a batch that cannot be opened, and when it has opened enough.
        self._done = fetched.refused is None and len(fetched.text) < self._decoder.max_batch_bytes
        unreadable = []
        if fetched.next_offset == begin:
            if fetched.refused is None:
                raise StopIteration
            unreadable.append(self._set_aside(fetched.refused))
        fold = Fold(
            topic=self._tp.topic,
            partition=self._tp.partition,
            first_offset=begin,
            last_offset=self.next_fetch_offset - 1,
            text=fetched.text,
            records=fetched.records,
            unreadable=unreadable,
        )
        decode = self._decoder.decoders.get(fold.topic)
        if decode is not None:
            fold.decoded = decode(fold)
        fold.decoded_at = time.perf_counter()
        fold.decode_seconds = fold.decoded_at - began
        return fold

    def _set_aside(self, refused: WireError) -> UnreadableBatch:
        """Pass a batch that cannot be opened, keeping its bytes.

        Raises:
            CorruptRecordException: its checksum is wrong, so it may have been damaged on the
                way, or not even its end is known: only a new fetch can help.
        """
        for batch in split(self._data):
            if batch.base_offset == refused.base_offset and batch.crc_holds:
                self.next_fetch_offset = batch.next_offset
                bomb = isinstance(refused, DecompressionBomb)
                return UnreadableBatch(
                    first_offset=batch.base_offset,
                    last_offset=batch.last_offset,
                    timestamp=batch.max_timestamp,
                    raw=bytes(batch.raw),
                    reason_code="decompression_bomb" if bomb else "corrupt_batch",
                    reason=str(refused),
                )
        raise CorruptRecordException(f"{self._tp.topic}-{self._tp.partition}: {refused}")


def _partition_records(
    tp: Any,
    records: _KeptRecords,
    aborted_transactions: list[tuple[int, int]],
    fetch_offset: int,
    key_deserializer: Any,
    value_deserializer: Any,
    check_crcs: bool,
    isolation_level: int,
) -> Any:
    if isinstance(key_deserializer, FoldDecoder):
        aborted = aborted_transactions if isolation_level == fetcher.READ_COMMITTED else ()
        return folds(tp, records.data, aborted or (), fetch_offset, key_deserializer)
    return _KafkaPartitionRecords(
        tp,
        records.unpacked,
        aborted_transactions,
        fetch_offset,
        key_deserializer,
        value_deserializer,
        check_crcs,
        isolation_level,
    )


def install() -> None:
    """Put folds in front of aiokafka's records; calling it again changes nothing."""
    fetcher.MemoryRecords = _KeptRecords
    fetcher.PartitionRecords = _partition_records
