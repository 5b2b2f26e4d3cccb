from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calendar import (
    DEFAULT_ZONE,
    UnknownZone,
    Zones,
    end_to_end,
    load_zone,
    local_day,
    local_hour,
    next_midnight,
    zone_key,
    zone_name,
    zone_names,
    zone_of,
)
from features.compiler import kernel
from tests.features.model import local

# Half hours, changes at midnight, a skipped day, changes suspended for a month, no changes.
NAMES = (
    "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
    "America/St_Johns", "America/Sao_Paulo", "America/Havana", "Pacific/Apia",
    "Africa/Casablanca", "Asia/Kathmandu", "UTC",
)  # fmt: skip
ZONES = st.sampled_from(NAMES)
INSTANTS = st.integers(0, 4_102_444_800_000)  # 1970 to 2100


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@given(INSTANTS, ZONES)
def test_day_and_hour_are_those_of_the_wall_clock(instant: int, zone: str) -> None:
    table = load_zone(zone)
    assert (local_day(instant, table), local_hour(instant, table)) == local(instant, ZoneInfo(zone))


@given(INSTANTS, st.integers(-2, 2), ZONES)
def test_day_and_hour_are_right_on_either_side_of_a_change(
    instant: int, aside: int, zone: str
) -> None:
    table = load_zone(zone)
    later = table.starts_at[table.starts_at > instant]
    change = int(later[0]) if len(later) else instant
    near = max(change + aside, 0)
    assert (local_day(near, table), local_hour(near, table)) == local(near, ZoneInfo(zone))


@given(INSTANTS, ZONES)
def test_the_next_midnight_is_the_first_instant_of_a_later_day(instant: int, zone: str) -> None:
    table = load_zone(zone)
    midnight = next_midnight(instant, table)
    assert midnight > instant
    assert local_day(midnight, table) > local_day(instant, table)
    assert local_day(midnight - 1, table) <= local_day(instant, table)


@kernel
def hour_and_midnight(ms: int, key: np.uint32, zones: Zones) -> tuple[int, int]:
    zone = zone_of(key, zones)
    return local_hour(ms, zone), next_midnight(ms, zone)


@given(INSTANTS, st.lists(ZONES, min_size=1, unique=True))
def test_a_zone_among_others_is_what_it_is_alone(instant: int, names: list[str]) -> None:
    alone = {int(DEFAULT_ZONE): load_zone("UTC")}
    alone |= {zone_key(name): load_zone(name) for name in names}
    zones = end_to_end(alone)
    for key, zone in alone.items():
        expected = local_hour(instant, zone), next_midnight(instant, zone)
        assert hour_and_midnight(instant, np.uint32(key), zones) == expected


def test_no_two_zones_have_the_same_key_and_none_has_that_of_no_zone() -> None:
    names = available_timezones()
    keys = {zone_key(name) for name in names}
    assert len(keys) == len(names)
    assert int(DEFAULT_ZONE) not in keys
    assert all(0 < key < 2**32 for key in keys)


def test_a_key_gives_its_name_and_an_unknown_one_says_what_to_do() -> None:
    assert {zone_name(zone_key(name)) for name in zone_names()} == zone_names()
    with pytest.raises(UnknownZone, match=r"the key 7: update the tzdata package"):
        zone_name(7)


def test_a_day_that_was_left_out_is_left_out() -> None:
    apia = load_zone("Pacific/Apia")
    eve = ms("2011-12-29T23:00:00-10:00")
    midnight = next_midnight(eve, apia)
    assert midnight == ms("2011-12-30T00:00:00-10:00")
    assert local_day(midnight, apia) == local_day(eve, apia) + 2


def test_berlin_s_long_day_has_25_hours_and_its_short_day_23() -> None:
    berlin = load_zone("Europe/Berlin")
    for date, hours in (("2025-10-26T00:00:00+02:00", 25), ("2025-03-30T00:00:00+01:00", 23)):
        assert next_midnight(ms(date), berlin) - ms(date) == hours * 3_600_000


def test_a_late_midnight_begins_where_clocks_skip_it() -> None:
    """On 2018-11-04 Sao Paulo's clocks went from 00:00 to 01:00."""
    zone = load_zone("America/Sao_Paulo")
    before = ms("2018-11-03T23:59:59-03:00")
    assert next_midnight(before, zone) == before + 1000


def test_after_the_table_s_end_the_last_offset_holds() -> None:
    far = int((datetime(9999, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC))
              / timedelta(milliseconds=1))  # fmt: skip
    assert local_hour(far, load_zone("Asia/Shanghai")) == far // 3_600_000 + 8


def test_a_wrong_name_is_refused_with_those_alike() -> None:
    with pytest.raises(UnknownZone, match=r"'Europa/Berlin' is no IANA time zone.*Europe/Berlin"):
        load_zone("Europa/Berlin")
    with pytest.raises(UnknownZone, match="for example Asia/Shanghai"):
        load_zone("???")
