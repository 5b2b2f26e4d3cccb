import numpy as np
import pytest
from aiokafka.record.util import encode_varint
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.wire.varint import read_varint, varint_size, write_varint

signed_64 = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)  # the first example compiles
@given(signed_64)
def test_a_varint_is_written_as_another_client_writes_it_and_read_back(value: int) -> None:
    theirs = bytearray()
    encode_varint(value, theirs.append)
    ours = np.zeros(10, np.uint8)

    end = write_varint(ours, 0, value)

    assert ours[:end].tobytes() == bytes(theirs)
    assert end == varint_size(value)
    assert read_varint(ours, 0, end) == (value, end)


@pytest.mark.parametrize("value", [0, -64, 64, -8192, 2**63 - 1, -(2**63)])
def test_a_varint_that_runs_into_the_end_is_malformed(value: int) -> None:
    written = np.zeros(10, np.uint8)
    end = write_varint(written, 0, value)

    for cut in range(end):
        assert read_varint(written, 0, cut)[1] == -1


def test_a_varint_of_more_than_ten_bytes_is_malformed() -> None:
    assert read_varint(np.full(20, 0x80, np.uint8), 0, 20)[1] == -1
