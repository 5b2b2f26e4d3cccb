"""Merchants in time zones of their own: from the event on that registers them, by the log alone."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.calendar import load_zone, local_day, local_hour, zone_key
from features.events import Funding, Outcome
from features.hashing import hash_of
from features.layout import ROW
from scorers.entitlements import RECORD, RECORD_SCHEMA_VERSION
from scorers.merchants import SENTENCES, Enrolment, MerchantEvent, MerchantKind
from scorers.partition import Partition
from scorers.policy import Product
from tests.features.model import Event, Merchant
from tests.scorers.logs import DAY, HELD_OUT, HOUR, MERCHANTS, MINUTE, NOON, Record, logs, tick
from tests.scorers.runs import ZONE, rows_of, run
from tests.scorers.test_entitlements import MANY, beside_the_model, partition_of, relayed
from tests.scorers.test_recovery import (
    Disk,
    assert_crashes_change_nothing,
    assert_splits_change_nothing,
    stops,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SHANGHAI, NEW_YORK = "Asia/Shanghai", "America/New_York"
NAMES = [SHANGHAI, NEW_YORK, "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"]
UNKNOWN = "Mars/Olympus"


def registered(merchant: str, zone: str | None) -> MerchantEvent:
    return MerchantEvent("e", MerchantKind.REGISTERED, merchant, NOON, zone=zone)


def local(text: str, zone: str) -> int:
    """Epoch ms of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


events = st.builds(
    MerchantEvent,
    event_id=st.just("e"),
    kind=st.sampled_from([MerchantKind.REGISTERED] * 4 + [MerchantKind.ENROLLED]),
    merchant_id=st.sampled_from([merchant.decode() for merchant in MERCHANTS]),
    occurred_at=st.just(NOON),
    lender_id=st.just("bank-a"),
    product=st.just(Product.LOAN),
    zone=st.sampled_from([*NAMES, UNKNOWN, None]),
)


@st.composite
def logs_with_zones(draw: st.DrawFn) -> tuple[list[Record], dict[int, MerchantEvent]]:
    log: list[Record] = []
    amendments: dict[int, MerchantEvent] = {}
    for record in draw(logs(max_size=60, min_size=5)):
        for event in draw(st.lists(events, max_size=1)):
            amendments[len(log)] = event
            log.append(relayed(record.occurred_at))
        log.append(record)
    return log, amendments


def fields(partition: Partition, merchant: bytes) -> tuple[np.void, np.void | None]:
    """Return a merchant's row and record, as the changelog carries them."""
    raw = partition.row_bytes(merchant)
    assert raw is not None
    behind = raw[ROW.itemsize :]
    return (
        np.frombuffer(raw[: ROW.itemsize], ROW)[0],
        np.frombuffer(behind, RECORD)[0] if behind else None,
    )


def models_beside(
    partition: Partition, log: list[Record], amendments: dict[int, MerchantEvent]
) -> Iterator[dict[bytes, Merchant]]:
    """Apply a log record by record, to models of its merchants too; yield these after each."""
    models: dict[bytes, Merchant] = {}
    for offset, record in enumerate(log):
        [outcome], _ = run(partition, [record], offset, amendments)
        if offset in amendments:
            event = amendments[offset]
            if event.kind is MerchantKind.REGISTERED and event.zone == UNKNOWN:
                continue
            known = models.setdefault(event.merchant_id.encode(), Merchant(ZoneInfo(SHANGHAI)))
            if event.kind is MerchantKind.REGISTERED and event.zone is not None:
                known.zone = ZoneInfo(event.zone)
        if outcome == Outcome.APPLIED:
            model = models.setdefault(record.merchant, Merchant(ZoneInfo(SHANGHAI)))
            payer = hash_of(record.payer.encode()) if record.payer else 0
            model.apply(
                Event(
                    record.kind, record.amount, record.occurred_at, record.original_at,
                    Funding(record.funding), payer,
                )
            )  # fmt: skip
        for merchant, model in models.items():
            # Time has passed where the row says so: rows that are due are swept.
            row, _ = fields(partition, merchant)
            if model.clock < row["clock"] or offset in amendments:
                model.roll(int(row["clock"]))
        yield models


@settings(max_examples=60)
@given(logs_with_zones())
def test_every_feature_is_that_of_the_zone_in_force_and_days_never_go_back(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
) -> None:
    log, amendments = drawn
    partition = partition_of()
    reached: dict[bytes, tuple[int, int]] = {}
    for models in models_beside(partition, log, amendments):
        for merchant, model in models.items():
            row, _ = fields(partition, merchant)
            assert (row["clock"], row["day"], row["hour"]) == (model.clock, *model.now)
            assert model.now >= reached.get(merchant, model.now)
            reached[merchant] = model.now
    for merchant, model in models.items():
        expected = model.features()
        for name, value in partition.draw(merchant, 0).features.items():
            ours = math.nan if value is None else value
            assert ours == pytest.approx(expected[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@settings(max_examples=40)
@given(logs_with_zones())
def test_limits_and_when_they_are_due_agree_with_the_plain_model(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
) -> None:
    partition, model = beside_the_model(*drawn)
    assert set(partition.merchants()) == set(model.merchants)
    for merchant, known in model.merchants.items():
        assert fields(partition, merchant)[0]["due_at"] == known.due_at


@settings(max_examples=40)
@given(logs_with_zones(), st.lists(st.integers(0, 120), max_size=6))
def test_any_split_gives_the_same_rows_and_updates(
    drawn: tuple[list[Record], dict[int, MerchantEvent]], cuts: list[int]
) -> None:
    log, amendments = drawn
    whole, split = partition_of(), partition_of(updates_at_once=1)
    assert_splits_change_nothing(whole, split, log, cuts, amendments)


@settings(max_examples=40)
@given(logs_with_zones(), st.lists(stops, max_size=6))
def test_crashes_leave_rows_and_updates_as_in_a_quiet_run(
    drawn: tuple[list[Record], dict[int, MerchantEvent]],
    script: list[tuple[int, str, bool, int]],
) -> None:
    assert_crashes_change_nothing(partition_of, *drawn, script)


def test_each_merchant_s_day_begins_at_its_own_midnight() -> None:
    partition = partition_of()
    here = {0: registered("m0", NEW_YORK), 1: registered("m1", SHANGHAI)}
    run(partition, [relayed(), relayed()], amendments=here)
    evening = local("2026-03-10 23:59", NEW_YORK)
    first = [
        Record(merchant, f"{merchant!r}-{i}", occurred_at=evening + i * MINUTE)
        for merchant in (b"m0", b"m1")
        for i in range(2)
    ]
    run(partition, first, 2)
    days = {merchant: fields(partition, merchant)[0] for merchant in (b"m0", b"m1")}
    # In Shanghai both are within the same hour of the next day.
    assert days[b"m0"]["day"] == days[b"m1"]["day"]
    active = {m: partition.draw(m, 0).features["active_days_28"] for m in (b"m0", b"m1")}
    assert active == {b"m0": 2.0, b"m1": 1.0}
    assert days[b"m0"]["due_at"] == local("2026-03-12 00:00", NEW_YORK)
    assert days[b"m1"]["due_at"] == local("2026-03-12 00:00", SHANGHAI)


def test_what_was_counted_stays_where_it_was_and_what_comes_counts_by_the_new_zone() -> None:
    partition = partition_of()
    at = local("2026-03-11 09:00", SHANGHAI)
    pay = [Record(b"m0", f"p{i}", occurred_at=at + i * HOUR) for i in range(40)]
    run(partition, [pay[0], relayed(at), pay[1]], amendments={1: registered("m0", NEW_YORK)})
    row, _ = fields(partition, b"m0")
    today = int(row["day"])
    assert row["day_payments"][[today % 35, (today - 1) % 35]].tolist() == [1, 1]
    run(partition, pay[2:], 3)
    row, _ = fields(partition, b"m0")
    # Of the eleventh of March: one by Shanghai, then from New York's midnight on.
    counts = [int(row["day_payments"][(today + day) % 35]) for day in (-1, 0, 1)]
    assert counts == [2, 1 + 24, 13]
    assert row["day"] == today + 1


def test_whoever_evaluates_everybody_does_so_by_each_one_s_day() -> None:
    partition = partition_of()
    here = {0: registered("m0", NEW_YORK), 1: registered("m1", "Pacific/Apia")}
    log = [*trade(b"m0"), *trade(b"m1"), *trade(b"m2")]
    run(partition, [relayed(), relayed(), *log], amendments=here)
    at = local("2026-03-20 09:30", SHANGHAI)
    run(partition, [tick(at)], partition.offset + 1)
    partition.evaluate_all(lambda _: None)
    for merchant, zone in ((b"m0", NEW_YORK), (b"m1", "Pacific/Apia"), (b"m2", SHANGHAI)):
        row, _ = fields(partition, merchant)
        assert row["day"] == local_day(at, load_zone(zone))
        assert row["hour"] == local_hour(at, load_zone(zone))


def test_the_same_zone_again_changes_nothing_and_an_event_without_one_leaves_it() -> None:
    partition = partition_of()
    run(partition, [relayed(), *trade(b"m0")], amendments={0: registered("m0", NEW_YORK)})
    before = fields(partition, b"m0")
    at = partition.offset + 1
    again = {at: registered("m0", NEW_YORK), at + 1: registered("m0", None)}
    _, updates = run(partition, [relayed(), relayed()], at, again)
    after = fields(partition, b"m0")
    assert updates == []
    assert after[1] is not None
    assert after[1]["zone"] == zone_key(NEW_YORK)
    for ours, theirs in zip(before, after, strict=True):
        assert ours is not None
        assert theirs is not None
        own = {"offset", "source_offset", "dirty"}
        for name in set(ours.dtype.names or ()) - own:
            assert np.array_equal(ours[name], theirs[name]), name


def trade(merchant: bytes) -> list[Record]:
    return [
        Record(merchant, f"{merchant!r}{day}", occurred_at=NOON + day * DAY) for day in range(4)
    ]


def test_a_name_of_no_zone_is_refused_and_changes_nothing() -> None:
    partition = partition_of()
    run(partition, [relayed(), *trade(b"m0")], amendments={0: registered("m0", NEW_YORK)})
    before = partition.row_bytes(b"m0")
    for name in (UNKNOWN, "localtime", "asia/shanghai"):
        for merchant in ("m0", "nobody"):
            enrolment = Enrolment(registered(merchant, name), (0, 90))
            assert partition.amend(merchant.encode(), enrolment, offset=90) == "unknown_zone"
    assert partition.row_bytes(b"m0") == before
    assert partition.row_bytes(b"nobody") is None
    assert "IANA" in SENTENCES["unknown_zone"]


def test_a_refused_event_leaves_the_zone_as_it_was() -> None:
    partition = partition_of()
    run(partition, [relayed(), *trade(b"m0")], amendments={0: registered("m0", NEW_YORK)})
    event = MerchantEvent("e", MerchantKind.REGISTERED, "m0", NOON, currency="USD", zone=SHANGHAI)
    assert partition.amend(b"m0", Enrolment(event, (0, 90)), offset=90) == "other_currency"
    assert partition.zone_of(b"m0") is load_zone(NEW_YORK)


def restored(disk: Disk, installations: str = SHANGHAI) -> Partition:
    disk.new_partition = lambda: Partition(load_zone(installations), MANY)
    return disk.recover()


def test_a_merchant_keeps_its_zone_when_the_installation_s_is_another() -> None:
    disk, partition = Disk(), partition_of()
    here = {0: registered("m0", SHANGHAI), 1: registered("m1", None)}
    run(partition, [relayed(), relayed(), *trade(b"m2")], amendments=here)
    disk.checkpoint(partition, until="all")
    moved = restored(disk, "Europe/Berlin")
    zones = {merchant: moved.zone_of(merchant) for merchant in (b"m0", b"m1", b"m2", b"nobody")}
    assert zones.pop(b"m0") is load_zone(SHANGHAI)
    assert set(map(id, zones.values())) == {id(load_zone("Europe/Berlin"))}


def changed(raw: bytes, **values: int) -> bytes:
    """Return a row with other values in the record behind it."""
    record = np.frombuffer(raw[ROW.itemsize :], RECORD).copy()
    for name, value in values.items():
        record[name] = value
    return raw[: ROW.itemsize] + record.tobytes()


def test_records_of_the_first_layout_are_read_and_written_as_of_this_one() -> None:
    disk, partition = Disk(), partition_of()
    log = [relayed(), relayed(), *trade(b"m0"), *trade(b"m1")]
    consent = MerchantEvent("e", MerchantKind.ENROLLED, "m0", NOON, "bank-a", Product.LOAN)
    other = msgspec.structs.replace(consent, merchant_id="m1")
    run(partition, log, amendments={0: consent, 1: other})
    disk.checkpoint(partition, until="all")
    old = [(key, changed(raw, schema_version=1)) for key, raw in disk.rows]
    assert all(len(raw) == ROW.itemsize + 400 for _, raw in old)
    disk.rows = old
    recovered = restored(disk)
    assert rows_of(recovered) == rows_of(partition)
    assert recovered.zone_of(b"m0") is ZONE
    for each in (recovered, partition):
        at = each.offset + 1
        run(each, [relayed(), tick(NOON + 9 * DAY)], at, {at: registered("m0", NEW_YORK)})
    assert rows_of(recovered) == rows_of(partition)
    for merchant in (b"m0", b"m1"):
        _, record = fields(recovered, merchant)
        assert record is not None
        assert record["schema_version"] == RECORD_SCHEMA_VERSION == 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"schema_version": 3}, r"has layout 3, this release knows layouts up to 2"),
        ({"schema_version": 0}, r"has layout 0"),
        ({"zone": 7}, r"merchant b'm142': no time zone of this machine has the key 7.*tzdata"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused(values: dict[str, int], complaint: str) -> None:
    disk, partition = Disk(), partition_of()
    here = {0: registered("m0", NEW_YORK), 1: registered(HELD_OUT.decode(), NEW_YORK)}
    run(partition, [relayed(), relayed()], amendments=here)
    disk.checkpoint(partition, until="all")
    disk.rows = [
        (key, changed(raw, **values) if key == HELD_OUT else raw) for key, raw in disk.rows
    ]
    with pytest.raises(ValueError, match=complaint):
        restored(disk)


def test_what_is_known_at_a_later_time_is_by_the_merchant_s_day() -> None:
    partition = partition_of()
    log = [relayed(), Record(b"m0", "p"), Record(b"m1", "q")]
    run(partition, log, amendments={0: registered("m0", NEW_YORK)})
    for zone, merchant in ((NEW_YORK, b"m0"), (SHANGHAI, b"m1")):
        midnight = local("2026-03-10 00:00", zone)
        silent = [
            partition.draw(merchant, midnight + aside).features["silence_days"] for aside in (-1, 0)
        ]
        assert silent[0] is not None
        assert silent == [silent[0], silent[0] + 1]
