"""What an exported model computes behind the image tower: unit-norm image features to probabilities, for fixed classes.

Temperature and logit scale are in the tensors, and nothing of the text side is left.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.methods import Method


class LinearHead(nn.Module):
    """p = softmax(W x + b): image features [B, E] -> probabilities [B, K].

    `weight` [K, E] is text features times the logit scale. `bias` [K] is 0 where images and prompts are compared by
    their cosine.
    """

    kind: ClassVar[Literal["linear"]] = "linear"
    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float().contiguous())
        self.register_buffer("bias", bias.float().contiguous())

    @classmethod
    @torch.no_grad()
    def of(cls, model: Method, temperature: float) -> LinearHead:
        """The head of a method whose logits are a linear function of unit-norm image features; T divides them.

        That function is known from its values at 0 and at the E unit vectors. Whether it is the method's, a comparison
        has to say.
        """
        points = torch.eye(model.clip.embed_dim, device=model.clip.device)
        bias = model(torch.zeros_like(points[:1]))
        return cls((model(points) - bias).T / temperature, bias[0] / temperature)

    def forward(self, image_features: Tensor) -> Tensor:
        """[B, E] -> [B, K]."""
        return F.linear(image_features, self.weight, self.bias).softmax(dim=-1)


class FromPixels(nn.Module):
    """Image tower, unit norm and head: pixels [B, 3, N, N] -> probabilities [B, K]."""

    def __init__(self, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, pixels: Tensor) -> Tensor:
        """Of pixels as the transform makes them."""
        probabilities: Tensor = self.head(F.normalize(self.tower(pixels), dim=-1))
        return probabilities
