"""How far two methods are apart on the same images, and the 95 % interval of that: `paired_difference`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

BASELINES = ("zero-shot", "zero-shot-ensemble", "zs-lp", "clap")
"""The methods that every learner is compared with: they take seconds, on features that the learners need anyway."""

_TAIL = 0.975  # of a two-sided interval of 95 %

Verdict = Literal["better", "worse", "not told apart", "one seed"]

Floats = NDArray[np.float64]


class Paired(NamedTuple):
    """One test of two methods: which of its N images each of them classified right, [S, N], a row per seed.

    The rows of both are of the same seeds, in the same order; a method that no seed changes has one row, [1, N].
    """

    ours: NDArray[np.bool_]
    theirs: NDArray[np.bool_]


@dataclass(frozen=True)
class PairedDifference:
    """Ours minus theirs, in percent points.

    seeds: how many pairs of runs it is the mean of; 1 where no seed changes either. low, high: the 95 % interval; None
    where one pair of runs cannot tell what another seed would give.
    """

    value: float
    seeds: int
    low: float | None
    high: float | None

    @property
    def verdict(self) -> Verdict:
        """Whether ours is better: what the interval says, and not what the difference does."""
        if self.low is None or self.high is None:
            return "one seed"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not told apart"


Figure = Callable[[Floats], tuple[float, Floats]]
"""Accuracies of J tests, [J] in 0..1 -> a figure of them in 0..1, and its derivative by each, [J]."""


def average(accuracies: Floats) -> tuple[float, Floats]:
    """The mean over tests, as of several data sets; a `Figure`."""
    return float(accuracies.mean()), np.full(len(accuracies), 1 / len(accuracies))


def harmonic(accuracies: Floats) -> tuple[float, Floats]:
    """H = 2 b n / (b + n), with b the mean of the first half, the base tests, and n of the second; a `Figure`."""
    base, new = accuracies.reshape(2, -1).mean(axis=1)
    total, count = base + new, len(accuracies) // 2
    if not total:
        return 0.0, np.zeros(len(accuracies))
    slopes = 2 * np.array([new, base]) ** 2 / total**2
    return float(2 * base * new / total), np.repeat(slopes / count, count)


def paired_difference(tests: Sequence[Paired], figure: Figure = average, seeded: bool = True) -> PairedDifference:
    """How far two methods are apart in a figure of J tests, and between what bounds.

    Seeds and images are crossed: every seed classifies the same images, and a pair of runs shares its seed. With
    x_si = ours - theirs, of seed s on image i, the estimate's variance has two parts:

    * seeds: (variance over s of the difference of seed s) / S, over all tests at once, because one seed picks the
      images of all data sets and starts all trainings;
    * images, of each test: (variance over i of the mean over s of x_si) / N, less that part of it which is chance
      within single seeds, and which the first part has already: the residual mean square / (S N).

    The interval is value +- sqrt(sum over parts of (t part)^2), t the 97.5 % quantile of Student's t with S - 1 and
    N - 1 degrees of freedom. A figure that is not linear, as H, is taken by its slopes at the accuracies. The model is
    that of studies in which several readers judge the same cases (Dorfman, Berbaum and Metz, Investigative Radiology
    1992); each part has a quantile of its own because one for their sum (Hillis, Statistics in Medicine 2007) holds
    the truth in 87 to 92 % only, where two or three seeds decide. Each test counts as two images larger, a half in each
    field of right or wrong by right or wrong, so that few images do not look certain (Agresti and Min, Statistics in
    Medicine 2005).

    It covers other seeds, which are other picks and starts, and other images of the same classes. It does not cover
    other data sets, other classes, another CLIP, or that of many comparisons one in twenty is wrong by chance.
    In simulations with two, three and five seeds it holds the true difference in 95 % of cases or more
    (tests/results/test_paired.py).

    Args:
        tests: J tests; the seeds of all of them are the same.
        figure: `average` or `harmonic`.
        seeded: whether a seed changes either method; if not, there is one row, and the interval is of the images alone.
    """
    seeds = max(len(side) for test in tests for side in test)
    ours, slopes = figure(np.array([test.ours.mean() for test in tests]))
    theirs, their_slopes = figure(np.array([test.theirs.mean() for test in tests]))
    value = 100 * (ours - theirs)
    if seeded and seeds == 1:
        return PairedDifference(value, seeds, None, None)
    pairs = list(zip(slopes.tolist(), their_slopes.tolist(), strict=True))
    shares = [up * test.ours - down * test.theirs for test, (up, down) in zip(tests, pairs, strict=True)]
    parts = [_of_images(share, *pair) for share, pair in zip(shares, pairs, strict=True)]
    if seeds > 1:
        of_seeds = np.sum([share.mean(axis=1) for share in shares], axis=0)
        parts.append((float(of_seeds.var(ddof=1)) / seeds, seeds - 1))
    half = 100 * float(np.sqrt(sum(_quantile(freedom) ** 2 * variance for variance, freedom in parts)))
    return PairedDifference(value, seeds, value - half, value + half)


def _of_images(share: NDArray[Any], up: float, down: float) -> tuple[float, int]:
    """The part of the images in the variance of one test's mean share [S, N], and its degrees of freedom."""
    seeds, images = share.shape
    freedom = max(images - 1, 1)  # of a single image there is nothing but the two halves that are added
    means = share.mean(axis=0)
    added = (up**2 + down**2 + (up - down) ** 2) / 2  # the squares of the four halves of an image
    variance = (((means - means.mean()) ** 2).sum() + added) / (images + 1) / images
    if seeds > 1:
        residuals = share - means - share.mean(axis=1, keepdims=True) + share.mean()
        variance -= (residuals**2).sum() / ((seeds - 1) * freedom) / (seeds * images)
    return max(float(variance), 0.0), freedom


def _quantile(freedom: int) -> float:
    """97.5 % of Student's t."""
    from scipy.special import stdtrit  # takes a tenth of a second to import

    return float(stdtrit(freedom, _TAIL))
