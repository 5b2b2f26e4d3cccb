"""Local days and hours: IANA zones as arrays that kernels can read.

A day is a local day number (0 is 1970-01-01), an hour a local hour number (0 is its first hour).
When clocks are put back, two hours share a number; when they are put forward, one is left out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from features.compiler import inlined, kernel
from features.hashing import hash_of

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

NEVER: Final = 2**63 - 1
"""A time that does not come, ms."""

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2101, 1, 1, tzinfo=UTC)


DEFAULT_ZONE: Final = np.uint32(0)
"""Key of the zone of whoever has registered none."""


class Zone(NamedTuple):
    """When the clocks of a zone change, and by how much they are ahead of UTC.

    Before the first change the first offset holds, after the last (2100) the last one.
    """

    starts_at: NDArray[np.int64]
    """Epoch ms from which on the offset of the same index holds; from `first` to `last` they
    ascend, and what else there is belongs to other zones."""
    ahead_ms: NDArray[np.int64]
    """Local time less UTC, ms."""
    first: int
    """Index of the first offset."""
    last: int
    """Index of the last one."""


class Zones(NamedTuple):
    """Several zones end to end, for a kernel to choose from by `zone_of`."""

    keys: NDArray[np.uint32]
    """`zone_key` of each, ascending; the first is `DEFAULT_ZONE`."""
    first: NDArray[np.int64]
    """Where each begins in the arrays of all."""
    last: NDArray[np.int64]
    """Where it ends; the index is still its own."""
    starts_at: NDArray[np.int64]
    """As in `Zone`, of all."""
    ahead_ms: NDArray[np.int64]


class UnknownZone(ValueError):  # noqa: N818  # reads as what it is
    """A name that is no IANA time zone."""


def _ahead(zone: tzinfo, at: datetime) -> timedelta:
    """Return by how much the zone's clocks are ahead of UTC."""
    return at.astimezone(zone).utcoffset() or timedelta(0)


def _change_between(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the first second in (before, after] with the offset of `after`."""
    ahead = _ahead(zone, after)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _ahead(zone, middle) == ahead:
            after = middle
        else:
            before = middle
    return after


@cache
def zone_names() -> frozenset[str]:
    """Return every name that `load_zone` knows.

    `localtime`, which some systems have beside them, is another zone on each machine.
    """
    return frozenset(available_timezones() - {"localtime"})


@cache
def zone_key(name: str) -> int:
    """Return the 32 bits that stand for a zone where a name is too long; never 0.

    >>> hex(zone_key("Asia/Shanghai"))
    '0xb0517886'
    """
    return (hash_of(name.encode()) & 0xFFFFFFFF) or 1


@cache
def _names_by_key() -> dict[int, str]:
    return {zone_key(name): name for name in zone_names()}


def zone_name(key: int) -> str:
    """Return the name whose `zone_key` this is.

    Raises:
        UnknownZone: no zone that this machine knows has it.

    >>> zone_name(zone_key("America/New_York"))
    'America/New_York'
    """
    name = _names_by_key().get(key)
    if name is None:
        raise UnknownZone(
            f"no time zone of this machine has the key {key}: update the tzdata package"
        )
    return name


@cache
def load_zone(name: str) -> Zone:
    """Return the zone of an IANA name, from 1970 to 2100.

    Raises:
        UnknownZone: with the names that look alike.

    >>> shanghai = load_zone("Asia/Shanghai")
    >>> local_day(0, shanghai), local_hour(0, shanghai)
    (0, 8)
    >>> load_zone("Europa/Berlin")
    Traceback (most recent call last):
    ...
    features.calendar.UnknownZone: 'Europa/Berlin' is no IANA time zone; did you mean Europe/Berlin?
    """
    if name not in zone_names():
        alike = get_close_matches(name, sorted(zone_names()), n=3, cutoff=0.8)
        hint = f"did you mean {' or '.join(alike)}?" if alike else "for example Asia/Shanghai"
        raise UnknownZone(f"{name!r} is no IANA time zone; {hint}")
    zone = ZoneInfo(name)
    starts, ahead = [_FIRST], [_ahead(zone, _FIRST)]
    day = _FIRST
    while day < _LAST:
        following = day + timedelta(days=1)
        if _ahead(zone, following) != ahead[-1]:
            starts.append(_change_between(zone, day, following))
            ahead.append(_ahead(zone, following))
        day = following
    millisecond = timedelta(milliseconds=1)
    return Zone(
        np.array([(start - _FIRST) // millisecond for start in starts], np.int64),
        np.array([offset // millisecond for offset in ahead], np.int64),
        first=0,
        last=len(starts) - 1,
    )


def end_to_end(zones: Mapping[int, Zone]) -> Zones:
    """Return zones by their keys, `DEFAULT_ZONE` among them, as kernels choose from them."""
    keys = sorted(zones)
    parts = [zones[key] for key in keys]
    lengths = np.array([zone.last + 1 - zone.first for zone in parts], np.int64)
    return Zones(
        keys=np.array(keys, np.uint32),
        first=np.cumsum(lengths) - lengths,
        last=np.cumsum(lengths) - 1,
        starts_at=np.concatenate([zone.starts_at[zone.first : zone.last + 1] for zone in parts]),
        ahead_ms=np.concatenate([zone.ahead_ms[zone.first : zone.last + 1] for zone in parts]),
    )


@kernel
def _place_of(key: np.uint32, keys: NDArray[np.uint32]) -> int:
    """Return the index of a key that is among ascending ones."""
    low, high = 0, len(keys) - 1
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def zone_of(key: np.uint32, zones: Zones) -> Zone:
    """Return the zone of a key, which must be among those of `zones`."""
    at = 0
    if key != DEFAULT_ZONE:
        at = _place_of(key, zones.keys)
    return Zone(zones.starts_at, zones.ahead_ms, zones.first[at], zones.last[at])


@kernel
def _segment(ms: int, zone: Zone) -> int:
    """Return the index of the offset that holds at `ms`."""
    low, high = zone.first, zone.last
    if ms >= zone.starts_at[high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if zone.starts_at[middle] <= ms:
            low = middle
        else:
            high = middle - 1
    return low


@kernel
def local_ms(ms: int, zone: Zone) -> int:
    """Return what a local clock shows at `ms`, as ms since 1970-01-01 00:00 on that clock."""
    return ms + int(zone.ahead_ms[_segment(ms, zone)])


@kernel
def local_day(ms: int, zone: Zone) -> int:
    """Return the local day number of an instant."""
    return local_ms(ms, zone) // DAY_MS


@kernel
def local_hour(ms: int, zone: Zone) -> int:
    """Return the local hour number of an instant; modulo 24 it is the hour of the day."""
    return local_ms(ms, zone) // HOUR_MS


@kernel
def month_of(day: int) -> int:
    """Return the number of the month of a local day: 0 is January 1970.

    By Howard Hinnant's days-to-civil algorithm, in years that begin in March.

    >>> month_of(0), month_of(30), month_of(31), month_of(19_782)
    (0, 0, 1, 649)
    """
    shifted = day + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march = (5 * of_year + 2) // 153
    return (era * 400 + year - 1970) * 12 + march + 2


@kernel
def next_midnight(ms: int, zone: Zone) -> int:
    """Return the first instant after `ms` that lies in a later local day.

    That is 00:00 local, or the end of the gap where clocks skip it.
    """
    segment = _segment(ms, zone)
    midnight = (local_day(ms, zone) + 1) * DAY_MS
    at = midnight - int(zone.ahead_ms[segment])
    while segment < zone.last and at >= zone.starts_at[segment + 1]:
        segment += 1
        at = max(midnight - int(zone.ahead_ms[segment]), int(zone.starts_at[segment]))
    return at
