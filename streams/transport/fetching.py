"""Makes an aiokafka consumer return folds.

aiokafka builds one Python object a record (1.7 us each). Its fetcher hands every fetched
partition to the class `PartitionRecords`; this module puts a class in front of it that unpacks
the whole fetch into columns, in kernels that hold no GIL. Only consumers whose key deserializer
is a `FoldDecoder` are affected.

A consumer may have large fetches opened in a thread, beside what its event loop does.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

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
_KafkaFetchResult: Any = fetcher.FetchResult

LARGE_FETCH = 64 * 1024
"""Bytes of one partition from which on a fetch may be opened in a thread: some 600 payments, or a
millisecond. Handing over less would cost more than it takes."""


class FoldDecoder:
    """Asks for folds, and says what each topic's records are decoded into.

    Args:
        decoders: for a topic, the function whose result becomes `Fold.decoded`.
        max_batch_bytes: the most bytes that one record batch may open to.
        aside: whether large fetches are opened in a thread, decoders included, one after the other;
            who asks for that reads with `take_folds`.
    """

    def __init__(
        self,
        decoders: Mapping[str, Callable[[Fold], Any]],
        max_batch_bytes: int,
        *,
        aside: bool = False,
    ) -> None:
        self.decoders = decoders
        self.max_batch_bytes = max_batch_bytes
        self.aside = ThreadPoolExecutor(1, "duoshou-opening") if aside else None


class _KeptRecords:
    """aiokafka's MemoryRecords, with the fetched bytes still at hand."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.unpacked = _KafkaMemoryRecords(data)
        self.has_next = self.unpacked.has_next
        self.size_in_bytes = self.unpacked.size_in_bytes


class _Opened(NamedTuple):
    """A fold, or None at the end of a fetch; where reading goes on; what went wrong."""

    fold: Fold | None
    next_offset: int
    last: bool
    error: CorruptRecordException | None = None


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
        done: whether all folds have been taken.
        opening: done when the next fold has been opened in a thread; None when it will be opened
            by whoever takes it.
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
        self.next_fetch_offset = fetch_offset
        self.done = False
        self.opening: asyncio.Future[_Opened] | None = None
        self._open_aside()

    def _open_aside(self) -> None:
        thread = self._decoder.aside
        if thread is not None and len(self._data) >= LARGE_FETCH and not self.done:
            loop = asyncio.get_running_loop()
            self.opening = loop.run_in_executor(thread, self._open, self.next_fetch_offset)

    def __iter__(self) -> folds:
        return self

    def __next__(self) -> Fold:
        if self.done:
            raise StopIteration
        opening, self.opening = self.opening, None
        opened = self._open(self.next_fetch_offset) if opening is None else opening.result()
        if opened.error is not None:
            raise opened.error
        self.next_fetch_offset, self.done = opened.next_offset, opened.last
        self._open_aside()
        if opened.fold is None:
            raise StopIteration
        return opened.fold

    def _open(self, begin: int) -> _Opened:
        """Open what stands from an offset on, up to a batch that cannot be opened."""
        began = time.perf_counter()
        fetched = read(self._data, begin, self._decoder.max_batch_bytes, self._aborted)
        next_offset = fetched.next_offset
        # Reading stops early at a batch that cannot be opened, and when it has opened enough.
        last = fetched.refused is None and len(fetched.text) < self._decoder.max_batch_bytes
        unreadable = []
        if next_offset == begin:
            if fetched.refused is None:
                return _Opened(None, begin, last=last)
            try:
                unreadable.append(self._set_aside(fetched.refused))
            except CorruptRecordException as error:
                return _Opened(None, begin, last=last, error=error)
            next_offset = unreadable[-1].last_offset + 1
        fold = Fold(
            topic=self._tp.topic,
            partition=self._tp.partition,
            first_offset=begin,
            last_offset=next_offset - 1,
            text=fetched.text,
            records=fetched.records,
            unreadable=unreadable,
        )
        decode = self._decoder.decoders.get(fold.topic)
        if decode is not None:
            fold.decoded = decode(fold)
        fold.decoded_at = time.perf_counter()
        fold.decode_seconds = fold.decoded_at - began
        return _Opened(fold, next_offset, last=last)

    def _set_aside(self, refused: WireError) -> UnreadableBatch:
        """Pass a batch that cannot be opened, keeping its bytes.

        Raises:
            CorruptRecordException: its checksum is wrong, so it may have been damaged on the
                way, or not even its end is known: only a new fetch can help.
        """
        for batch in split(self._data):
            if batch.base_offset == refused.base_offset and batch.crc_holds:
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


class _FetchResult(_KafkaFetchResult):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's FetchResult, which gives nothing while its next fold is being opened."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Any]:
        records = self._partition_records
        if not isinstance(records, folds):
            taken: list[Any] = super().getall(max_records)
            return taken
        if not self.check_assignment(self._topic_partition):
            return []
        if records.opening is not None and not records.opening.done():
            return []
        fold = next(records, None)
        self._update_position()
        if records.done:
            self._partition_records = None
        return [] if fold is None else [fold]


async def take_folds(consumer: Any, partitions: Any, timeout_s: float) -> dict[Any, list[Fold]]:
    """Return folds that have come and are open, at most one of each partition; wait for some.

    Args:
        consumer: an aiokafka consumer that returns folds.
        partitions: take those of these only; None or empty for all.
        timeout_s: seconds to wait for, if there are none.

    Raises:
        KafkaError: what the consumer has met with.
    """
    incoming = consumer._fetcher
    until = time.monotonic() + timeout_s
    while True:
        taken: dict[Any, list[Fold]] = await incoming.fetched_records(partitions, timeout=0)
        left = until - time.monotonic()
        if taken or left <= 0 or incoming._closed:
            return taken
        come = incoming._create_fetch_waiter()
        opening = [
            fetched.opening
            for tp, result in incoming._records.items()
            if isinstance(fetched := getattr(result, "_partition_records", None), folds)
            and fetched.opening is not None
            # What nobody takes stays there: a changelog that has been recovered.
            and (not partitions or tp in partitions)
        ]
        await asyncio.wait([come, *opening], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if come.done():
            come.result()
        else:
            come.cancel()


def install() -> None:
    """Put folds in front of aiokafka's records; calling it again changes nothing."""
    fetcher.MemoryRecords = _KeptRecords
    fetcher.PartitionRecords = _partition_records
    fetcher.FetchResult = _FetchResult
