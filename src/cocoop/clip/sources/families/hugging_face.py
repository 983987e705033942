"""The names of transformers' `CLIPModel`, and MetaCLIP 2's, which are the same. Settings come from `config.json`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from cocoop.clip.image.vit import ImageTower
from cocoop.clip.sources.families.base import Checkpoint, Towers, count_layers, inverse_temperature, part, take
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError

_POSITION_IDS = [f"{tower}.embeddings.position_ids" for tower in ("text_model", "vision_model")]  # of older versions

_OUTER = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "text.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "text.positions",
    "text_model.final_layer_norm.weight": "text.ln_final.weight",
    "text_model.final_layer_norm.bias": "text.ln_final.bias",
    "text_projection.weight": "text.projection.weight",
    "vision_model.embeddings.class_embedding": "image.embeddings.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "image.embeddings.patch_embedding.weight",
    "vision_model.embeddings.position_embedding.weight": "image.embeddings.position_embedding.weight",
    "visual_projection.weight": "image.projection.weight",
} | {
    f"vision_model.{norm}.{kind}": f"image.{norm}.{kind}"
    for norm in ("pre_layrnorm", "post_layernorm")
    for kind in ("weight", "bias")
}
# A layer's modules: transformers' name -> of `Block`. The image tower has transformers' own names.
_BLOCK = {"layer_norm1": "ln_1", "self_attn.out_proj": "out", "layer_norm2": "ln_2", "mlp.fc1": "fc", "mlp.fc2": "proj"}
_BLOCK |= {f"self_attn.{letter}_proj": letter for letter in "qkv"}

# What transformers takes where a config.json is silent, of both families (CLIPConfig, MetaClip2Config).
_SIZES = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "text": _SIZES
    | {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
    | {"vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 49407},
    "vision": _SIZES
    | {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
    | {"image_size": 224, "patch_size": 32},
}
_ALSO: dict[str, tuple[type, ...]] = {"layer_norm_eps": (int,), "eos_token_id": (list, type(None))}
"""Types that a setting may have beside its default's, here or where it is used, which says so better."""


def read(checkpoint: Checkpoint) -> Towers:
    """A checkpoint of transformers' own. `InputError` if it is not a whole one, or its config does not fit."""
    config = _config(checkpoint)
    text_config, image_config = config.text_config, config.vision_config
    tensors = take(checkpoint, _names(checkpoint), _POSITION_IDS)
    text, image = _stacked(part(tensors, "text.")), part(tensors, "image.")
    towers = Towers(
        text=TextTower.from_weights(
            text, text_config.num_attention_heads, text_config.hidden_act, text_config.layer_norm_eps
        ),
        image=ImageTower.from_weights(
            image, image_config.num_attention_heads, image_config.hidden_act, image_config.layer_norm_eps
        ),
        logit_scale=inverse_temperature(checkpoint.name, tensors["logit_scale"]),
        eos_token_id=_eos(text_config, (checkpoint.config or {}).get("model_type")),
    )
    _check_sizes(checkpoint.name, towers, config)
    return towers


def _config(checkpoint: Checkpoint) -> SimpleNamespace:
    """What config.json states of both towers, with transformers' defaults for the rest."""
    stated = checkpoint.config or {}
    towers = {f"{tower}_config": _tower_config(checkpoint, tower) for tower in _DEFAULTS}
    return SimpleNamespace(**towers, projection_dim=stated.get("projection_dim", 512))


def _tower_config(checkpoint: Checkpoint, tower: str) -> SimpleNamespace:
    """The settings of the "text" or "vision" tower. Of the two forms that old configs have at once the whole counts."""
    config, defaults = checkpoint.config or {}, _DEFAULTS[tower]
    whole, usual = config.get(f"{tower}_config_dict"), config.get(f"{tower}_config")
    stated = (usual or {}) if whole is None else whole
    kept = {name: stated.get(name, default) for name, default in defaults.items()} if isinstance(stated, dict) else {}
    wrong = [name for name, value in kept.items() if type(value) not in (type(defaults[name]), *_ALSO.get(name, ()))]
    if wrong or not kept:
        got = f"{wrong[0]} {kept[wrong[0]]!r}" if wrong else f"{stated!r}"
        raise InputError(
            f"{checkpoint.name}: expected a config.json that describes two towers; got: {tower}_config with {got}. "
            "Download it again."
        )
    return SimpleNamespace(**kept)


def _names(checkpoint: Checkpoint) -> dict[str, str]:
    """Transformers' name of every tensor -> "text." or "image." and the tower's own."""
    names = dict(_OUTER)
    for prefix, tower in (("text_model", "text.blocks"), ("vision_model", "image.encoder.layers")):
        layers = f"{prefix}.encoder.layers."
        for i in range(max(1, count_layers(checkpoint, layers))):
            for theirs, ours in _BLOCK.items():
                kept = ours if prefix == "text_model" else theirs
                for kind in ("weight", "bias"):
                    names[f"{layers}{i}.{theirs}.{kind}"] = f"{tower}.{i}.{kept}.{kind}"
    return names


def _stacked(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """The text tower's tensors with query, key and value of every layer as one."""
    for name in [name for name in text if name.startswith("blocks.") and ".q." in name]:
        block, kind = name.split(".q.")
        parts = [text.pop(f"{block}.{letter}.{kind}") for letter in "qkv"]
        text[f"{block}.qkv.{kind}"] = _joined(parts)
    return text


def _joined(parts: list[Tensor]) -> Tensor:
    if len({(part.shape[1:], part.dtype) for part in parts}) > 1:
        raise InputError(
            f"text tower: expected query, key and value alike; got shapes {[list(part.shape) for part in parts]}."
        )
    return torch.cat(parts)


def _check_sizes(name: str, towers: Towers, config: Any) -> None:
    """Sizes are the tensors'; a config that states others belongs to another model, and so do its other settings."""
    text, image = towers.text, towers.image.describe()
    sizes = {
        "projection_dim": (config, image["joint_width"]),
        "text_config.hidden_size": (config.text_config, text.width),
        "text_config.intermediate_size": (config.text_config, text.layers[0].fc.out_features),
        "text_config.num_hidden_layers": (config.text_config, len(text.layers)),
        "text_config.max_position_embeddings": (config.text_config, text.context_length),
        "text_config.vocab_size": (config.text_config, text.token_embedding.num_embeddings),
        "vision_config.hidden_size": (config.vision_config, image["width"]),
        "vision_config.intermediate_size": (config.vision_config, image["hidden"]),
        "vision_config.num_hidden_layers": (config.vision_config, image["layers"]),
        "vision_config.patch_size": (config.vision_config, image["patch"]),
        "vision_config.image_size": (config.vision_config, image["image_size"]),
    }
    for what, (stating, actual) in sizes.items():
        stated = getattr(stating, what.rpartition(".")[2])
        if stated != actual:
            raise InputError(
                f"{name}: expected a config.json that fits the weights; it states {what} {stated}, and they have "
                f"{actual}. Take both from the same model."
            )


def _eos(text_config: Any, family: object) -> int:
    """The token that the text is read at. Old configs of CLIP state 2, and mean the last of the vocabulary."""
    stated = text_config.eos_token_id
    if stated == 2 and family == "clip":
        stated = text_config.vocab_size - 1
    if not isinstance(stated, int):
        raise InputError(f"config.json: expected one eos_token_id of the text tower; got {stated!r}.")
    return stated
