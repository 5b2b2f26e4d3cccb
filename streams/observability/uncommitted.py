"""For how long input that was read has been waiting for its commit."""

from collections.abc import Callable
from threading import Lock


class Uncommitted:
    """Age of the uncommitted input of each partition.

    The clock of a partition starts when input is read while none was waiting, and
    starts again with each commit that leaves something uncommitted. So an idle
    hour before a payment does not count, and a worker that commits regularly
    under load stays young.

    >>> now = 0.0
    >>> waits = Uncommitted(lambda: now)
    >>> waits.read(3, next_offset=10)
    >>> now = 7.0
    >>> waits.age(3)
    7.0
    >>> waits.committed(3, next_offset=10)
    >>> waits.age(3)
    0.0
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._read: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._since: dict[int, float] = {}

    def read(self, partition: int, next_offset: int) -> None:
        """Input below ``next_offset`` was read."""
        with self._lock:
            self._read[partition] = next_offset
            if next_offset > self._committed.get(partition, -1):
                self._since.setdefault(partition, self._clock())

    def committed(self, partition: int, next_offset: int) -> None:
        """Input below ``next_offset`` was committed; the same offset again changes nothing."""
        with self._lock:
            if next_offset == self._committed.get(partition):
                return
            self._committed[partition] = next_offset
            if next_offset >= self._read.get(partition, -1):
                self._since.pop(partition, None)
            else:
                self._since[partition] = self._clock()

    def forget(self, partition: int) -> None:
        """The partition went to another worker."""
        with self._lock:
            for of_partition in (self._read, self._committed):
                of_partition.pop(partition, None)
            self._since.pop(partition, None)

    def age(self, partition: int) -> float:
        """Seconds for which input has been waiting for a commit, 0 when none is."""
        with self._lock:
            since = self._since.get(partition)
        return 0.0 if since is None else max(0.0, self._clock() - since)
