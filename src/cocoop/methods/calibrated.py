"""Probabilities at another temperature: how sure a model says that it is, and not what it chooses."""

from __future__ import annotations

import torch
from torch import Tensor

from cocoop.methods.base import Method
from cocoop.methods.shortlist import Shortlist
from cocoop.methods.tangent import TangentPrompts


class Calibrated:
    """A model whose logits are divided by one number: p = softmax(logits / T), and its top class is the model's.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. The model may be changed afterwards;
    its classes may not.

    Args:
        model: a fitted method, its shortlist or its tangent prompts.
        temperature: T, above 0; above 1 makes probabilities more even, below 1 less.
    """

    def __init__(self, model: Method | Shortlist | TangentPrompts, temperature: float) -> None:
        self.model, self.temperature = model, temperature
        self.clip, self.conditional, self.class_names = model.clip, model.conditional, list(model.class_names)

    @torch.no_grad()
    def probabilities(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> class probabilities [B, K], float64, on the CPU; rows sum to 1."""
        logits = self.model(image_features) if isinstance(self.model, Method) else self.model.logits(image_features)
        # In float32 a high temperature would make neighbours equal, and another class the first of them.
        scaled: Tensor = logits.cpu().double() / self.temperature
        return scaled.softmax(dim=-1)
