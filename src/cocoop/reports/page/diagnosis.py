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
    """Which of K classes were taken for which: the fields of the confusion matrix [K, K] that are not 0.

    rows, columns: [F] numbers of the true and the predicted class, by rows. shares: [F] of the images of the true
    class, how many were called the predicted one, 0..1. names: K class names. counts: images of each class, [K].
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    shares: NDArray[np.float64]
    names: Sequence[str]
    counts: NDArray[np.int64]

    def worst(self, shown: int = 5) -> list[tuple[str, str, float, int]]:
        """The most frequent confusions, by share: (class, called, share in percent, images of the class)."""
        wrong = np.flatnonzero(self.rows != self.columns)
        order = wrong[np.argsort(-self.shares[wrong], kind="stable")[:shown]]
        return [
            (self.names[i], self.names[j], 100 * share, int(self.counts[i]))
            for i, j, share in zip(self.rows[order], self.columns[order], self.shares[order].tolist(), strict=True)
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
    true, called = np.searchsorted(numbers, label), np.searchsorted(numbers, predicted)
    # By pairs that occur: all [K, K] of 21,841 classes would take 3.8 GB.
    places, images = np.unique(true * size + called, return_counts=True)
    rows, columns = np.divmod(places, size)
    counts = np.bincount(true, minlength=size)
    names = [spelled.get(number, f"class {number}") for number in numbers.tolist()]
    return Confusions(rows, columns, images / counts[rows], names, counts)


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
