from hypothesis import given
from hypothesis import strategies as st

from features.wide import add, multiply, to_float

LIMBS = st.integers(0, 2**60 - 1)


@given(LIMBS, st.integers(0, 2**62 - 1))
def test_products_are_exact(a: int, b: int) -> None:
    high, low = multiply(a, b)
    assert int(high) * 2**60 + int(low) == a * b
    assert 0 <= low < 2**60


@given(st.lists(st.tuples(st.integers(1, 2**57), st.sampled_from([-1, 1])), max_size=20))
def test_squares_add_up_exactly_and_go_again(squares: list[tuple[int, int]]) -> None:
    high, low = 0, 0
    for number, sign in squares:
        square = multiply(number, number)
        high, low = add(high, low, sign * square[0], sign * square[1])
        assert 0 <= low < 2**60
    assert int(high) * 2**60 + int(low) == sum(sign * number**2 for number, sign in squares)


@given(st.integers(-(2**50), 2**50), LIMBS)
def test_a_float_is_within_two_units_in_the_last_place(high: int, low: int) -> None:
    exact = high * 2**60 + low
    assert abs(int(to_float(high, low)) - exact) <= abs(exact) * 2**-51
