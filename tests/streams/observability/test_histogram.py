"""The batch histogram counts as prometheus-client's own does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from streams.observability.histogram import BatchHistogram

BUCKETS = (0.005, 0.25, 1.0, 10.0)
values = st.lists(
    st.one_of(st.sampled_from(BUCKETS), st.floats(0, 100, allow_nan=False)), max_size=50
)


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(batches=st.lists(values, max_size=4))
def test_batches_are_counted_as_single_values_are(batches: list[list[float]]) -> None:
    expected, actual = CollectorRegistry(), CollectorRegistry()
    one_by_one = Histogram("wait_seconds", "Waits.", buckets=BUCKETS, registry=expected)
    at_once = BatchHistogram("wait_seconds", "Waits.", BUCKETS)
    actual.register(at_once)
    for batch in batches:
        at_once.observe(np.array(batch, dtype=np.float64))
        for value in batch:
            one_by_one.observe(value)
    ours, theirs = samples(actual), samples(expected)
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[key] - theirs[key]) < 1e-6 for key in theirs)
