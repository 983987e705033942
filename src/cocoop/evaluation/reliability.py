"""How well probabilities of base-to-new fit, as they are, calibrated on held-out base images, and as conformal sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.errors import InputError
from cocoop.evaluation.calibration import at_temperatures, calibration_figures, fit_temperature
from cocoop.evaluation.conformal import conformal_sets, conformal_threshold
from cocoop.evaluation.metrics import classwise_calibration_error, measure
from cocoop.results import CalibrationFigures, Fits, HeldOutFit, Reliability


class Scored(NamedTuple):
    """What a model says of N labelled images: probabilities [N, K], labels [N], and the K names."""

    probabilities: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]]
    class_names: list[str]

    @property
    def logits(self) -> Tensor:
        """Log p [N, K], float64: the logits, up to a number for each image that no softmax sees."""
        return torch.from_numpy(self.probabilities).double().clamp(min=self._least).log()

    @property
    def _least(self) -> float:
        """What is rounded to 0 is not impossible: the least number above it."""
        return float(np.finfo(self.probabilities.dtype).smallest_subnormal)

    def figures(self) -> CalibrationFigures:
        """How well the probabilities fit the labels; errors as `measure`."""
        metrics = measure(self.probabilities, self.labels, self.class_names)
        own = self.probabilities[np.arange(len(self.labels)), self.labels].astype(np.float64)
        return CalibrationFigures(
            accuracy=metrics.accuracy,
            expected_calibration_error=metrics.expected_calibration_error,
            classwise_calibration_error=classwise_calibration_error(self.probabilities, self.labels),
            negative_log_likelihood=float(-np.log(own.clip(min=self._least)).mean()),
        )


def fit_held_out(
    held_out: Scored, part: Literal["val", "train"], temperature: bool, coverage: float | None
) -> HeldOutFit:
    """Fit a temperature if asked for, and the threshold of conformal sets where a coverage is.

    The threshold is that of the plain probabilities: a temperature fitted on the same images would void its guarantee.
    """
    found: dict[str, Any] = {}
    if temperature:
        try:
            value, interval = fit_temperature(held_out.logits, held_out.labels.tolist())
            found |= {"temperature": value, "interval": interval}
        except InputError:  # too few, or none fits best: the record says so by None
            pass
    if coverage is not None:
        found["threshold"] = conformal_threshold(held_out.probabilities, held_out.labels, coverage)
    return HeldOutFit(images=len(held_out.labels), part=part, coverage=coverage, **found)


def measure_reliability(
    tests: Mapping[str, Scored], fit: HeldOutFit | None = None, scales: Mapping[str, Tensor] | None = None
) -> tuple[Reliability, dict[str, NDArray[np.float32]]]:
    """The figures of every test, and "TEST/calibrated", the top probability of each image [N] as calibrated last.

    Args:
        tests: name -> what the model says of its images.
        fit: what was fitted for them, if anything.
        scales: name of a test -> gamma [K] of its classes, see `distance_scales`; None without.
    """
    figures: dict[str, Fits] = {}
    confidences: dict[str, NDArray[np.float32]] = {}
    for name, test in tests.items():
        found: dict[str, Any] = {"plain": test.figures()}
        if fit is not None and fit.temperature is not None:
            gamma = None if scales is None else scales[name]
            calibrated, confidences[f"{name}/calibrated"] = _calibrated(test, fit.temperature, gamma)
            found |= calibrated
        if fit is not None and fit.threshold is not None:
            found["sets"] = conformal_sets(test.probabilities, test.labels, fit.threshold)
        figures[name] = Fits(**found)
    return Reliability(tests=figures, fit=fit), confidences


def _calibrated(
    test: Scored, temperature: float, gamma: Tensor | None
) -> tuple[dict[str, CalibrationFigures], NDArray[np.float32]]:
    """The figures of every way that there is, and the top probabilities [N] of the last of them."""
    logits, labels, names = test.logits, test.labels.tolist(), test.class_names
    ways: dict[str, float | Tensor] = {"temperature": temperature}
    if gamma is not None:
        ways["dac"] = temperature / gamma.cpu().double()[logits.argmax(dim=1)]
    figures = {way: calibration_figures(logits, labels, names, of) for way, of in ways.items()}
    top: Tensor = at_temperatures(logits, [*ways.values()][-1]).softmax(dim=1).amax(dim=1)
    return figures, top.float().numpy()
