"""CLIP's causal text transformer: the weights, and the pieces that both ways of running it share.

`encode.py` holds the two ways: every prompt at full length, or the shared prefix once and the suffixes packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.clip.block import Block

if TYPE_CHECKING:
    from transformers import CLIPTextConfig


class TextTower(nn.Module):
    """g(.): prompt embeddings -> unit-norm text features (CLIP, arXiv 2103.00020, section 2.4).

    Attributes:
        plain: False (default) runs the packed path; True the full-length one. Same values up to rounding.
        memory_budget: bytes that encoding may take besides the weights, or None for what is free; see `memory.py`.
        context_length: the most positions a prompt may have, SOS and EOT included (77 in released models).
    """

    def __init__(self, config: CLIPTextConfig, joint_width: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.plain = False
        self.memory_budget: int | None = None
        self.context_length: int = config.max_position_embeddings
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Parameter(torch.empty(self.context_length, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                config.num_attention_heads,
                config.intermediate_size,
                config.layer_norm_eps,
                config.hidden_act,
            )
            for _ in range(config.num_hidden_layers)
        )
        self.ln_final = nn.LayerNorm(width, config.layer_norm_eps)
        self.projection = nn.Linear(width, joint_width, bias=False)

    @property
    def layers(self) -> list[Block]:
        """The L residual layers, first to last."""
        return cast("list[Block]", list(self.blocks))

    @property
    def no_context(self) -> Tensor:
        """[1, 0, D]: the value of no context slots."""
        return self.positions.new_empty(1, 0, self.width)

    @property
    def width(self) -> int:
        """D, the width of a token embedding."""
        return self.positions.shape[1]

    def pool(self, x: Tensor) -> Tensor:
        """EOT states [..., D] -> unit-norm text features [..., E]. The norm is taken in at least float32."""
        features: Tensor = self.projection(self.ln_final(x))
        return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)

    def load_huggingface(self, state: Mapping[str, Tensor]) -> None:
        """Take the text tower's tensors from a state dict in the names of transformers' `CLIPModel`."""
        self.load_state_dict(_own_names(state, len(self.blocks)))


def _own_names(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Transformers' text tensors under this module's names, query/key/value stacked into one matrix."""
    own = {
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positions": state["text_model.embeddings.position_embedding.weight"],
        "projection.weight": state["text_projection.weight"],
    }
    renamed = {"text_model.final_layer_norm": "ln_final"}
    for i in range(layers):
        theirs, ours = f"text_model.encoder.layers.{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            qkv = [state[f"{theirs}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            own[f"{ours}.qkv.{kind}"] = torch.cat(qkv)
        renamed |= {
            f"{theirs}.layer_norm1": f"{ours}.ln_1",
            f"{theirs}.self_attn.out_proj": f"{ours}.out",
            f"{theirs}.layer_norm2": f"{ours}.ln_2",
            f"{theirs}.mlp.fc1": f"{ours}.fc",
            f"{theirs}.mlp.fc2": f"{ours}.proj",
        }
    for theirs, ours in renamed.items():
        for kind in ("weight", "bias"):
            own[f"{ours}.{kind}"] = state[f"{theirs}.{kind}"]
    return own
