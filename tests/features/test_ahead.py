"""Items computed by threads, ahead or in turns with what is done with them: all, and not too many beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop.features.ahead import from_threads, in_turns


@pytest.mark.parametrize("by_threads", [from_threads, in_turns])
@given(count=st.integers(0, 60), at_once=st.integers(1, 40), threads=st.integers(1, 5))
def test_items_come_in_order_and_few_are_taken_beforehand(by_threads, count, at_once, threads):
    taken = []
    items = (taken.append(item) or item for item in range(count))
    for number, square in enumerate(by_threads(lambda item: item**2, items, at_once, threads)):
        assert square == number**2
        assert len(taken) - number <= 2 * max(at_once, threads) + 1
    assert taken == list(range(count))


def test_in_turns_nothing_is_at_work_while_a_result_is_used():
    at_work = []

    def square(item):
        at_work.append(item)
        result = item**2
        at_work.remove(item)
        return result

    for number, result in enumerate(in_turns(square, range(50), 7, 3)):
        assert (number**2, []) == (result, at_work)
