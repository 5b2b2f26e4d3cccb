import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.hashing import hash_bytes, hash_of, mix, multiply


@given(st.binary(max_size=80), st.binary(max_size=20), st.binary(max_size=20))
def test_the_hash_depends_on_the_bytes_alone(data: bytes, before: bytes, after: bytes) -> None:
    text = np.frombuffer(before + data + after, np.uint8)
    assert hash_bytes(text, len(before), len(data)) == hash_of(data)


@given(st.sets(st.binary(max_size=20), min_size=2, max_size=40))
def test_different_ids_have_different_hashes(ids: set[bytes]) -> None:
    assert len({hash_of(each) for each in ids}) == len(ids)


@given(st.binary(max_size=70))
def test_a_hash_is_never_zero_and_has_64_bits(data: bytes) -> None:
    assert 0 < hash_of(data) < 2**64


def test_the_hash_is_the_same_for_ever() -> None:
    """It names slots of persisted pages: a change would forget every payment of the last day."""
    assert hash_of(b"") == 16294208416658607535
    assert hash_of(b"a" * 37) == 1236881250233249378


def test_the_hash_is_the_same_uncompiled() -> None:
    code = "from features.hashing import hash_of; print(hash_of(b'payment-0000017'), hash_of(b''))"
    plain = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout.split() == [str(hash_of(b"payment-0000017")), str(hash_of(b""))]


@given(st.binary(min_size=1, max_size=40), st.data())
def test_one_bit_changes_about_half_of_the_hash(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    other = bytearray(data)
    other[bit // 8] ^= 1 << bit % 8
    # 64 fair coins: fewer than 8 heads come once in 10**10 tries.
    assert 8 <= (hash_of(data) ^ hash_of(bytes(other))).bit_count() <= 56


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_products_are_modulo_2_to_the_64(a: int, b: int) -> None:
    assert int(multiply(np.uint64(a), np.uint64(b))) == a * b % 2**64


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=20))
def test_mixing_keeps_numbers_apart(numbers: list[int]) -> None:
    assert len({int(mix(np.uint64(number))) for number in numbers}) == len(numbers)
