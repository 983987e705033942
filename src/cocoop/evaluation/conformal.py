"""Conformal sets: classes that hold an image's own with a stated probability, by images that were held out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocoop.errors import InputError
from cocoop.results import ConformalSets

_ROUNDING = 1e-9  # of (n + 1) coverage, so that 10 x 0.9 is 9


def conformal_threshold(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], coverage: float
) -> float:
    """The probability t such that {k: p_k >= t} holds an image's class with the stated probability or more.

    t is the ceil((n + 1) coverage)-th largest probability that held-out images give their own classes; 0, with which a
    set is all classes, where n images are too few for that rank. The guarantee is over the draw of the held-out images
    and of one more that is exchangeable with them: of the same classes, in the same shares. It holds for no other
    class, whatever is measured there, and on average, not for every class.

    Args:
        probabilities: [n, K] of held-out images, by a model that is not fitted to them in any way.
        labels: [n] their classes.
        coverage: above 0 and below 1.

    Raises:
        InputError: another coverage, or no image.

    Source: split conformal prediction with the score 1 - p_y; Sadinle et al., "Least ambiguous set-valued classifiers",
    JASA 2019; Angelopoulos and Bates, arXiv 2107.07511, section 1.
    """
    check_coverage("coverage", coverage)
    own = np.sort(probabilities[np.arange(len(labels)), labels])[::-1]
    if not len(own):
        raise InputError("conformal sets: expected held-out images; got none.")
    rank = math.ceil((len(own) + 1) * coverage - _ROUNDING)
    return float(own[rank - 1]) if rank <= len(own) else 0.0


def conformal_sets(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], threshold: float
) -> ConformalSets:
    """How often the sets {k: p_k >= threshold} of images [N, K] hold their classes [N], and how large they are."""
    sets = probabilities >= threshold
    return ConformalSets(
        covered=100 * float(sets[np.arange(len(labels)), labels].mean()), size=float(sets.sum(axis=1).mean())
    )


def check_coverage(name: str, coverage: float) -> None:
    """Raise `InputError`, which starts with the name, unless this is a probability above 0 and below 1."""
    if not 0 < coverage < 1:
        raise InputError(f"{name}: expected a probability above 0 and below 1, such as 0.9; got {coverage}.")
