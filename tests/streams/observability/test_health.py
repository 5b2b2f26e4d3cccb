"""When a worker is alive, and when it is ready."""

import pytest

from streams.observability import Health, State


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(liveness_timeout_s=60, clock=clock)


def measures_for(health: Health, clock: Clock, seconds: int, records: int) -> None:
    """The worker measures the lag of its one partition every second."""
    for _ in range(seconds):
        clock.passes(1)
        health.input_waits("payments", 0, records)


def test_an_idle_worker_lives_for_days(health: Health, clock: Clock) -> None:
    measures_for(health, clock, seconds=7_200, records=0)
    assert health.live().ok


def test_a_worker_that_progresses_under_load_lives(health: Health, clock: Clock) -> None:
    for _ in range(300):
        measures_for(health, clock, seconds=1, records=1_000_000)
        health.progressed()
    assert health.live().ok


def test_a_worker_dies_when_input_waits_and_nothing_progresses(
    health: Health, clock: Clock
) -> None:
    measures_for(health, clock, seconds=61, records=7)
    assert health.live().ok, "the limit itself is still tolerated"
    measures_for(health, clock, seconds=1, records=7)
    verdict = health.live()
    assert not verdict.ok
    assert "7 records wait and nothing has progressed for 61 s" in verdict.reason


def test_the_time_without_progress_begins_with_the_input_not_with_the_idle_night(
    health: Health, clock: Clock
) -> None:
    measures_for(health, clock, seconds=3_600, records=0)
    measures_for(health, clock, seconds=30, records=1)
    assert health.live().ok


def test_a_dead_worker_that_progresses_again_lives(health: Health, clock: Clock) -> None:
    measures_for(health, clock, seconds=62, records=7)
    health.progressed()
    assert health.live().ok


def test_one_stuck_partition_among_idle_ones_is_noticed(health: Health, clock: Clock) -> None:
    for _ in range(62):
        measures_for(health, clock, seconds=1, records=7)
        health.input_waits("payments", 1, 0)
    assert not health.live().ok


def test_the_lag_of_a_lost_partition_does_not_count(health: Health, clock: Clock) -> None:
    measures_for(health, clock, seconds=62, records=7)
    health.partition_lost("payments", 0)
    assert health.live().ok
    clock.passes(3_600)
    assert health.live().ok, "a worker without partitions has no lag to measure"


def test_a_consumer_that_silently_stopped_measuring_is_dead(health: Health, clock: Clock) -> None:
    """aiokafka#1154: after a restart of the broker no exception, no rejoin, lag frozen at 0."""
    measures_for(health, clock, seconds=5, records=0)
    clock.passes(61)
    verdict = health.live()
    assert not verdict.ok
    assert "has not been measured for 61 s" in verdict.reason


def test_a_long_recovery_lives_while_rows_come_in(health: Health, clock: Clock) -> None:
    health.compiled()
    health.recovering()
    for _ in range(100):
        measures_for(health, clock, seconds=10, records=5_000)
        health.progressed()
    assert health.live().ok
    assert not health.ready().ok


def test_a_recovery_in_which_nobody_measures_lag_lives_while_rows_come_in(
    health: Health, clock: Clock
) -> None:
    measures_for(health, clock, seconds=5, records=0)
    health.recovering()
    for _ in range(100):
        clock.passes(10)
        health.progressed()
    assert health.live().ok


def test_a_worker_is_ready_once_compiled_and_recovered(health: Health) -> None:
    states = [health.state]
    for step in (health.compiled, health.recovering, health.recovered):
        step()
        states.append(health.state)
    assert states == [State.STARTING, State.COMPILED, State.RECOVERING, State.READY]
    assert health.ready().ok


def test_a_worker_that_recovered_before_it_compiled_is_not_ready(health: Health) -> None:
    health.recovering()
    health.recovered()
    assert not health.ready().ok
    health.compiled()
    assert health.ready().ok


def test_a_rebalance_takes_readiness_away_until_rows_are_back(health: Health) -> None:
    health.compiled()
    health.recovering()
    health.recovered()
    health.recovering()
    assert health.ready() == (False, "recovering")
    health.recovered()
    assert health.ready().ok


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_cannot_be_kept_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="liveness_timeout_s must be above 0"):
        Health(liveness_timeout_s=timeout)
