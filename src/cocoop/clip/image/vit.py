"""The image tower: CLIP's vision transformer, filled from tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.clip.activations import ACTIVATIONS
from cocoop.clip.fill import check_layers, fill
from cocoop.errors import InputError, expect_choice


class Layer(nn.Module):
    """x + out(attention(q, k, v of layer_norm1 x)), then x + fc2(act(fc1(layer_norm2 x))): pre-norm, no mask."""

    def __init__(self, width: int, hidden: int, heads: int, activation: str, eps: float) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        self.self_attn = nn.ModuleDict({f"{name}_proj": nn.Linear(width, width) for name in ("q", "k", "v", "out")})
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.layer_norm2 = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        normed = self.layer_norm1(x)
        q, k, v = (
            self.self_attn[f"{name}_proj"](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in "qkv"
        )
        x = x + self.self_attn["out_proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        hidden = ACTIVATIONS[self.activation].defined(self.mlp["fc1"](self.layer_norm2(x)))
        y: Tensor = x + self.mlp["fc2"](hidden)
        return y


class Embeddings(nn.Module):
    """One token for the class and one for every patch, each with its position."""

    def __init__(self, width: int, channels: int, patch: int, positions: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = nn.Conv2d(channels, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding(positions, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, N, N] -> [B, 1 + patches, D]."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(pixels.shape[0], 1, -1), patches], dim=1)
        x: Tensor = tokens + self.position_embedding.weight
        return x


class ImageTower(nn.Module):
    """CLIP's vision transformer and its projection: pixels [B, 3, N, N] -> [B, E] (arXiv 2103.00020, section 2.4).

    The modules have the names of transformers' `CLIPVisionModel`, and compute the same to the bit.

    Attributes:
        image_size: N, pixels.
        formula: the settings that the tensors do not show, by transformers' names: heads, activation, eps.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        patch: int,
        grid: int,
        layers: int,
        hidden: int,
        joint_width: int,
        heads: int,
        activation: str,
        eps: float,
    ) -> None:
        super().__init__()
        self.patch, self.image_size = patch, grid * patch
        self.formula: dict[str, Any] = {"num_attention_heads": heads, "hidden_act": activation, "layer_norm_eps": eps}
        blocks = nn.ModuleList(Layer(width, hidden, heads, activation, eps) for _ in range(layers))
        self.vision_model = nn.ModuleDict(
            {
                "embeddings": Embeddings(width, channels, patch, grid * grid + 1),
                "pre_layrnorm": nn.LayerNorm(width, eps),
                "encoder": nn.ModuleDict({"layers": blocks}),
                "post_layernorm": nn.LayerNorm(width, eps),
            }
        )
        self.projection = nn.Linear(width, joint_width, bias=False)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], heads: int, activation: str, eps: float) -> ImageTower:
        """A tower with these very tensors.

        Args:
            weights: under the names of transformers' `CLIPVisionModel`, and `projection.weight` [E, D]; sizes are
                theirs. Images are square, and patches fill them.
            heads: of every layer.
            activation: a name of `ACTIVATIONS`.
            eps: of the layer norms.

        Raises:
            InputError: a tensor is missing or does not fit the others, or the activation is unknown.
        """
        width, channels, patch = _patches(weights["embeddings.patch_embedding.weight"])
        positions = len(weights["embeddings.position_embedding.weight"])
        grid = math.isqrt(max(positions - 1, 0))
        if positions != grid * grid + 1:
            raise InputError(
                f"image tower: expected positions for a class token and a square grid of patches; got {positions}."
            )
        check_layers("image tower", width, heads, eps)
        expect_choice("image activation", activation, list(ACTIVATIONS))
        hidden, joint_width = len(weights["encoder.layers.0.mlp.fc1.weight"]), len(weights["projection.weight"])
        sizes = (width, channels, patch, grid, _layers(weights), hidden, joint_width)
        return fill("image tower", lambda: cls(*sizes, heads, activation, eps), _placed(weights))

    def forward(self, pixels: Tensor) -> Tensor:
        """Image features before the unit norm."""
        parts: Any = self.vision_model
        x = parts["pre_layrnorm"](parts["embeddings"](pixels))
        for layer in parts["encoder"]["layers"]:
            x = layer(x)
        features: Tensor = self.projection(parts["post_layernorm"](x[:, 0]))
        return features

    def describe(self) -> dict[str, Any]:
        """Its kind and sizes, by name."""
        layers: Any = self.vision_model["encoder"]["layers"]  # type: ignore[index]
        return {
            "kind": "vision transformer",
            "layers": len(layers),
            "width": self.projection.in_features,
            "hidden": layers[0].mlp["fc1"].out_features,
            "heads": self.formula["num_attention_heads"],
            "patch": self.patch,
            "image_size": self.image_size,
            "activation": self.formula["hidden_act"],
            "joint_width": self.projection.out_features,
        }


def _patches(kernel: Tensor) -> tuple[int, int, int]:
    """Width, channels and side of the patches of their embedding's kernel [D, 3, P, P]."""
    if kernel.dim() != 4 or kernel.shape[1] != 3 or kernel.shape[2] != kernel.shape[3]:
        raise InputError(
            f"image tower: expected square patches of three colours, [D, 3, P, P]; got {list(kernel.shape)}."
        )
    width, channels, patch, _ = kernel.shape
    return width, channels, patch


def _layers(weights: Mapping[str, Tensor]) -> int:
    return sum(name.startswith("encoder.layers.") and name.endswith(".layer_norm1.weight") for name in weights)


def _placed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {name: tensor for name, tensor in weights.items() if name.startswith("projection.")}
    return own | {f"vision_model.{name}": tensor for name, tensor in weights.items() if name not in own}
