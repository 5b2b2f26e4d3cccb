import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import OperatorError
from streams.replay.pacing import HOUR_MS, LONGEST_SILENCE_HOURS, Hours, Pace, speed_factor


@pytest.mark.parametrize("text", ["", "fast", "0x", "-1x", "2", "x", "1e3x", "nanx"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="--speed is max, real or a number of times"):
        speed_factor(text)


def test_at_sixty_times_a_minute_passes_in_a_second() -> None:
    pace = Pace(60.0, first_at=1_000, now=50.0)
    assert pace.due(1_000) == 50.0
    assert pace.due(61_000) == 51.0


def test_at_full_speed_everything_is_due_at_once() -> None:
    assert Pace(None, first_at=0, now=50.0).due(10**12) == 50.0


@given(st.lists(st.integers(0, 400 * HOUR_MS), min_size=1).map(sorted))
def test_every_full_hour_between_first_and_last_payment_is_ticked_once_before_what_follows_it(
    times: list[int],
) -> None:
    hours, ticks = Hours(None), []
    for at in times:
        passed = list(hours.passed(at))
        assert all(tick <= at for tick in passed)
        ticks += passed
    first, last = times[0] // HOUR_MS, times[-1] // HOUR_MS
    assert ticks == [hour * HOUR_MS for hour in range(first + 1, last + 1)]


def test_a_run_that_goes_on_ticks_no_hour_twice() -> None:
    assert list(Hours(hour=7).passed(8 * HOUR_MS + 5)) == [8 * HOUR_MS]
    assert list(Hours(hour=8).passed(8 * HOUR_MS + 5)) == []


def test_a_gap_of_years_is_crossed_in_few_ticks_and_ends_at_the_payment() -> None:
    hours = Hours(None)
    list(hours.passed(0))
    ticks = list(hours.passed(20 * 365 * 24 * HOUR_MS))
    assert len(ticks) == LONGEST_SILENCE_HOURS + 1
    assert ticks[-1] == 20 * 365 * 24 * HOUR_MS
    assert ticks == sorted(set(ticks))
