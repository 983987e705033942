"""A model and image features in, probabilities and figures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cocoop.evaluation.metrics import Metrics, measure
from cocoop.methods import PromptMethod, Shortlist
from cocoop.progress import progress

_TEXT_FEATURES_AT_ONCE = 65_536  # B x K of one step; at E = 512 in float32 128 MB


def predict_probabilities(model: PromptMethod | Shortlist, image_features: Tensor) -> Tensor:
    """Class probabilities [N, K] of unit-norm image features [N, E], any N, with a progress bar."""
    parts = image_features.split(images_at_once(model))
    return torch.cat([model.probabilities(part) for part in progress(parts, "classifying", len(parts))])


def images_at_once(model: PromptMethod | Shortlist) -> int:
    """How many images `predict_probabilities` gives the model in one step."""
    return max(1, _TEXT_FEATURES_AT_ONCE // len(model.class_names))


def evaluate(model: PromptMethod | Shortlist, image_features: Tensor, labels: Sequence[int]) -> Metrics:
    """The figures of `measure` for unit-norm image features [N, E] and their classes [N], 0 <= label < K."""
    probabilities = predict_probabilities(model, image_features).cpu().double().numpy()
    return measure(probabilities, np.asarray(labels), model.class_names)
