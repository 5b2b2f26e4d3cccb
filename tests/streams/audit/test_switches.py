import msgspec

from scorers.catalogue import BEGINNING
from streams.audit.switches import switches_of
from streams.state.holding import CHECKPOINT_KEY, CheckpointRecord, switch_key


def switch(number: int, offset: int, model: int = 0) -> tuple[bytes, CheckpointRecord]:
    return switch_key(number), CheckpointRecord(offset, {}, model, BEGINNING, number)


def checkpoint(number: int, offset: int, model: int = 0) -> tuple[bytes, CheckpointRecord]:
    return CHECKPOINT_KEY, CheckpointRecord(offset, {}, model, BEGINNING, number)


def test_switches_from_the_beginning_are_known_exactly() -> None:
    found = [switch(1, -1), switch(2, 40, 1), switch(3, 40, 2), switch(4, 90, 3), checkpoint(4, 99)]
    known = switches_of(found)
    assert known.doubt is None
    assert [(each.offset, each.model_version) for each in known.records] == [
        (-1, 0), (40, 1), (40, 2), (90, 3),
    ]  # fmt: skip


def test_the_same_record_again_says_nothing_new() -> None:
    found = [switch(1, -1), switch(2, 40), switch(1, -1), checkpoint(2, 44)]
    assert switches_of(found) == switches_of([switch(1, -1), switch(2, 40), checkpoint(2, 44)])


def test_what_came_before_the_oldest_is_in_doubt() -> None:
    known = switches_of([switch(7, 500, 6), checkpoint(7, 520, 6)])
    assert [each.offset for each in known.records] == [500]
    assert known.doubt is not None
    assert "up to offset 500" in known.doubt


def test_a_switch_that_is_missing_is_noticed() -> None:
    between = switches_of([switch(1, -1), switch(3, 90), checkpoint(3, 99)])
    assert between.doubt is not None
    assert "1 and 3" in between.doubt
    newest = switches_of([switch(1, -1), checkpoint(2, 99)])
    assert newest.doubt is not None
    assert "2, is not on record" in newest.doubt


def test_two_workers_that_say_different_things_are_noticed() -> None:
    known = switches_of([switch(1, -1), switch(2, 50, 1), switch(2, 40, 1), checkpoint(2, 60, 1)])
    assert [each.offset for each in known.records] == [-1, 50]
    assert known.doubt is not None
    assert "two workers have made switch 2" in known.doubt


def test_a_partition_whose_switches_were_never_noted_has_its_checkpoint() -> None:
    record = msgspec.json.decode(
        b'{"offset":70,"clock":{},"model_version":3,"policies":[4,5]}', type=CheckpointRecord
    )
    known = switches_of([(CHECKPOINT_KEY, record)])
    assert known.records == [record]
    assert record.stops == ()
    assert known.doubt is not None


def test_of_a_partition_without_a_checkpoint_nothing_is_known() -> None:
    assert switches_of([]).records == []
