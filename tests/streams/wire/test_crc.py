import numpy as np
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.wire.crc import crc32c


@settings(deadline=None)  # the first example compiles
@given(st.binary(max_size=200), st.integers(0, 20))
def test_the_checksum_is_the_one_of_other_clients(data: bytes, at: int) -> None:
    at = min(at, len(data))

    assert crc32c(np.frombuffer(data, np.uint8), at, len(data)) == calc_crc32c(data[at:])
