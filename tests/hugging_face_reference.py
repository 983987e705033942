"""transformers' own `CLIPModel` of a state dict in OpenAI's names: what the readers of src are compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

_HEAD_WIDTH = 64  # fixed in OpenAI's code (clip/model.py): heads = width // 64
_TOP = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
}
_TRANSPOSED = {"text_projection", "visual.proj"}  # OpenAI multiplies from the right, a Linear from the left
_IN_BLOCK = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2"}
_IN_BLOCK |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")


def hugging_face_model(state: Mapping[str, Tensor], activation: str = "quick_gelu") -> CLIPModel:
    """The model itself, in evaluation mode."""
    model = CLIPModel(config_from_openai(state, activation))
    model.load_state_dict({name: tensor.float() for name, tensor in huggingface_names(state).items()})
    return model.eval().requires_grad_(False)


def config_from_openai(state: Mapping[str, Tensor], activation: str = "quick_gelu") -> CLIPConfig:
    """The `CLIPConfig` that a state dict in OpenAI's names implies; shapes tell everything but the activation."""
    positions, vision_width = state["visual.positional_embedding"].shape
    context_length, text_width = state["positional_embedding"].shape
    patch = state["visual.conv1.weight"].shape[-1]
    shared: dict[str, Any] = {"hidden_act": activation, "layer_norm_eps": 1e-5}
    return CLIPConfig(
        text_config=shared
        | _tower(state, "transformer", text_width)
        | {
            "vocab_size": len(state["token_embedding.weight"]),
            "max_position_embeddings": context_length,
            # Ids in the config matter to transformers' own pooling only; prompts here know where EOT is.
            "bos_token_id": len(state["token_embedding.weight"]) - 2,
            "eos_token_id": len(state["token_embedding.weight"]) - 1,
        },
        vision_config=shared
        | _tower(state, "visual.transformer", vision_width)
        | {"image_size": round((positions - 1) ** 0.5) * patch, "patch_size": patch},
        projection_dim=state["text_projection"].shape[1],
    )


def _tower(state: Mapping[str, Tensor], prefix: str, width: int) -> dict[str, int]:
    layers = {m[2] for m in map(_BLOCK.fullmatch, state) if m and f"{m[1] or ''}transformer" == prefix}
    return {
        "hidden_size": width,
        "num_attention_heads": width // _HEAD_WIDTH,
        "num_hidden_layers": len(layers),
        "intermediate_size": len(state[f"{prefix}.resblocks.0.mlp.c_fc.weight"]),
    }


def huggingface_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names (and in the orientation) of transformers' `CLIPModel`."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        tensor = torch.as_tensor(value)
        if name in _TOP:
            renamed[_TOP[name]] = tensor.T if name in _TRANSPOSED else tensor
        else:
            renamed |= _block_names(name, tensor)
    return renamed


def _block_names(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """One tensor of a residual block; the stacked attention input matrix becomes three."""
    match = _BLOCK.fullmatch(name.replace("in_proj_", "in_proj."))
    assert match is not None, name
    tower = "vision_model" if match[1] else "text_model"
    block, part, kind = f"{tower}.encoder.layers.{match[2]}", match[3], match[4]
    if part in _IN_BLOCK:
        return {f"{block}.{_IN_BLOCK[part]}.{kind}": tensor}
    return {
        f"{block}.self_attn.{letter}_proj.{kind}": third for letter, third in zip("qkv", tensor.chunk(3), strict=True)
    }
