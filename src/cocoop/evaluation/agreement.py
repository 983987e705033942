"""How far inference that is approximate agrees with exact inference on the same images."""

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
from cocoop.methods import Approximation, at_temperature


@dataclass(frozen=True)
class Agreement:
    """Approximate inference beside exact inference, on the same N labelled images.

    same_top_class: percent of the images to which both give the same top class.
    largest_difference, mean_difference: of |top probability of the one - top probability of the other|, 0..1.
    approximate_seconds, exact_seconds: wall-clock time of each on all N images; the image tower is in neither, nor are
        tangent prompts, which were made before; the text features by which a shortlist ranks are in the first.
    approximate, exact: the figures of each.
    """

    same_top_class: float
    largest_difference: float
    mean_difference: float
    approximate_seconds: float
    exact_seconds: float
    approximate: Metrics
    exact: Metrics

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain numbers and dicts, ready for JSON."""
        return asdict(self)


def verify(
    approximation: Approximation, image_features: Features, labels: Sequence[int], temperature: float | None = None
) -> Agreement:
    """Run it and its model on unit-norm image features [N, E] with the classes [N], 0 <= label < K, and compare.

    `temperature`: of both; None where they are not calibrated. `InputError` as in `measure`.
    """
    model, numbers = approximation.model, np.asarray(labels)
    started = time.perf_counter()
    approximate = predict_probabilities(at_temperature(approximation, temperature), image_features).numpy()
    between = time.perf_counter()
    exact = predict_probabilities(at_temperature(model, temperature), image_features).numpy()
    ended = time.perf_counter()
    return Agreement(
        **compare(approximate, exact),
        approximate_seconds=between - started,
        exact_seconds=ended - between,
        approximate=measure(approximate, numbers, model.class_names),
        exact=measure(exact, numbers, model.class_names),
    )


def compare(approximate: NDArray[np.floating[Any]], exact: NDArray[np.floating[Any]]) -> dict[str, float]:
    """The first three figures of `Agreement`, from probabilities [N, K] of each.

    Of equal top probabilities the first class counts as the top class.
    """
    differences = np.abs(approximate.max(axis=1).astype(np.float64) - exact.max(axis=1))
    return {
        "same_top_class": 100 * float((approximate.argmax(axis=1) == exact.argmax(axis=1)).mean()),
        "largest_difference": float(differences.max()),
        "mean_difference": float(differences.mean()),
    }
