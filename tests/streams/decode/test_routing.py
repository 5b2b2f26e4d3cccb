import numpy as np
from aiokafka.partitioner import murmur2 as kafka_murmur2
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Kind, Outcome, allocate
from streams.decode.routing import mark_misrouted, murmur2


@settings(deadline=None)  # the first example compiles the kernel
@given(st.binary(min_size=1, max_size=64))
def test_the_hash_is_kafkas(key: bytes) -> None:
    text = np.frombuffer(b"\xff" + key, np.uint8)
    assert murmur2(text, 1, len(key)) == kafka_murmur2(key) & 0x7FFFFFFF


def test_payments_of_another_partition_are_marked_and_ticks_are_not() -> None:
    names = [b"m1", b"m2", b"m3", b"m4", b"m5", b"m6", b""]
    text = np.frombuffer(b"".join(names), np.uint8).copy()
    events = allocate(len(names))
    at = 0
    for i, name in enumerate(names):
        events.merchant_at[i], events.merchant_length[i] = at, len(name)
        at += len(name)
    events.kind[6] = Kind.TICK
    homes = [(kafka_murmur2(name) & 0x7FFFFFFF) % 3 for name in names[:6]]
    assert len(set(homes)) > 1, "the example needs merchants of several partitions"

    found = mark_misrouted(events, text, homes[0], 3)

    expected = [Outcome.PENDING if home == homes[0] else Outcome.MISROUTED for home in homes]
    assert [Outcome(o) for o in events.outcome[:6]] == expected
    assert events.outcome[6] == Outcome.PENDING
    assert found == expected.count(Outcome.MISROUTED)


def test_what_the_decoder_refused_is_left_alone() -> None:
    events = allocate(1)
    events.outcome[0] = Outcome.NOT_JSON
    text = np.zeros(8, np.uint8)
    assert mark_misrouted(events, text, 0, 4) == 0
    assert events.outcome[0] == Outcome.NOT_JSON
