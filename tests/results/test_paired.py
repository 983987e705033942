"""Paired differences: against sums written out, against SciPy's intervals, and how often they hold the truth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.special import ndtr

from cocoop.results import Paired, average, harmonic, harmonic_mean, paired_difference


@st.composite
def studies(draw):
    """Two tests of two methods with the same two to four seeds; zero-shot, sometimes, has one row."""
    seeds = draw(st.integers(2, 4))
    return [
        Paired(
            draw(arrays.arrays(np.bool_, (seeds, images))),
            draw(arrays.arrays(np.bool_, (draw(st.sampled_from([1, seeds])), images))),
        )
        for images in draw(st.lists(st.integers(2, 6), min_size=2, max_size=2))
    ]


def written_out(tests, slopes):
    """The interval's half width by loops, of the docstring's formula; slopes are one pair for each test."""
    seeds = len(tests[0].ours)
    parts, of_seeds = [], [0.0] * seeds
    for test, (up, down) in zip(tests, slopes, strict=True):
        n = test.ours.shape[1]
        x = [
            [up * test.ours[s, i] - down * test.theirs[s % len(test.theirs), i] for i in range(n)] for s in range(seeds)
        ]
        of_images = [sum(x[s][i] for s in range(seeds)) / seeds for i in range(n)]
        rows = [sum(x[s]) / n for s in range(seeds)]
        whole = sum(rows) / seeds
        residual = sum(
            (x[s][i] - rows[s] - of_images[i] + whole) ** 2 for s, i in itertools.product(range(seeds), range(n))
        )
        squares = sum((mean - whole) ** 2 for mean in of_images)
        squares += sum(0.5 * (up * a - down * b) ** 2 for a, b in itertools.product((0, 1), repeat=2))
        part = squares / (n + 1) / n - residual / ((seeds - 1) * (n - 1)) / (seeds * n)
        parts.append((max(part, 0), n - 1))
        of_seeds = [total + row for total, row in zip(of_seeds, rows, strict=True)]
    middle = sum(of_seeds) / seeds
    parts.append((sum((row - middle) ** 2 for row in of_seeds) / (seeds - 1) / seeds, seeds - 1))
    return 100 * sum(stats.t.ppf(0.975, freedom) ** 2 * part for part, freedom in parts) ** 0.5


@settings(deadline=None)
@given(studies())
def test_the_interval_is_the_formula_of_the_docstring(tests):
    difference = paired_difference(tests)
    expected = 50 * sum(float(test.ours.mean() - test.theirs.mean()) for test in tests)
    half = written_out(tests, [(0.5, 0.5)] * 2)
    assert difference.value == pytest.approx(expected, abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx((expected - half, expected + half), abs=1e-7)
    assert difference.seeds == len(tests[0].ours)
    bounds = (difference.low > 0, difference.high < 0)
    assert difference.verdict == {(True, False): "better", (False, True): "worse"}.get(bounds, "not told apart")
    other_way = paired_difference([Paired(test.theirs, test.ours) for test in tests])
    assert (other_way.low, other_way.high) == pytest.approx((-difference.high, -difference.low), abs=1e-9)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6).filter(lambda values: len(values) % 2 == 0))
def test_slopes_are_differences_of_the_figure(values):
    accuracies, step = np.array(values), 1e-6
    for figure in (average, harmonic):
        value, slopes = figure(accuracies)
        near = [figure(accuracies + step * row)[0] - figure(accuracies - step * row)[0] for row in np.eye(len(values))]
        assert slopes == pytest.approx(np.array(near) / (2 * step), abs=1e-4)
        if figure is harmonic:
            base, new = np.split(accuracies, 2)
            assert value == pytest.approx(harmonic_mean(float(base.mean()), float(new.mean())))
    assert harmonic(np.zeros(4))[0] == 0


@given(studies())
def test_h_is_taken_by_its_slopes(tests):
    difference = paired_difference(tests, harmonic)
    sides = [[float(getattr(test, side).mean()) for test in tests] for side in ("ours", "theirs")]
    assert difference.value == pytest.approx(100 * (harmonic_mean(*sides[0]) - harmonic_mean(*sides[1])), abs=1e-9)
    slopes = list(zip(*(harmonic(np.array(side))[1] for side in sides), strict=True))
    assert difference.high - difference.value == pytest.approx(written_out(tests, slopes), abs=1e-7)


def test_where_only_seeds_differ_it_is_the_t_interval_over_seeds():
    """Every seed is right on its own first images: the images differ, too, but next to nothing in so many."""
    rng, images = np.random.default_rng(0), 40_000
    rates = rng.normal(0.7, 0.1, 5)
    ours = rng.random((5, images)) < rates[:, None]
    theirs = np.zeros((1, images), dtype=bool)
    difference = paired_difference([Paired(ours, theirs)])
    interval = stats.ttest_1samp(100 * ours.mean(axis=1), 0).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(interval), abs=0.1)


def test_without_seeds_it_is_the_interval_of_agresti_and_min():
    """Their Wald interval of n + 2 pairs, here around the difference itself and with t, 0.3 % more than z at 400."""
    table = {(1, 1): 250, (1, 0): 60, (0, 1): 30, (0, 0): 60}
    ours, theirs = (np.repeat([key[i] for key in table], list(table.values()))[None].astype(bool) for i in (0, 1))
    difference = paired_difference([Paired(ours, theirs)], seeded=False)
    n, b, c = 402, 60.5, 30.5
    half = 1.96 * ((b + c) - (b - c) ** 2 / n) ** 0.5 / n
    assert difference.value == pytest.approx(7.5)
    assert difference.high - difference.value == pytest.approx(100 * half, rel=0.01)
    assert difference.verdict == "better"


def test_one_seed_says_nothing_of_others():
    ours, theirs = np.ones((1, 500), dtype=bool), np.zeros((1, 500), dtype=bool)
    difference = paired_difference([Paired(ours, theirs)])
    assert (difference.value, difference.low, difference.verdict) == (100, None, "one seed")


@pytest.mark.parametrize("images", [1, 2])
def test_a_few_images_that_all_agree_do_not_look_certain(images):
    ours, theirs = np.ones((3, images), dtype=bool), np.zeros((3, images), dtype=bool)
    assert paired_difference([Paired(ours, theirs)]).verdict == "not told apart"
    assert paired_difference([Paired(ours, ours)]).verdict == "not told apart"


def drawn(rng, seeds, images, spread):
    """A learner with an effect of each seed, an easier or harder image each, and chance; and a head beside it."""
    easy = rng.normal(1, 1.5, images)
    ours = easy + 0.3 + rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 0.7, images)
    return Paired(ours + rng.normal(0, 0.5, (seeds, images)) > 0, easy + rng.normal(0, 0.5, (seeds, images)) > 0)


def truth(spread):
    """The accuracies that `drawn` has on average over all images and seeds: a normal variable is above 0."""
    ours = ndtr(1.3 / (1.5**2 + spread**2 + 0.7**2 + 0.5**2) ** 0.5)
    return float(ours), float(ndtr(1 / (1.5**2 + 0.5**2) ** 0.5))


@pytest.mark.parametrize(
    ("seeds", "images", "spread"),
    [(2, 300, 0.0), (2, 300, 0.4), (3, 40, 0.1), (3, 600, 0.1), (3, 300, 0.4), (5, 300, 0.1)],
)
def test_it_holds_the_truth_in_95_of_100_cases_or_more(seeds, images, spread):
    rng, cases = np.random.default_rng(seeds), 500
    ours, theirs = truth(spread)
    told = [paired_difference([drawn(rng, seeds, images, spread)]) for _ in range(cases)]
    held = sum(difference.low <= 100 * (ours - theirs) <= difference.high for difference in told)
    assert held >= 0.93 * cases  # 95 %, less two standard deviations of a share of 500


def test_the_average_of_three_data_sets_and_their_h_hold_theirs():
    rng, cases, spread = np.random.default_rng(1), 400, 0.3
    ours, theirs = truth(spread)
    held = {average: 0, harmonic: 0}
    for _ in range(cases):
        tests = [drawn(rng, 3, images, spread) for images in (30, 100, 200, 40, 100, 300)]
        for figure in held:  # all tests have the same accuracies, and so H is that accuracy, too
            difference = paired_difference(tests, figure)
            held[figure] += difference.low <= 100 * (ours - theirs) <= difference.high
    assert all(0.93 * cases <= count < cases for count in held.values())


def test_of_equal_methods_one_in_twenty_is_called_better_or_worse_at_most():
    rng, cases = np.random.default_rng(2), 400
    told = []
    for _ in range(cases):
        easy = rng.normal(1, 1, 200)
        sides = (easy + rng.normal(0, 0.2, (3, 1)) + rng.normal(0, 1, (3, 200)) > 0 for _ in range(2))
        told.append(paired_difference([Paired(*sides)]).verdict)
    assert told.count("better") + told.count("worse") <= 0.07 * cases
