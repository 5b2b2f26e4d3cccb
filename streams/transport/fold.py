"""What one fetch brought from one partition."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streams.wire.records import Records


@dataclass(slots=True)
class UnreadableBatch:
    """A record batch that could not be opened; its bytes are kept as they came.

    Attributes:
        first_offset: offset of the batch's first record.
        last_offset: offset of its last record.
        timestamp: the newest timestamp in it, epoch ms.
        raw: the batch as the broker sent it, header included.
        reason_code: `corrupt_batch` or `decompression_bomb`.
        reason: one sentence for a person.
    """

    first_offset: int
    last_offset: int
    timestamp: int
    raw: bytes
    reason_code: str
    reason: str


@dataclass(slots=True)
class Fold:
    """All records of one partition that one fetch returned, as columns.

    Attributes:
        topic: Kafka topic.
        partition: Kafka partition.
        first_offset: the offset that was asked for; the fold accounts for all from here on.
        last_offset: the highest offset that this fold accounts for, whether or not a record
            stands at it (compaction, control batches); reading goes on behind it.
        text: the bytes that the columns point into.
        records: one entry a record, in log order.
        unreadable: batches that could not be opened.
        decoded: what the topic's decoder made of the records, or None when it has none.
        fetched_at: `time.monotonic()` when the fold was made, in seconds.
        decode_seconds: time that unpacking and decoding took.
        decoded_at: `time.perf_counter()` when that was done, in seconds.
    """

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    text: NDArray[np.uint8]
    records: Records
    unreadable: list[UnreadableBatch] = field(default_factory=list)
    decoded: Any = None
    fetched_at: float = field(default_factory=time.monotonic)
    decode_seconds: float = 0.0
    decoded_at: float = field(default_factory=time.perf_counter)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records.offset)
