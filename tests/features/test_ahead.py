"""Items computed ahead by threads: all of them, in order, and not too many beforehand."""

from hypothesis import given
from hypothesis import strategies as st

from cocoop.features.ahead import from_threads


@given(count=st.integers(0, 60), ahead=st.integers(1, 40), threads=st.integers(0, 5))
def test_items_come_in_order_and_few_are_taken_beforehand(count, ahead, threads):
    taken = []
    items = (taken.append(item) or item for item in range(count))
    for number, square in enumerate(from_threads(lambda item: item**2, items, ahead, threads)):
        assert square == number**2
        assert len(taken) - number <= (2 * max(ahead, threads) + 1 if threads else 1)
    assert taken == list(range(count))
