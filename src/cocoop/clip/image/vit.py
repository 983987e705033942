"""The image tower: transformers' vision transformer, filled from tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cocoop.clip.fill import check_layers, fill
from cocoop.errors import InputError, expect_choice

if TYPE_CHECKING:
    from transformers import CLIPVisionModel


class ImageTower(nn.Module):
    """The vision transformer of transformers' CLIP and its projection: pixels [B, 3, N, N] -> [B, E].

    Attributes:
        image_size: N, pixels.
    """

    def __init__(self, vision_model: CLIPVisionModel, joint_width: int) -> None:
        super().__init__()
        self.vision_model = vision_model
        self.projection = nn.Linear(vision_model.config.hidden_size, joint_width, bias=False)
        self.image_size: int = vision_model.config.image_size

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], heads: int, activation: str, eps: float) -> ImageTower:
        """A tower with these very tensors.

        Args:
            weights: under the names of transformers' `CLIPVisionModel`, and `projection.weight` [E, D]; sizes are
                theirs. Images are square, and patches fill them.
            heads: of every layer.
            activation: a name of transformers' activations.
            eps: of the layer norms.

        Raises:
            InputError: a tensor is missing or does not fit the others, or the activation is unknown.
        """
        from transformers import CLIPVisionConfig, CLIPVisionModel
        from transformers.activations import ACT2FN

        width, channels, patch = _patches(weights["embeddings.patch_embedding.weight"])
        positions = len(weights["embeddings.position_embedding.weight"])
        grid = math.isqrt(max(positions - 1, 0))
        if positions != grid * grid + 1:
            raise InputError(
                f"image tower: expected positions for a class token and a square grid of patches; got {positions}."
            )
        check_layers("image tower", width, heads, eps)
        expect_choice("image activation", activation, list(ACT2FN))
        config = CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=len(weights["encoder.layers.0.mlp.fc1.weight"]),
            num_hidden_layers=_layers(weights),
            num_attention_heads=heads,
            num_channels=channels,
            image_size=grid * patch,
            patch_size=patch,
            hidden_act=activation,
            layer_norm_eps=eps,
        )
        tower: ImageTower = fill(
            "image tower", lambda: cls(CLIPVisionModel(config), len(weights["projection.weight"])), _placed(weights)
        )
        embeddings = tower.vision_model.embeddings
        # The one buffer that is not in a state dict; it was made without memory, as everything in `fill`.
        embeddings.position_ids = torch.arange(positions).expand((1, -1))
        return tower

    def forward(self, pixels: Tensor) -> Tensor:
        """Image features before the unit norm."""
        features: Tensor = self.projection(self.vision_model(pixel_values=pixels).pooler_output)
        return features

    @property
    def formula(self) -> dict[str, Any]:
        """What is computed beyond what the tensors show."""
        config = self.vision_model.config
        return {name: getattr(config, name) for name in ("num_attention_heads", "hidden_act", "layer_norm_eps")}

    def describe(self) -> dict[str, Any]:
        """Its kind and sizes, by name."""
        config = self.vision_model.config
        return {
            "kind": "vision transformer",
            "layers": config.num_hidden_layers,
            "width": config.hidden_size,
            "hidden": config.intermediate_size,
            "heads": config.num_attention_heads,
            "patch": config.patch_size,
            "image_size": self.image_size,
            "activation": config.hidden_act,
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
