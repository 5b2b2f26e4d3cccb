"""Is this worker alive, and is it ready?

The rules are pure: the clock is a parameter and nothing here asks Kafka, so the
answer comes at once while the broker is down.
"""

from collections.abc import Callable
from enum import StrEnum
from threading import Lock
from time import monotonic
from typing import NamedTuple


class State(StrEnum):
    """How far a worker has come since it was started."""

    STARTING = "starting"
    """Kernels are being compiled, nothing is assigned yet."""
    COMPILED = "compiled"
    """Kernels are compiled, rows have not been recovered."""
    RECOVERING = "recovering"
    """Rows are being read back from the changelog."""
    READY = "ready"
    """Kernels are compiled and rows recovered: payments are being applied."""


class Verdict(NamedTuple):
    """An answer and the sentence that explains it to the person on call."""

    ok: bool
    reason: str


class Health:
    """Liveness and readiness of one worker.

    A worker is dead when input waits and nothing has progressed for
    ``liveness_timeout_s``. Progress is a batch applied, a checkpoint written or a
    changelog batch restored. Input waits when the newest figure of any
    partition's lag is above zero. A worker that neither progresses nor measures
    its lag for the same time is dead as well: a consumer that silently left its
    group (aiokafka#1154) or a blocked event loop no longer measures anything, and
    the last figure it left behind may well be zero.

    An idle worker is alive for as long as it keeps finding its lag to be zero.
    All methods may be called from any thread.

    Args:
        liveness_timeout_s: seconds without progress that are still tolerated, > 0.
        clock: monotonic seconds.

    >>> now = 0.0
    >>> health = Health(liveness_timeout_s=60, clock=lambda: now)
    >>> health.input_waits("payments", 0, records=5)
    >>> now = 61.0
    >>> health.live().ok
    False
    """

    def __init__(
        self, liveness_timeout_s: float = 60.0, clock: Callable[[], float] = monotonic
    ) -> None:
        if not liveness_timeout_s > 0:
            raise ValueError(
                f"liveness_timeout_s must be above 0 seconds, not {liveness_timeout_s}"
            )
        self._timeout = liveness_timeout_s
        self._clock = clock
        self._lock = Lock()
        self._compiled = False
        self._recovering = False
        self._recovered = False
        self._waiting: dict[tuple[str, int], int] = {}
        self._progressed_at = clock()
        self._measured_at: float | None = None

    @property
    def state(self) -> State:
        """How far the worker has come."""
        if self._recovering:
            return State.RECOVERING
        if self._compiled and self._recovered:
            return State.READY
        return State.COMPILED if self._compiled else State.STARTING

    def compiled(self) -> None:
        """Every kernel is compiled."""
        self._compiled = True
        self.progressed()

    def recovering(self) -> None:
        """Rows of newly assigned partitions are being read back: not ready until `recovered`."""
        self._recovered = False
        self._recovering = True
        self.progressed()

    def recovered(self) -> None:
        """Every assigned partition holds its rows."""
        self._recovering = False
        self._recovered = True
        self.progressed()

    def progressed(self) -> None:
        """Something was applied, restored or made durable."""
        self._progressed_at = self._clock()

    def input_waits(self, topic: str, partition: int, records: int) -> None:
        """Newest lag of one partition, in records; report zero too, several times a minute."""
        with self._lock:
            if records > 0 and not any(self._waiting.values()):
                # Idle until now: the time that nothing progressed begins with the input.
                self._progressed_at = self._clock()
            self._waiting[topic, partition] = records
            self._measured_at = self._clock()

    def partition_lost(self, topic: str, partition: int) -> None:
        """The partition went to another worker: its lag is not ours any more."""
        with self._lock:
            self._waiting.pop((topic, partition), None)
            if not self._waiting:
                # A worker without partitions has no lag to measure.
                self._measured_at = None

    def live(self) -> Verdict:
        """Whether the worker should be left running."""
        now = self._clock()
        with self._lock:
            waiting = sum(self._waiting.values())
            measured_at = self._measured_at
        still = now - self._progressed_at
        if waiting and still > self._timeout:
            return Verdict(
                False,
                f"{waiting} records wait and nothing has progressed for {still:.0f} s "
                f"(limit {self._timeout:g} s, state {self.state})",
            )
        unmeasured = 0.0 if measured_at is None else now - measured_at
        if min(unmeasured, still) > self._timeout:
            return Verdict(
                False,
                f"the lag has not been measured for {unmeasured:.0f} s "
                f"(limit {self._timeout:g} s): the consumer or the event loop is stuck",
            )
        return Verdict(True, f"{waiting} records wait, last progress {still:.0f} s ago")

    def ready(self) -> Verdict:
        """Whether the worker is compiled and recovered."""
        state = self.state
        return Verdict(state is State.READY, state.value)
