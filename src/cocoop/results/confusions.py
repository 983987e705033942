"""Which classes were taken for which, counted from the predictions of a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Confusion(NamedTuple):
    """Images of the class `label` that were called `predicted`: how many, and their share of the class in percent."""

    label: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class Confusions:
    """Which of K classes were taken for which: the fields of the confusion matrix [K, K] that are not 0.

    rows, columns: [F] numbers of the true and the predicted class, by rows. images: [F] how many images of the one were
    called the other. names: K class names. counts: images of each class, [K].
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    images: NDArray[np.int64]
    names: Sequence[str]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """[F] of the images of the true class, how many were called the predicted one, 0..1."""
        shares: NDArray[np.float64] = self.images / self.counts[self.rows]
        return shares

    @property
    def right(self) -> NDArray[np.int64]:
        """Images of each class that were called by its name, [K]."""
        right = self.rows == self.columns
        return self._summed(self.rows[right], self.images[right])

    @property
    def called(self) -> NDArray[np.int64]:
        """Images that were called each class, [K]."""
        return self._summed(self.columns, self.images)

    def worst(self, shown: int) -> list[Confusion]:
        """Those that cost the most images, of equal ones first those with the largest share of their class."""
        wrong, shares = np.flatnonzero(self.rows != self.columns), self.shares
        order = wrong[np.lexsort((-shares[wrong], -self.images[wrong]))[:shown]]
        pairs = zip(self.rows[order], self.columns[order], strict=True)
        costs = zip(self.images[order].tolist(), (100 * shares[order]).tolist(), strict=True)
        return [
            Confusion(self.names[row], self.names[column], *cost)
            for (row, column), cost in zip(pairs, costs, strict=True)
        ]

    def _summed(self, classes: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
        sums: NDArray[np.int64] = np.bincount(classes, images, len(self.names)).astype(np.int64)
        return sums


def count_confusions(
    label: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], names: Mapping[int, str]
) -> Confusions:
    """Count the pairs of label and prediction [N], of the classes that occur.

    names: class number -> name; a class without one is called by its number.
    """
    numbers = np.union1d(label, predicted)
    size = len(numbers)
    true, called = np.searchsorted(numbers, label), np.searchsorted(numbers, predicted)
    # By pairs that occur: all [K, K] of 21,841 classes would take 3.8 GB.
    places, images = np.unique(true * size + called, return_counts=True)
    rows, columns = np.divmod(places, size)
    spelled = [names.get(number, f"class {number}") for number in numbers.tolist()]
    return Confusions(rows, columns, images, spelled, np.bincount(true, minlength=size))
