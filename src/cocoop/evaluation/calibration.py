"""The temperature at which a model's probabilities fit labelled images best, and how well they do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cocoop.errors import InputError
from cocoop.evaluation.metrics import classwise_calibration_error, measure
from cocoop.results import CalibrationFigures

LEAST = 10
"""Images, of two classes or more: with fewer, a temperature says more about these images than about the model."""

_BOUNDS = (1e-3, 1e3)
"""Where 1/T is looked for."""
_NORMAL_95 = 1.96
_AT_ONCE = 2**22
"""Numbers of logits in float64 at a time, 32 MB."""


class Temperature(NamedTuple):
    """What logits are divided by, and its 95 % interval as the images tell it, from low to high."""

    value: float
    interval: tuple[float, float]


def fit_temperature(logits: Tensor, labels: Sequence[int]) -> Temperature:
    """The T > 0 with the least mean negative log-likelihood of softmax(logits / T), in float64.

    That is convex in b = 1/T, with the slope mean over images of (expected logit at b - logit of the label): the root
    of it is found by Brent's method. Its next derivative, the mean variance of the logits at b, is Fisher's information
    on b per image; the interval is that of log b.

    Args:
        logits: [N, K] of images that were not learned from, finite.
        labels: [N] their classes, 0..K-1.

    Raises:
        InputError: fewer than `LEAST` images, one class only, or no least value: all images are classified as labelled,
            so that the surer the better, or as many wrongly as by guessing.
    """
    from scipy.optimize import brentq  # takes a third of a second to import

    _check(labels)
    targets = torch.tensor(list(labels))
    parts = list(zip(*(rows.split(max(1, _AT_ONCE // logits.shape[1])) for rows in (logits, targets)), strict=True))

    def slope(log_b: float) -> float:
        return sum(_slope(part.double(), of, math.exp(log_b)) for part, of in parts)

    low, high = map(math.log, _BOUNDS)
    all_right = bool((logits.gather(1, targets[:, None])[:, 0] == logits.amax(dim=1)).all())
    if all_right or slope(high) <= 0:  # of all right the slope is below 0 everywhere, but for rounding
        raise InputError(
            f"calibration: expected some images that are not classified as labelled; got {len(targets):,} that are, "
            "from which follows only that the model may be surer than it is. Give more images, or harder ones."
        )
    if slope(low) >= 0:
        raise InputError(
            f"calibration: expected a model that does better than guessing; on these {len(targets):,} images it does "
            "not. Check that the labels are those of its classes."
        )
    log_b = brentq(slope, low, high, xtol=1e-12)
    information = sum(_information(part.double(), math.exp(log_b)) for part, _ in parts)
    width = _NORMAL_95 / (math.exp(log_b) * math.sqrt(information))
    return Temperature(math.exp(-log_b), (math.exp(-log_b - width), math.exp(-log_b + width)))


def calibration_figures(
    logits: Tensor, labels: Sequence[int], class_names: Sequence[str], temperature: float | Tensor
) -> CalibrationFigures:
    """How well softmax(logits [N, K] / temperature) fits the labels [N] of images; errors as `measure`.

    `temperature`: one number above 0, or one for each image, [N].
    """
    targets = torch.tensor(list(labels))
    scaled = at_temperatures(logits, temperature)
    probabilities = scaled.softmax(dim=1).numpy()
    metrics = measure(probabilities, targets.numpy(), class_names)
    return CalibrationFigures(
        accuracy=metrics.accuracy,
        expected_calibration_error=metrics.expected_calibration_error,
        classwise_calibration_error=classwise_calibration_error(probabilities, targets.numpy()),
        negative_log_likelihood=float(cross_entropy(scaled, targets)),
    )


def at_temperatures(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """The logits [N, K] divided by a temperature, or by one for each image [N], in float64."""
    return logits.double() / (temperature[:, None] if isinstance(temperature, Tensor) else temperature)


def _slope(logits: Tensor, labels: Tensor, b: float) -> float:
    """The derivative by b of the summed negative log-likelihood of softmax(b logits [N, K]), labels [N]."""
    expected = ((b * logits).softmax(dim=1) * logits).sum()
    return float(expected - logits.gather(1, labels[:, None]).sum())


def _information(logits: Tensor, b: float) -> float:
    """The variance of the logits [N, K] at b, summed over the images."""
    probabilities = (b * logits).softmax(dim=1)
    means = (probabilities * logits).sum(dim=1, keepdim=True)
    return float((probabilities * (logits - means) ** 2).sum())


def _check(labels: Sequence[int]) -> None:
    if len(labels) < LEAST:
        raise InputError(
            f"calibration: expected {LEAST} labelled images or more that were not learned from; got {len(labels)}. "
            "Add images, or learn from fewer (--shots)."
        )
    if len(set(labels)) == 1:
        raise InputError(
            f"calibration: expected images of two classes or more; got {len(labels):,} of one. Add images of others."
        )
