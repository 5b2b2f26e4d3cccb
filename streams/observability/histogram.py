"""A Prometheus histogram that takes a whole batch of values at once."""

from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class BatchHistogram(Collector):
    """Classic histogram without labels, fed by arrays.

    ``prometheus_client.Histogram`` takes one value a call (about 2 us each); a
    worker that catches up acknowledges tens of thousands of limit updates a
    second.

    Args:
        name: full metric name, unit last.
        documentation: the help line.
        buckets: finite upper bounds, ascending; ``+Inf`` is added.

    >>> histogram = BatchHistogram("wait_seconds", "Waits.", (0.1, 1.0))
    >>> histogram.observe(np.array([0.1, 0.5, 3.0]))
    >>> [(s.labels["le"], s.value) for s in next(iter(histogram.collect())).samples[:3]]
    [('0.1', 1.0), ('1.0', 2.0), ('+Inf', 3.0)]
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = np.asarray(buckets, dtype=np.float64)
        self._labels = [*(repr(float(bound)) for bound in buckets), "+Inf"]
        self._counts = np.zeros(len(buckets) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Add every value of a float array of any length."""
        # side="left": a value equal to a bound belongs to that bound's bucket ("le").
        where = np.searchsorted(self._bounds, values, side="left")
        counts = np.bincount(where, minlength=self._counts.size)
        with self._lock:
            self._counts += counts
            self._sum += float(values.sum())

    def collect(self) -> Iterable[Metric]:
        """The histogram as it stands, for the registry."""
        with self._lock:
            cumulative = np.cumsum(self._counts).astype(np.float64).tolist()
            total = self._sum
        yield HistogramMetricFamily(
            self._name,
            self._documentation,
            buckets=list(zip(self._labels, cumulative, strict=True)),
            sum_value=total,
        )

    def describe(self) -> Iterable[Metric]:
        """Name and type for the registry's check for duplicates."""
        yield HistogramMetricFamily(self._name, self._documentation)
