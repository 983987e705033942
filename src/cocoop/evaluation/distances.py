"""How sure to be of a new class, by how far the prompts have moved it from the classes that were learned."""

from __future__ import annotations

import torch
from torch import Tensor

NEAREST = 5
"""Base classes whose distances count."""


def distance_scales(tuned: Tensor, zero_shot: Tensor, base_classes: int) -> Tensor:
    """What the logits of an image are multiplied by that is called class i: gamma [K], 1 for a base class.

    gamma_i = s(w_i) / s(t_i), with w the learned prompts' text features and t those of the hand-written ones, and
    s = exp(-mean of the `NEAREST` smallest Euclidean distances to the base classes' features of the same prompts). A
    class that learning has moved away from the base classes has less than 1: the model is to be less sure of it.

    Args:
        tuned: w [K, E], unit norm, base classes first.
        zero_shot: t [K, E], the same.
        base_classes: how many are base, 1..K; where there are fewer than `NEAREST`, all of them count.

    Source: Wang et al., "Open-Vocabulary Calibration for Fine-tuned CLIP", ICML 2024, arXiv 2402.04655. Its code tells
    base classes by a distance below 0.05; here they are known.
    """
    gamma = (_distance(zero_shot, base_classes) - _distance(tuned, base_classes)).exp()
    gamma[:base_classes] = 1.0
    return gamma


def _distance(features: Tensor, base_classes: int) -> Tensor:
    """The mean distance [K] of each class to the base classes that are nearest to it."""
    features = features.double()
    distances = torch.cdist(features, features[:base_classes], compute_mode="donot_use_mm_for_euclid_dist")
    nearest: Tensor = distances.topk(min(NEAREST, base_classes), largest=False).values.mean(dim=1)
    return nearest
