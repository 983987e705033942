"""Base and new classes together: what the harmonic mean of two separate tests does not show."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cocoop.errors import InputError
from cocoop.evaluation.metrics import check_probabilities
from cocoop.results import Together


def measure_together(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], base_classes: int
) -> Together:
    """The figures of one classifier over base and new classes at once, on images of both.

    With p the probabilities over the union, an image's score r = max of p over the base classes says how sure the
    classifier is that it is of a base class ("MCM"). g and h are the classifiers among the base and among the new
    classes alone: their choice is the largest p of their classes.

    | figure | |
    |---|---|
    | `accuracy` | percent of all images whose label is the top class of the union |
    | `base_called_new`, `new_called_base` | percent of the images of one half whose top class is of the other |
    | `auroc` | P(r(base image) > r(new image)), equal ones count half, times 100 |
    | `open_world_auc` | mean over pairs of 1[g right] 1[r(base image) > r(new image)] 1[h right], times 100 |

    Source: Zhou et al., DeCoOp, ICML 2024, arXiv 2406.00345 (accuracy over the union); OpenworldAUC, ICML 2025, arXiv
    2505.05180. Pairs are counted by sorting, in O(N log N).

    Args:
        probabilities: [N, K] over the union, base classes first; rows sum to 1.
        labels: [N] class numbers in the union.
        base_classes: how many of the K are base, 1..K-1.

    Raises:
        InputError: as `measure`, or no image of one of the halves, or no class of one of them.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    check_probabilities(probabilities, labels, probabilities.shape[1] if probabilities.ndim == 2 else 0)
    is_base = labels < base_classes
    if not 0 < base_classes < probabilities.shape[1] or is_base.all() or not is_base.any():
        raise InputError(
            f"together: expected images and classes of both halves; got {is_base.sum():,} images of {base_classes} "
            f"base classes and {(~is_base).sum():,} of {probabilities.shape[1] - base_classes} new ones."
        )
    predicted = probabilities.argmax(axis=1)
    scores = base_scores(probabilities, base_classes)
    of_base, of_new = scores[is_base], scores[~is_base]
    g_right = probabilities[is_base, :base_classes].argmax(axis=1) == labels[is_base]
    h_right = probabilities[~is_base, base_classes:].argmax(axis=1) == labels[~is_base] - base_classes
    pairs = len(of_base) * len(of_new)
    return Together(
        base_images=len(of_base),
        new_images=len(of_new),
        accuracy=100 * float((predicted == labels).mean()),
        base_called_new=100 * float((predicted[is_base] >= base_classes).mean()),
        new_called_base=100 * float((predicted[~is_base] < base_classes).mean()),
        auroc=50 * (_pairs(of_base, of_new, "left") + _pairs(of_base, of_new, "right")) / pairs,
        open_world_auc=100 * _pairs(of_base[g_right], of_new[h_right], "left") / pairs,
    )


def base_scores(probabilities: NDArray[np.floating[Any]], base_classes: int) -> NDArray[np.floating[Any]]:
    """How sure a classifier over the union [N, K] is that an image is of a base class: r [N], 0..1."""
    scores: NDArray[np.floating[Any]] = probabilities[:, :base_classes].max(axis=1)
    return scores


def _pairs(higher: NDArray[Any], lower: NDArray[Any], side: Literal["left", "right"]) -> int:
    """How many pairs have the first value above the second ("left"), or above or equal ("right")."""
    return int(np.searchsorted(np.sort(lower), higher, side=side).sum())
