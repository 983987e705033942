"""One run against zero-shot CLIP on one test: what the pictures of it need, as arrays and lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cocoop.errors import InputError
from cocoop.results import Figures, Record
from cocoop.results.confusions import Confusions, count_confusions

BINS = 15
"""Equal-width bins of the reliability diagram, as of the expected calibration error in a record."""


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

    A record names the classes that have images, in the order of their numbers; another class that was predicted has
    its name in the run folder's config, if these are the classes of the run.

    Raises:
        InputError: predictions that do not fit the record.
    """
    label, predicted, _ = _arrays(record, test, predictions)
    present, names = np.unique(label), list(record.results[test].per_class_accuracy)
    if len(names) != len(present):
        raise _misfit(record, test, f"{len(present)} classes with images where the record has {len(names)}")
    tested = dict(zip(present.tolist(), names, strict=True))
    if np.isin(predicted, present).all():
        return count_confusions(label, predicted, tested)
    known = dict(enumerate(record.class_names()))
    return count_confusions(label, predicted, known | tested if tested.items() <= known.items() else tested)


class ClassRates(NamedTuple):
    """How one class did on a test.

    images: of the class. called: how many images were called it. recall: of its images, how many were called it.
    precision: of the images called it, how many are of it. Both in percent, None where there are no such images. What
    was not kept is None, too.
    """

    name: str
    images: int | None
    called: int | None
    recall: float | None
    precision: float | None


def class_rates(confusions: Confusions) -> list[ClassRates]:
    """Of each class that has images or was predicted, those with the lowest recall first."""
    right, called = confusions.right.tolist(), confusions.called.tolist()
    rates = [
        ClassRates(name, images, called[k], _percent(right[k], images), _percent(right[k], called[k]))
        for k, (name, images) in enumerate(zip(confusions.names, confusions.counts.tolist(), strict=True))
    ]
    return sorted(rates, key=lambda of: (of.recall is None, of.recall, of.name))


def recalls(figures: Figures) -> list[ClassRates]:
    """The same of a test whose predictions were not kept."""
    accuracies = sorted(figures.per_class_accuracy.items(), key=lambda of: (of[1], of[0]))
    return [ClassRates(name, None, None, recall, None) for name, recall in accuracies]


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def reliability(
    record: Record, test: str, predictions: Mapping[str, NDArray[Any]], confidence: str = "confidence"
) -> Reliability:
    """Bin the predictions of a test by confidence; bins are open below and closed above (Guo et al. 2017, eq. 3).

    `confidence` names that of each image; "calibrated" is the one that some runs of base-to-new have, too.

    Raises:
        InputError: predictions that do not fit the record.
    """
    label, predicted, sure = _arrays(record, test, predictions, confidence)
    bins = np.digitize(sure, np.arange(1, BINS) / BINS, right=True)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=of, minlength=BINS) / counts for of in (sure, label == predicted)]
    return Reliability(counts, *means)


def _arrays(
    record: Record, test: str, predictions: Mapping[str, NDArray[Any]], confidence: str = "confidence"
) -> tuple[NDArray[Any], ...]:
    try:
        label, predicted, sure = (predictions[f"{test}/{name}"] for name in ("label", "predicted", confidence))
    except KeyError as error:
        raise _misfit(record, test, f"no {error.args[0]!r}") from error
    shapes = [of.shape for of in (label, predicted, sure)]
    if len(set(shapes)) > 1 or label.ndim != 1 or not len(label):
        raise _misfit(record, test, f"the shapes {', '.join(str(list(shape)) for shape in shapes)}")
    return label, predicted, sure.astype(np.float64)


def _misfit(record: Record, test: str, fault: str) -> InputError:
    return InputError(
        f"{record.folder / 'predictions.safetensors'}: expected one label, prediction and confidence per image of "
        f"{test!r}; got {fault}. Remove that run, or make it again."
    )
