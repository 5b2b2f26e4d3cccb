"""Local days and hours: an IANA zone as two arrays that kernels can read.

A day is a local day number (0 is 1970-01-01), an hour a local hour number (0 is its first hour).
When clocks are put back, two hours share a number; when they are put forward, one is left out.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from features.compiler import kernel

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

NEVER: Final = 2**63 - 1
"""A time that does not come, ms."""

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2101, 1, 1, tzinfo=UTC)


class Zone(NamedTuple):
    """When the clocks of a zone change, and by how much they are ahead of UTC.

    Before the first change the first offset holds, after the last (2100) the last one.
    """

    starts_at: NDArray[np.int64]
    """Epoch ms from which on the offset of the same index holds; ascending."""
    ahead_ms: NDArray[np.int64]
    """Local time less UTC, ms."""


class UnknownZone(ValueError):  # noqa: N818  # reads as what it is
    """A name that is no IANA time zone."""


def _ahead(zone: tzinfo, at: datetime) -> timedelta:
    """Return by how much the zone's clocks are ahead of UTC."""
    return at.astimezone(zone).replace(tzinfo=UTC) - at


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


@lru_cache
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
    names = available_timezones()
    if name not in names:
        alike = get_close_matches(name, sorted(names), n=3, cutoff=0.8)
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
    )


@kernel
def _segment(ms: int, zone: Zone) -> int:
    """Return the index of the offset that holds at `ms`."""
    low, high = 0, len(zone.starts_at) - 1
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
    while segment + 1 < len(zone.starts_at) and at >= zone.starts_at[segment + 1]:
        segment += 1
        at = max(midnight - int(zone.ahead_ms[segment]), int(zone.starts_at[segment]))
    return at
