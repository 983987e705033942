"""Probabilities and figures of a model on image features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.errors import RunError
from cocoop.evaluation.metrics import Metrics, measure
from cocoop.features import Features
from cocoop.methods import Inference, Method, images_at_once
from cocoop.progress import counter


def predict_probabilities(model: Inference, image_features: Features) -> Tensor:
    """Class probabilities [N, K] of unit-norm image features [N, E], any N, on the CPU, with a progress bar.

    With the images, memory grows by these probabilities alone: 4 bytes each (8 where the CLIP is float64, or they are
    calibrated).

    Raises:
        RunError: one is not finite, because weights are damaged or numbers too large for the dtype.
    """
    return _in_parts(model.probabilities, model, image_features)


@torch.no_grad()
def predict_logits(model: Method, image_features: Features) -> Tensor:
    """The same of the logits [N, K]."""
    return _in_parts(model, model, image_features)


def _in_parts(rows_of: Callable[[Tensor], Tensor], model: Inference, image_features: Features) -> Tensor:
    """What the model makes of each image, [N, K]."""
    count, at_once = len(image_features), images_at_once(model)
    whole = torch.empty(0)
    with counter("classifying", count, " images", delay=2) as bar:
        for start in range(0, count, at_once):
            part = rows_of(image_features[start : start + at_once])
            if start == 0:
                whole = torch.empty(count, part.shape[1], dtype=part.dtype)
            whole[start : start + len(part)] = part
            expect_finite(whole[start : start + len(part)], model)
            bar.update(len(part))
    return whole


def class_probabilities(model: Inference, image_features: Features) -> NDArray[np.float64]:
    """`predict_probabilities` in float64, whose rows sum to 1 in that, too: [N, K]."""
    rounded = predict_probabilities(model, image_features).double()
    probabilities: NDArray[np.float64] = (rounded / rounded.sum(dim=1, keepdim=True)).numpy()
    return probabilities


def expect_finite(outputs: Tensor, model: Inference) -> None:
    """`RunError` where probabilities or logits of a model are not finite: weights are damaged, or the dtype small."""
    if not outputs.isfinite().all():
        clip = model.clip
        raise RunError(
            f"probabilities: expected finite ones; got NaN from the CLIP {clip.name}, computing in "
            f"{clip.precision.name}. Take float32 (--dtype float32); if they are no better, its weights are damaged: "
            "download it again."
        )


def evaluate(model: Inference, image_features: Features, labels: Sequence[int]) -> Metrics:
    """The figures of `measure` for unit-norm image features [N, E] and their classes [N], 0 <= label < K."""
    probabilities = predict_probabilities(model, image_features).numpy()
    return measure(probabilities, np.asarray(labels), model.class_names)
