"""Whatever a crash leaves behind, the log read again gives the same rows and the same updates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Outcome
from tests.scorers.logs import DAY, HOUR, MINUTE, NOON, Record, logs
from tests.scorers.runs import in_pieces, new_partition, rows_of, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scorers.merchants import MerchantEvent
    from scorers.partition import Partition
    from scorers.remembered import ChangedRows
    from tests.scorers.partition_model import Update


def changed_rows(changed: ChangedRows) -> list[tuple[bytes, bytes]]:
    ends = np.cumsum(changed.key_length)
    keys = changed.keys.tobytes()
    return [
        (keys[end - length : end], row.tobytes())
        for end, length, row in zip(ends, changed.key_length, changed.rows, strict=True)
    ]


@dataclass
class Disk:
    """What has been made durable: pages, rows (the newest last) and the newest clock."""

    new_partition: Callable[[], Partition] = new_partition
    pages: list[bytes] = field(default_factory=list)
    rows: list[tuple[bytes, bytes]] = field(default_factory=list)
    clock: dict[str, int] | None = None

    def checkpoint(self, partition: Partition, *, until: str, some: int = 0) -> None:
        """Write a checkpoint in its order, or only its beginning."""
        pages, changed = partition.take_pages(), partition.take_changed_rows()
        clock = partition.clock_state()
        if until == "nothing":
            return
        self.pages += pages
        if until == "pages":
            return
        written = [record for rows in changed for record in changed_rows(rows)]
        if until == "some rows":
            self.rows += written[: some % (len(written) + 1)]
            return
        self.rows += written
        if until == "rows":
            return
        self.clock = clock

    def recover(self, *, clock_first: bool = False) -> Partition:
        partition = self.new_partition()
        if clock_first and self.clock is not None:
            partition.restore_clock(self.clock)
        for page in self.pages:
            partition.load_page(page)
        text = b"".join(key + row for key, row in self.rows)
        lengths = np.array([(len(key), len(row)) for key, row in self.rows], np.int32)
        key_length, value_length = lengths.reshape(-1, 2).T
        ends = np.cumsum(key_length + value_length, dtype=np.int64)
        partition.restore_rows(
            np.frombuffer(text, np.uint8),
            ends - value_length - key_length,
            np.ascontiguousarray(key_length),
            ends - value_length,
            np.ascontiguousarray(value_length),
        )
        if not clock_first and self.clock is not None:
            partition.restore_clock(self.clock)
        return partition


STAGES = ("nothing", "pages", "some rows", "rows", "all")
stops = st.tuples(
    st.integers(1, 30),  # records applied before it
    st.sampled_from(STAGES),  # how far the checkpoint comes
    st.booleans(),  # whether the process dies then
    st.integers(0, 5),  # how many rows are written, or how far behind the clock reading begins
)


def interrupted(
    new: Callable[[], Partition],
    log: Sequence[Record],
    amendments: Mapping[int, MerchantEvent],
    script: Sequence[tuple[int, str, bool, int]],
) -> tuple[Partition, set[Update]]:
    """Apply a log with checkpoints and crashes; return the last partition and all updates."""
    return gone_on(Disk(new), new(), log, amendments, script)


def assert_crashes_change_nothing(
    new: Callable[[], Partition],
    log: Sequence[Record],
    amendments: Mapping[int, MerchantEvent],
    script: Sequence[tuple[int, str, bool, int]],
) -> None:
    """Rows and updates are as in a quiet run."""
    quiet = new()
    _, expected = run(quiet, log, amendments=amendments)
    partition, published = interrupted(new, log, amendments, script)
    assert rows_of(partition) == rows_of(quiet)
    assert published == set(expected)


def assert_splits_change_nothing(
    whole: Partition,
    split: Partition,
    log: Sequence[Record],
    cuts: Sequence[int],
    amendments: Mapping[int, MerchantEvent],
) -> None:
    """Rows and updates of a log in batches that end at the cuts are those of one batch."""
    _, updates = run(whole, log, amendments=amendments)
    assert in_pieces(split, log, cuts, amendments) == updates
    assert rows_of(split) == rows_of(whole)


def gone_on(
    disk: Disk,
    partition: Partition,
    log: Sequence[Record],
    amendments: Mapping[int, MerchantEvent],
    script: Sequence[tuple[int, str, bool, int]],
) -> tuple[Partition, set[Update]]:
    """Apply the rest of a log, with checkpoints and crashes, as `interrupted` does."""
    at = partition.offset + 1
    published: set[Update] = set()
    for count, stage, dies, some in script:
        batch = log[at : at + count]
        published.update(run(partition, batch, at, amendments)[1])
        at += len(batch)
        disk.checkpoint(partition, until=stage if dies else "all", some=some)
        if dies:
            partition = disk.recover()
            at = partition.offset + 1
    published.update(run(partition, log[at:], at, amendments)[1])
    return partition, published


@settings(max_examples=100)
@given(logs(), st.lists(stops, max_size=8), st.booleans())
def test_crashes_at_any_moment_leave_rows_and_updates_as_in_a_quiet_run(
    log: list[Record], script: list[tuple[int, str, bool, int]], clock_first: bool
) -> None:
    quiet = new_partition()
    _, expected = run(quiet, log)

    disk, partition, at = Disk(), new_partition(), 0
    published: set[Update] = set()
    for count, stage, dies, some in [*script, (len(log), "all", False, 0)]:
        until = at + count if script else len(log)
        batch = log[at : max(until, at)]
        published.update(run(partition, batch, at)[1])
        at += len(batch)
        if not dies:
            disk.checkpoint(partition, until="all")
            continue
        disk.checkpoint(partition, until=stage, some=some)
        partition = disk.recover(clock_first=clock_first)
        at = max(partition.offset + 1 - some, 0)
    published.update(run(partition, log[at:], at)[1])

    assert rows_of(partition) == rows_of(quiet)
    assert partition.clock_state() == quiet.clock_state()
    assert published == set(expected)


def test_a_duplicate_stays_one_although_a_page_holds_the_next_life_of_its_id() -> None:
    # The id counts, repeats after a day, and counts again once it is forgotten, 60 hours later.
    # A crash leaves a page that holds its second life, but not the row nor the clock.
    first = Record(payment_id="p", occurred_at=NOON)
    log = [
        first,
        replace(first, timestamp=NOON + DAY),
        Record(payment_id="q", merchant=b"other", occurred_at=NOON + 60 * HOUR),
        Record(payment_id="p", occurred_at=NOON + 60 * HOUR + MINUTE),
    ]
    quiet = new_partition()
    outcomes, _ = run(quiet, log)
    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.APPLIED, Outcome.APPLIED]

    disk, partition = Disk(), new_partition()
    run(partition, log[:1])
    disk.checkpoint(partition, until="all")
    run(partition, log[1:], 1)
    disk.checkpoint(partition, until="pages")
    recovered = disk.recover()
    outcomes, _ = run(recovered, log[1:], 1)
    assert outcomes == [Outcome.DUPLICATE, Outcome.APPLIED, Outcome.APPLIED]
    assert rows_of(recovered) == rows_of(quiet)


def test_a_repetition_is_known_when_the_row_of_its_first_was_ahead_of_the_clock() -> None:
    first = Record(payment_id="p", occurred_at=NOON)
    disk, partition = Disk(), new_partition()
    run(partition, [first])
    disk.checkpoint(partition, until="rows")
    recovered = disk.recover()
    outcomes, _ = run(recovered, [first, first])
    assert outcomes == [Outcome.REPLAYED, Outcome.DUPLICATE]


def test_what_lies_before_the_clock_is_passed_over() -> None:
    partition = new_partition()
    log = [Record(payment_id="p"), Record(payment_id="p", amount=5)]
    run(partition, log)
    before = rows_of(partition)
    outcomes, updates = run(partition, log)
    assert (outcomes, updates) == ([Outcome.REPLAYED] * 2, [])
    assert rows_of(partition) == before


def test_an_older_clock_does_not_turn_time_back() -> None:
    disk, partition = Disk(), new_partition()
    run(partition, [Record(payment_id="p")])
    older = partition.clock_state()
    run(partition, [Record(payment_id="q", occurred_at=NOON + HOUR)], 1)
    newer = partition.clock_state()
    disk.checkpoint(partition, until="all")
    recovered = disk.recover()
    recovered.restore_clock(older)
    assert recovered.clock_state() == newer


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"schema_version": 2, "offset": 1}, "has layout 2, this release knows layouts up to 1"),
        ({"schema_version": 1, "offset": 1}, "lacks watermark, swept_hour"),
    ],
)
def test_a_clock_that_cannot_be_read_is_refused(state: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        new_partition().restore_clock(state)
