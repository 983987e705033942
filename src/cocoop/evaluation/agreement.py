"""How far shortlist inference, which is approximate, agrees with full inference on the same images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocoop.evaluation.evaluate import predict_probabilities
from cocoop.evaluation.metrics import Metrics, measure
from cocoop.features import Features
from cocoop.methods import Method, inference


@dataclass(frozen=True)
class Agreement:
    """Shortlist inference beside full inference, on the same N labelled images.

    same_top_class: percent of the images to which both give the same top class.
    full_top_in_shortlist: percent of the images whose top class by full inference is on their shortlist. It is the
        ranking's hit rate; `same_top_class` differs from it by ties within rounding only.
    largest_difference, mean_difference: of |top probability by the shortlist - top probability in full|, 0..1.
    shortlist_seconds, full_seconds: wall-clock time of each on all N images; the ranking's text features are part of
        the first, the image tower of neither.
    shortlisted, full: the figures of each.
    """

    same_top_class: float
    full_top_in_shortlist: float
    largest_difference: float
    mean_difference: float
    shortlist_seconds: float
    full_seconds: float
    shortlisted: Metrics
    full: Metrics

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain numbers and dicts, ready for JSON."""
        return asdict(self)


def verify_shortlist(
    model: Method, image_features: Features, labels: Sequence[int], size: int, temperature: float | None = None
) -> Agreement:
    """Run both on unit-norm image features [N, E] with the classes [N], 0 <= label < K, and compare.

    `temperature`: of both; None where they are not calibrated.

    Raises:
        InputError: as `Shortlist` and `measure`.
    """
    started = time.perf_counter()
    shortlisted = predict_probabilities(inference(model, size, temperature), image_features).numpy()
    between = time.perf_counter()
    full = predict_probabilities(inference(model, None, temperature), image_features).numpy()
    ended = time.perf_counter()
    numbers = np.asarray(labels)
    return Agreement(
        **compare(shortlisted, full),
        shortlist_seconds=between - started,
        full_seconds=ended - between,
        shortlisted=measure(shortlisted, numbers, model.class_names),
        full=measure(full, numbers, model.class_names),
    )


def compare(shortlisted: NDArray[np.floating[Any]], full: NDArray[np.floating[Any]]) -> dict[str, float]:
    """The first four figures of `Agreement`, from probabilities [N, K] that are 0 for classes not on the shortlist.

    Of equal top probabilities the first class counts as the top class.
    """
    images = np.arange(len(full))
    top = full.argmax(axis=1)
    differences = np.abs(shortlisted.max(axis=1).astype(np.float64) - full.max(axis=1))
    return {
        "same_top_class": 100 * float((shortlisted.argmax(axis=1) == top).mean()),
        "full_top_in_shortlist": 100 * float((shortlisted[images, top] > 0).mean()),
        "largest_difference": float(differences.max()),
        "mean_difference": float(differences.mean()),
    }
