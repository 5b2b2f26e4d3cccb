from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import upgrade
from features.calendar import NEVER
from features.hashing import hash_of
from features.keys import Keys, append, find
from features.layout import ROW, SCHEMA_VERSION
from features.restore import Records
from features.rows import Rows
from features.upgrade import UnreadableRow

IDS = st.binary(min_size=1, max_size=64)


class Record(NamedTuple):
    key: bytes
    value: bytes | None


def records(of: list[Record]) -> Records:
    """Lay records out in one text, as a fetched batch has them."""
    text, key_at, value_at = b"", [], []
    for record in of:
        key_at.append(len(text))
        value_at.append(len(text) + len(record.key))
        text += record.key + (record.value or b"")
    lengths = [-1 if record.value is None else len(record.value) for record in of]
    return Records(
        text=np.frombuffer(text, np.uint8),
        key_at=np.array(key_at, np.int64),
        key_length=np.array([len(record.key) for record in of], np.int32),
        value_at=np.array(value_at, np.int64),
        value_length=np.array(lengths, np.int32),
    )


def row_bytes(offset: int, limit: int = 0, version: int = SCHEMA_VERSION) -> bytes:
    row = np.zeros(1, ROW)
    row["schema_version"], row["offset"], row["limit"] = version, offset, limit
    return row.tobytes()


def restored(of: list[Record]) -> Rows:
    rows = Rows()
    rows.restore(records(of))
    return rows


def limit_of(rows: Rows, merchant: bytes) -> int:
    return int(rows.row(rows.find(merchant)).limit)


@given(st.lists(IDS, unique=True, max_size=60), IDS)
def test_a_merchant_is_found_and_no_other(ids: list[bytes], stranger: bytes) -> None:
    rows = Rows()
    numbers = [rows.add(each) for each in ids]
    assert numbers == list(range(len(ids)))
    assert [rows.find(each) for each in ids] == numbers
    assert [rows.key(number) for number in numbers] == ids
    assert len(rows) == len(ids)
    assert (rows.find(stranger) >= 0) == (stranger in ids)


def test_adding_a_merchant_again_gives_the_same_row() -> None:
    rows = Rows()
    assert rows.add(b"a") == rows.add(b"a")
    assert len(rows) == 1


@pytest.mark.parametrize("merchant", [b"", b"x" * 65])
def test_an_id_of_another_length_is_refused(merchant: bytes) -> None:
    with pytest.raises(ValueError, match="a merchant id has 1 to 64 bytes"):
        Rows().add(merchant)


def test_two_merchants_whose_hashes_agree_are_two_merchants() -> None:
    keys: Keys = Rows().keys
    text, same = np.frombuffer(b"AB", np.uint8), np.uint64(hash_of(b"A"))
    assert append(keys, text, 0, 1, same) != append(keys, text, 1, 1, same)
    assert (find(keys, text, 0, 1, same), find(keys, text, 1, 1, same)) == (0, 1)


def test_rows_and_ids_stay_what_they_are_while_there_are_more_and_more() -> None:
    rows = Rows()
    for number in range(5_000):
        rows.row(rows.add(b"merchant-%d" % number)).limit = number
    for number in range(5_000):
        assert limit_of(rows, b"merchant-%d" % number) == number


def test_a_new_row_knows_nothing_and_is_never_due() -> None:
    rows = Rows()
    row = rows.row(rows.add(b"a"))
    assert (row.offset, row.clock, row.first_at, row.last_at, row.currency) == (-1,) * 5
    assert (row.due_at, row.schema_version) == (NEVER, SCHEMA_VERSION)


def test_changed_rows_are_dirty_until_cleared_and_the_changelog_does_not_say_so() -> None:
    rows = Rows()
    for merchant in (b"a", b"b", b"c"):
        rows.row(rows.add(merchant)).dirty = 1
    rows.clear_dirty(np.array([1]))
    assert rows.dirty_rows().tolist() == [0, 2]
    packed = rows.packed(rows.dirty_rows())
    assert packed.shape == (2, ROW.itemsize)
    assert packed.view(ROW)["dirty"].ravel().tolist() == [0, 0]


def test_what_is_beside_a_row_costs_at_most_60_bytes() -> None:
    for merchants in (10_000, 30_000):
        rows = Rows()
        rows.prepare(merchants)
        for number in range(merchants):
            rows.add(b"merchant-%09d" % number)
        keys = rows.keys
        # Of the heap and the places only what is written to is resident.
        used = keys.slots.nbytes + 8 * merchants + 18 * merchants
        assert used / merchants <= 60


def test_a_restored_row_is_the_record_s_and_is_clean() -> None:
    rows = restored([Record(b"a", row_bytes(7, limit=300)), Record(b"b", row_bytes(8))])
    number = rows.find(b"a")
    assert rows.packed(np.array([number])).tobytes() == row_bytes(7, limit=300)
    assert len(rows) == 2
    assert rows.dirty_rows().tolist() == []


def test_the_row_with_the_highest_offset_wins_wherever_it_stands() -> None:
    """A stalled former owner may write an old row late."""
    late = [Record(b"a", row_bytes(9, limit=2)), Record(b"a", row_bytes(5, limit=1))]
    assert limit_of(restored(late), b"a") == 2
    assert limit_of(restored(late[::-1]), b"a") == 2


def test_of_rows_with_the_same_offset_the_last_wins() -> None:
    same = [Record(b"a", row_bytes(9, limit=2)), Record(b"a", row_bytes(9, limit=3))]
    assert limit_of(restored(same), b"a") == 3


def test_a_row_without_offset_is_below_every_other() -> None:
    assert limit_of(restored([Record(b"a", row_bytes(0, 1)), Record(b"a", row_bytes(-1, 2))]),
                    b"a") == 1  # fmt: skip


def test_a_null_value_deletes_and_a_later_one_begins_anew() -> None:
    rows = restored([Record(b"a", row_bytes(9, limit=2)), Record(b"a", None), Record(b"b", None)])
    assert (rows.find(b"a"), rows.find(b"b"), len(rows)) == (-1, -1, 0)
    assert int(rows.row(0).due_at) == NEVER
    rows.restore(records([Record(b"a", row_bytes(1, limit=5))]))
    assert (limit_of(rows, b"a"), len(rows)) == (5, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.integers(-1, 5)),
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_restoring_follows_the_rule_however_the_log_is_cut(
    log: list[tuple[bytes, int | None]], cut: int
) -> None:
    of = [
        Record(key, None if offset is None else row_bytes(offset, limit=place))
        for place, (key, offset) in enumerate(log)
    ]
    expected: dict[bytes, tuple[int, int]] = {}
    for place, (key, offset) in enumerate(log):
        if offset is None:
            expected.pop(key, None)
        elif key not in expected or offset >= expected[key][0]:
            expected[key] = (offset, place)
    rows = Rows()
    rows.restore(records(of[:cut]))
    rows.restore(records(of[cut:]))
    assert len(rows) == len(expected)
    for key, (_, limit) in expected.items():
        assert limit_of(rows, key) == limit


def test_a_newer_row_is_refused_with_what_to_do() -> None:
    of = [Record(b"a", row_bytes(1)), Record(b"stall", row_bytes(2, version=SCHEMA_VERSION + 1))]
    with pytest.raises(UnreadableRow, match=r"merchant b'stall'.*start a version of Duoshou"):
        restored(of)


@pytest.mark.parametrize("value", [b"", b"\1", row_bytes(1)[:-1], row_bytes(1) + b"\0"])
def test_a_value_of_another_size_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadableRow, match=rf"this has {len(value)}\b"):
        restored([Record(b"a", value)])


def test_a_row_of_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(UnreadableRow, match="no program ever wrote rows of schema version 0"):
        restored([Record(b"a", row_bytes(1, version=0))])


def test_an_older_row_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade_from_0(value: bytes) -> bytes:
        return SCHEMA_VERSION.to_bytes(2, "little") + value[2:] + bytes(ROW.itemsize - len(value))

    monkeypatch.setitem(upgrade.UPGRADES, 0, upgrade_from_0)
    old = row_bytes(4, limit=6, version=0)[:200]
    rows = restored([Record(b"a", row_bytes(1)), Record(b"b", old), Record(b"c", row_bytes(1))])
    assert (limit_of(rows, b"b"), len(rows)) == (6, 3)


def test_a_row_from_before_outflows_goes_on_from_its_balance() -> None:
    now = np.frombuffer(row_bytes(4, limit=6), ROW).copy()
    now["total_amount"], now["total_refunded"] = 900, 200
    raw = now.tobytes()
    old = (1).to_bytes(2, "little") + raw[2:1376]
    rows = restored([Record(b"a", old), Record(b"never paid", (1).to_bytes(2, "little") + raw[2:8] +
                     (-1).to_bytes(8, "little", signed=True) + raw[16:1376])])  # fmt: skip
    row = rows.row(rows.find(b"a"))
    assert (row.schema_version, row.offset, row.limit) == (SCHEMA_VERSION, 4, 6)
    assert (row.total_amount, row.total_refunded, row.total_outflow) == (900, 200, 0)
    assert (row.balance_low, *row.block_balance_low) == (700, 700, 700)
    row = rows.row(rows.find(b"never paid"))
    assert (row.balance_low, *row.block_balance_low) == (NEVER, NEVER, NEVER)


def test_an_old_row_of_another_size_is_refused() -> None:
    with pytest.raises(UnreadableRow, match="has 1408 bytes, but this has 1375"):
        restored([Record(b"a", row_bytes(1, version=1)[:1375])])


@pytest.mark.parametrize("key", [b"", b"k" * 65])
def test_a_key_that_is_no_merchant_id_is_refused(key: bytes) -> None:
    with pytest.raises(UnreadableRow, match="a merchant id has 1 to 64 bytes"):
        restored([Record(key, row_bytes(1))])
