"""The figures of the papers, from probabilities and labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocoop.errors import InputError

CALIBRATION_BINS = 15
"""Equal-width bins of the expected calibration error, as in Guo et al. 2017."""

_SUM_TOLERANCE = 1e-3
_AT_ONCE = 2**22
"""Numbers of probabilities in float64 at a time, 32 MB."""


@dataclass(frozen=True)
class Metrics:
    """How well one classifier did on one list of images. All rates are percent in [0, 100], unrounded.

    n: number of images. classes: K, with images or without. correct: how many have their label as the top class.
    accuracy: 100 correct / n.
    macro_f1: mean over the classes present in the labels of F1 = 2 TP / (2 TP + FP + FN).
    mean_per_class_accuracy: mean of the values of `per_class_accuracy`.
    expected_calibration_error: sum over 15 bins of (images in bin / n) |accuracy - mean top probability|.
    per_class_accuracy: class name -> share of its images that are correct; classes without an image are left
    out; where two classes share a name (ImageNet has "sunglasses" twice) the label is added,
    "name (label 3)".

    Source: Dassl:dassl/evaluation/evaluator.py @ c61a1b57 (accuracy, macro_f1, perclass_accuracy);
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3 (bins open below, closed above).
    """

    n: int
    classes: int
    correct: int
    accuracy: float
    macro_f1: float
    mean_per_class_accuracy: float
    expected_calibration_error: float
    per_class_accuracy: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain ints, floats and one dict, ready for JSON."""
        return asdict(self)


def measure(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], class_names: Sequence[str]
) -> Metrics:
    """Compare `probabilities` [N, K] (any float type, rows sum to 1) with `labels` [N] (integers 0..K-1).

    `class_names` are the K names in the order of the columns. Of equal top probabilities the first class
    counts as predicted. Computed in float64, without a copy of the probabilities.

    `InputError`: no images; shapes that do not fit; labels that are no integers or out of range;
    probabilities that are not finite, are negative, or whose row does not sum to 1 within 1e-3.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    check_probabilities(probabilities, labels, len(class_names))
    predicted = probabilities.argmax(axis=1)
    hits = predicted == labels
    # Counts per class [K]: true positives, images of the class, images called the class.
    positives, actual, called = (
        np.bincount(of, minlength=len(class_names)) for of in (labels[hits], labels, predicted)
    )
    present = np.flatnonzero(actual)
    recalls = 100 * positives[present] / actual[present]
    f1 = 2 * positives[present] / (actual[present] + called[present])
    names = distinct(class_names)
    return Metrics(
        n=len(labels),
        classes=len(class_names),
        correct=int(hits.sum()),
        accuracy=100 * int(hits.sum()) / len(labels),
        macro_f1=100 * float(f1.mean()),
        mean_per_class_accuracy=float(recalls.mean()),
        expected_calibration_error=_calibration_error(probabilities.max(axis=1).astype(np.float64), hits),
        per_class_accuracy={names[k]: float(recall) for k, recall in zip(present, recalls, strict=True)},
    )


def classwise_calibration_error(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """The calibration error of every class's probability, not of the top one alone: the mean over classes, percent.

    That of class k is the sum over 15 bins of p_k of (images in bin / N) |share of class k - mean p_k|. With many
    classes most p_k are near 0 and the figure is small: it compares methods on the same classes.

    Args:
        probabilities: [N, K] as of `measure`.
        labels: [N] classes, 0 <= label < K.

    Source: Kull et al., "Beyond temperature scaling", NeurIPS 2019, eq. 3 (bins open below, closed above, as here).
    """
    images, classes = len(probabilities), len(probabilities[0])
    gaps = np.zeros(classes * CALIBRATION_BINS)
    first = CALIBRATION_BINS * np.arange(classes)
    for start in range(0, images, max(1, _AT_ONCE // classes)):
        rows = probabilities[start : start + max(1, _AT_ONCE // classes)].astype(np.float64)
        own = labels[start : start + len(rows), None] == np.arange(classes)
        gaps += np.bincount((first + _bins_of(rows)).ravel(), weights=(own - rows).ravel(), minlength=len(gaps))
    return 100 * float(np.abs(gaps).sum()) / (images * classes)


def _calibration_error(confidence: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    # |accuracy - confidence| of a bin, times its share of the images, is the size of its summed gaps over n.
    gaps = np.bincount(_bins_of(confidence), weights=hits - confidence, minlength=CALIBRATION_BINS)
    return 100 * float(np.abs(gaps).sum()) / len(hits)


def _bins_of(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    # The inner edges only, so that rounding beyond 1 stays in the last bin; right=True makes bins (lo, hi].
    inner_edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.digitize(probabilities, inner_edges, right=True)


def distinct(class_names: Sequence[str]) -> list[str]:
    """The names [K] by which `Metrics.per_class_accuracy` tells classes apart."""
    counts = Counter(class_names)
    return [f"{name} (label {k})" if counts[name] > 1 else name for k, name in enumerate(class_names)]


def check_probabilities(probabilities: NDArray[Any], labels: NDArray[Any], n_classes: int) -> None:
    """Raise `InputError` as `measure` says, unless the probabilities are [N, n_classes] and the labels [N] fit them."""
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"labels: expected shape [N] with N of 1 or more; got {list(labels.shape)}.")
    if probabilities.shape != (len(labels), n_classes):
        raise InputError(
            f"probabilities: expected shape [N, K] = [{len(labels)}, {n_classes}] for {len(labels)} labels "
            f"and {n_classes} class names; got {list(probabilities.shape)}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels: expected integers 0..{n_classes - 1}; got dtype {labels.dtype}. Give class numbers.")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(
            f"labels: expected 0..{n_classes - 1} for {n_classes} class names; got {labels.min()}.."
            f"{labels.max()}. Give the class names that the labels number."
        )
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise InputError(f"probabilities: expected floats in 0..1; got dtype {probabilities.dtype}.")
    _check_rows(probabilities)


def _check_rows(probabilities: NDArray[Any]) -> None:
    sums = probabilities.sum(axis=1, dtype=np.float64)
    least, most = probabilities.min(axis=1), probabilities.max(axis=1)  # a NaN is passed on by both
    bad_rows = {  # a NaN fails every comparison, so "finite" comes first
        "finite": ~(np.isfinite(least) & np.isfinite(most)),
        "0 or more": least < 0,
        f"rows that sum to 1 within {_SUM_TOLERANCE}": np.abs(sums - 1) > _SUM_TOLERANCE,
    }
    for expected, bad in bad_rows.items():
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"probabilities: expected {expected}; row {row} of {len(sums)} ({int(bad.sum())} such rows) "
                f"has min {least[row]}, max {most[row]}, sum {sums[row]}. "
                "Give the softmax of the logits, taken in float32."
            )
