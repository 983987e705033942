import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cocoop.errors import InputError
from cocoop.results import harmonic_mean, mean_std

PERCENT = st.floats(0, 100, allow_subnormal=False)


@given(PERCENT, PERCENT)
def test_harmonic_mean_is_the_formula_and_lies_between(base, new):
    h = harmonic_mean(base, new)
    if base == 0 or new == 0:
        assert h == 0
    else:
        # Three roundings of relative size 2^-53 on either side.
        assert h == pytest.approx(2 / (1 / base + 1 / new), rel=1e-14, abs=1e-300)
        assert min(base, new) * (1 - 1e-14) <= h <= (base + new) / 2 * (1 + 1e-14)
    assert h == harmonic_mean(new, base)


def test_harmonic_means_of_table_1():
    # CoCoOp paper, table 1 (a), averages over 11 datasets, printed with two decimals.
    for base, new, h in [(69.34, 74.22, 71.70), (82.69, 63.22, 71.66), (80.47, 71.69, 75.83)]:
        assert round(harmonic_mean(base, new), 2) == h


@pytest.mark.parametrize(("base", "new"), [(-1, 50), (50, -0.1), (math.nan, 1), (1, math.nan), (math.inf, 1)])
def test_harmonic_mean_refuses(base, new):
    with pytest.raises(InputError, match="two accuracies of 0 or more"):
        harmonic_mean(base, new)


@given(st.lists(PERCENT, min_size=1, max_size=20))
def test_mean_std_is_numpys_population_figure(values):
    # np.std squares differences, so where the spread is near 0 only about sqrt(eps) * 100 of it is left.
    assert mean_std(values) == pytest.approx((np.mean(values), np.std(values)), rel=1e-12, abs=1e-6)


@given(PERCENT, st.integers(1, 10))
def test_equal_values_have_no_spread(value, n):
    mean, std = mean_std([value] * n)
    assert std == 0.0
    assert mean == pytest.approx(value, rel=1e-15)


def test_population_not_sample():
    assert mean_std([1.0, 3.0]) == (2.0, 1.0)  # n - 1 would give sqrt(2)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_mean_std_refuses(values):
    with pytest.raises(InputError, match="one or more finite values"):
        mean_std(values)
