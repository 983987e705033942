"""CLIP's causal text transformer: the weights, and the pieces that both ways of running it share.

`encode.py` holds the two ways: every prompt at full length, or the shared prefix once and the suffixes packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from cocoop.clip.fill import check_layers, fill
from cocoop.clip.text.block import Block


class TextTower(nn.Module):
    """g(.): prompt embeddings -> unit-norm text features (CLIP, arXiv 2103.00020, section 2.4).

    Attributes:
        plain: False (default) runs the packed path; True the full-length one. Same values up to rounding.
        memory_budget: bytes that encoding may take besides the weights, or None for what is free; see `memory.py`.
        context_length: the most positions a prompt may have, SOS and EOT included (77 in released models).
        formula: the settings that the tensors do not show, by transformers' names: heads, activation, eps.
    """

    def __init__(
        self,
        vocabulary: int,
        context_length: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        joint_width: int,
        activation: str = "quick_gelu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.plain = False
        self.memory_budget: int | None = None
        self.context_length = context_length
        self.formula: dict[str, Any] = {"num_attention_heads": heads, "hidden_act": activation, "layer_norm_eps": eps}
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context_length, width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden, eps, activation) for _ in range(layers))
        self.ln_final = nn.LayerNorm(width, eps)
        self.projection = nn.Linear(width, joint_width, bias=False)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], heads: int, activation: str, eps: float) -> TextTower:
        """A tower with these very tensors.

        Args:
            weights: a state dict of this class; all sizes are its tensors'.
            heads: H of every layer.
            activation: a name of `ACTIVATIONS`.
            eps: of the layer norms.

        Raises:
            InputError: a tensor is missing or does not fit the others, or the activation is unknown.
        """
        embedding = weights["token_embedding.weight"]
        width = embedding.shape[-1]
        check_layers("text tower", width, heads, eps)
        return fill(
            "text tower",
            lambda: cls(
                len(embedding),
                len(weights["positions"]),
                width,
                sum(name.startswith("blocks.") and name.endswith(".ln_1.weight") for name in weights),
                heads,
                len(weights["blocks.0.fc.weight"]),
                len(weights["projection.weight"]),
                activation,
                eps,
            ),
            weights,
        )

    @property
    def layers(self) -> list[Block]:
        """The L residual layers, first to last."""
        return cast("list[Block]", list(self.blocks))

    @property
    def no_context(self) -> Tensor:
        """[1, 0, D]: the context of prompts without slots."""
        return self.positions.new_empty(1, 0, self.width)

    @property
    def width(self) -> int:
        """D, the width of a token embedding."""
        return self.positions.shape[1]

    def pool(self, x: Tensor) -> Tensor:
        """EOT states [..., D] -> text features [..., E], before the unit norm, in at least float32."""
        features: Tensor = self.projection(self.ln_final(x))
        return features.to(torch.promote_types(features.dtype, torch.float32))
