"""One run against zero-shot CLIP on one test: what the pictures of it need, as arrays and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocoop.errors import InputError
from cocoop.results import Figures, Record

BINS = 15
"""Equal-width bins of the reliability diagram, as of the expected calibration error in a record."""


@dataclass(frozen=True)
class Confusions:
    """Which classes were taken for which.

    shares: [K, K], the share of the images of class i (row) that were called j (column); rows of classes without an
    image are 0. names: K class names. counts: images of each class, [K].
    """

    shares: NDArray[np.float64]
    names: Sequence[str]
    counts: NDArray[np.int64]

    def worst(self, shown: int = 5) -> list[tuple[str, str, float, int]]:
        """The most frequent confusions, by share: (class, called, share in percent, images of the class)."""
        wrong = self.shares.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:shown]
        pairs = [divmod(int(place), len(self.names)) for place in order]
        return [
            (self.names[i], self.names[j], 100 * float(wrong[i, j]), int(self.counts[i]))
            for i, j in pairs
            if wrong[i, j]
        ]


@dataclass(frozen=True)
class Reliability:
    """Per bin of confidence, from 0 to 1, [BINS]: images, their mean confidence, and the share that is correct.

    The two means are NaN where a bin is empty.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def gains(learned: Figures, baseline: Figures) -> list[tuple[str, float]]:
    """Per class (name, points of accuracy gained over the baseline), best first. Both are figures of one test."""
    before = baseline.per_class_accuracy
    gained = [(name, value - before[name]) for name, value in learned.per_class_accuracy.items() if name in before]
    return sorted(gained, key=lambda gain: (-gain[1], gain[0]))


def confusions(record: Record, test: str, predictions: Mapping[str, NDArray[Any]]) -> Confusions:
    """Count the predictions of a test.

    A record names the classes that have images, in the order of their numbers; another class that was predicted is
    called by its number.

    Raises:
        InputError: predictions that do not fit the record.
    """
    label, predicted, _ = _arrays(record, test, predictions)
    numbers = np.union1d(label, predicted)
    present = np.unique(label)
    names = list(record.results[test].per_class_accuracy)
    if len(names) != len(present):
        raise _misfit(record, test, f"{len(present)} classes with images where the record has {len(names)}")
    spelled = dict(zip(present.tolist(), names, strict=True))
    size = len(numbers)
    place = np.searchsorted(numbers, label) * size + np.searchsorted(numbers, predicted)
    table = np.bincount(place, minlength=size * size).reshape(size, size)
    counts = table.sum(axis=1)
    shares = table / np.maximum(counts, 1)[:, None]
    return Confusions(shares, [spelled.get(n, f"class {n}") for n in numbers.tolist()], counts)


def reliability(record: Record, test: str, predictions: Mapping[str, NDArray[Any]]) -> Reliability:
    """Bin the predictions of a test by confidence; bins are open below and closed above (Guo et al. 2017, eq. 3).

    Raises:
        InputError: predictions that do not fit the record.
    """
    label, predicted, confidence = _arrays(record, test, predictions)
    bins = np.digitize(confidence, np.arange(1, BINS) / BINS, right=True)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=of, minlength=BINS) / counts for of in (confidence, label == predicted)]
    return Reliability(counts, *means)


def _arrays(record: Record, test: str, predictions: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    try:
        label, predicted, confidence = (predictions[f"{test}/{name}"] for name in ("label", "predicted", "confidence"))
    except KeyError as error:
        raise _misfit(record, test, f"no {error.args[0]!r}") from error
    if not len(label) == len(predicted) == len(confidence) > 0:
        raise _misfit(record, test, f"{len(label)}, {len(predicted)} and {len(confidence)} entries")
    return label, predicted, confidence.astype(np.float64)


def _misfit(record: Record, test: str, fault: str) -> InputError:
    return InputError(
        f"{record.folder / 'predictions.safetensors'}: expected one label, prediction and confidence per image of "
        f"{test!r}; got {fault}. Remove that run, or make it again."
    )
