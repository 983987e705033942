"""A model and image features in, probabilities and figures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cocoop.evaluation.metrics import Metrics, measure
from cocoop.methods import PromptMethod, Shortlist
from cocoop.progress import counter

_TEXT_FEATURES_AT_ONCE = 65_536  # B x K of one step; at E = 512 in float32 128 MB


class Features(Protocol):
    """Image features [N, E], unit norm: a tensor, or what reads a part of them [n, E] from a disk when it is asked."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, part: slice, /) -> Tensor:
        """Some of them [n, E]."""


def predict_probabilities(model: PromptMethod | Shortlist, image_features: Features) -> Tensor:
    """Class probabilities [N, K] of unit-norm image features [N, E], any N, with a progress bar."""
    at_once, found = images_at_once(model), []
    with counter("classifying", len(image_features), " images", delay=2) as bar:
        for start in range(0, len(image_features), at_once):
            found.append(model.probabilities(image_features[start : start + at_once]))
            bar.update(len(found[-1]))
    return torch.cat(found)


def images_at_once(model: PromptMethod | Shortlist) -> int:
    """How many images `predict_probabilities` gives the model in one step."""
    return max(1, _TEXT_FEATURES_AT_ONCE // len(model.class_names))


def evaluate(model: PromptMethod | Shortlist, image_features: Features, labels: Sequence[int]) -> Metrics:
    """The figures of `measure` for unit-norm image features [N, E] and their classes [N], 0 <= label < K."""
    probabilities = predict_probabilities(model, image_features).cpu().double().numpy()
    return measure(probabilities, np.asarray(labels), model.class_names)
