"""open_clip's checkpoints: OpenAI's names with prefixes, and what they do not show in `open_clip_config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cocoop.clip.sources.families.base import Checkpoint, Towers
from cocoop.clip.sources.families.openai import Settings, is_resnet, plain_names, towers
from cocoop.errors import InputError

# Heads of its larger image towers are wider than 64; for a checkpoint without a config (model_configs/ViT-H-14.json,
# ViT-g-14.json, ViT-bigG-14.json).
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}

# Settings that say sizes, which the tensors show, or that matter in training or to other architectures only.
_OF_NO_CONCERN = {
    "text_cfg": {
        *("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "norm_kwargs", "eos_id", "pad_id"),
        *(
            "tokenizer_kwargs",
            "output_tokens",
            "hf_tokenizer_name",
            "hf_model_pretrained",
            "hf_proj_type",
            "hf_pooler_type",
        ),
    },
    "vision_cfg": {
        *("image_size", "patch_size", "width", "head_width", "layers", "mlp_ratio", "norm_kwargs", "patch_dropout"),
        *("output_tokens", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop"),
        *("timm_drop_path", "attn_pooler_queries", "attn_pooler_heads"),
    },
    "model_cfg": {
        *("embed_dim", "quick_gelu", "text_cfg", "vision_cfg", "custom_text", "init_logit_scale", "output_dict"),
        *("cast_dtype", "nonscalar_logit_scale"),
    },
}
# Others change what is computed. With these values it is what `Towers` computes; nothing (None, false) is, too.
_AS_COMPUTED: dict[str, dict[str, tuple[Any, ...]]] = {
    "text_cfg": {
        "pool_type": ("argmax", "eos"),
        "proj_type": ("linear",),
    },
    "vision_cfg": {"pool_type": ("tok",), "pos_embed_type": ("learnable",)},
    "model_cfg": {},
}
_WHY = {
    "hf_model_name": "the text tower is a BERT-like encoder, which is not causal",
    "no_causal_mask": "the text tower is bidirectional, as SigLIP's, so that prompts share no prefix",
    "init_logit_bias": "the model was trained with SigLIP's sigmoid loss, and has no softmax over classes",
    "timm_model_name": "the image tower is one of timm's (visual.trunk.*)",
    "multimodal_cfg": "the model is CoCa, whose text tower is read at another place",
}


def read(checkpoint: Checkpoint) -> Towers:
    """A checkpoint of open_clip. `InputError` if it is not a whole one, or its architecture is not CLIP's own."""
    checkpoint = plain_names(checkpoint)
    if checkpoint.config is None:
        raise InputError(
            f"{checkpoint.name}: expected an open_clip_config.json beside it, because the tensors do not show which "
            'activation they were trained with; got none. Write one: {"model_cfg": {"quick_gelu": true}} for models '
            "trained with QuickGELU (OpenAI's, DFN's, MetaCLIP's, and names that end in -quickgelu), or false for GELU "
            "(LAION's, DataComp's)."
        )
    pair = towers(checkpoint, _settings(checkpoint.name, checkpoint.config, checkpoint.tensors))
    _check_sizes(checkpoint.name, checkpoint.config, pair)
    return pair


def check_config(name: str, config: Mapping[str, Any]) -> None:
    """`InputError` unless an open_clip_config.json describes CLIP's own architecture, as far as it says."""
    model = _stated(config, "model_cfg")
    if not model:
        raise InputError(
            f"{name}: expected an open_clip_config.json that says something in its model_cfg; got nothing."
        )
    if not isinstance(model.get("quick_gelu"), bool | None):
        raise InputError(
            f"{name}: expected quick_gelu of open_clip_config.json to be true or false; got {model['quick_gelu']!r}."
        )
    for part in ("model_cfg", "text_cfg", "vision_cfg"):
        _check_architecture(name, part, _stated(config, part))
    _check_cleaning(name, _stated(config, "text_cfg"))


def _stated(config: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """The settings of a part; none of one that the config leaves out, and then the tensors decide.

    open_clip's own descriptions of its models are what others have under "model_cfg".
    """
    model = config.get("model_cfg", {name: value for name, value in config.items() if name != "preprocess_cfg"})
    stated = model if part == "model_cfg" or not isinstance(model, Mapping) else model.get(part) or {}
    if not isinstance(stated, Mapping):
        raise InputError(f"open_clip_config.json: expected {part} to be settings by name; got {stated!r}.")
    return stated


def _check_architecture(name: str, part: str, stated: Mapping[str, Any]) -> None:
    for key, value in stated.items():
        nothing = value is None or value is False
        if not nothing and key not in _OF_NO_CONCERN[part] and value not in _AS_COMPUTED[part].get(key, ()):
            why = _WHY.get(key, "that changes what the towers compute")
            raise InputError(
                f"{name}: expected CLIP's own architecture; open_clip_config.json states {part} {key} {value!r}: {why}."
                " Take a model of OpenAI's architecture, such as laion/CLIP-ViT-B-16-laion2B-s34B-b88K."
            )


def _check_cleaning(name: str, text: Mapping[str, Any]) -> None:
    """Texts are cleaned as open_clip does by default: lower case for its own tokenizer, blanks alone for others."""
    stated = text.get("tokenizer_kwargs") or {}
    usual = {"clean": "whitespace" if text.get("hf_tokenizer_name") else "lower"}
    if stated not in ({}, usual):
        raise InputError(
            f"{name}: expected texts that are cleaned in open_clip's usual way; open_clip_config.json states "
            f"tokenizer_kwargs {stated!r}. Take the model's Hugging Face folder, if it has one."
        )


def _settings(name: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Settings:
    """What the config says that the tensors do not show, with open_clip's defaults."""
    model, text, image = (_stated(config, part) for part in ("model_cfg", "text_cfg", "vision_cfg"))
    width = _text_width(tensors)
    try:
        heads = int(text.get("heads") or width // 64)
        head_width = image.get("head_width") or (64 if "width" in image else _usual_head_width(tensors))
        return Settings(
            text_head_width=width // heads if heads > 0 and width % heads == 0 else 0,
            image_head_width=int(head_width),
            activation="quick_gelu" if model.get("quick_gelu") else "gelu",
            text_eps=float((text.get("norm_kwargs") or {}).get("eps", 1e-5)),
            image_eps=float((image.get("norm_kwargs") or {}).get("eps", 1e-5)),
            eos_token_id=int(text.get("eos_id", 2)) if text.get("pool_type") == "eos" else None,
            vocabulary=str(text["hf_tokenizer_name"]) if text.get("hf_tokenizer_name") else None,
        )
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{name}: expected numbers for heads, head_width, eps and eos_id in open_clip_config.json; got "
            f"{type(error).__name__}: {error}."
        ) from error


def _usual_head_width(tensors: Mapping[str, Tensor]) -> int:
    if is_resnet(tensors) or "visual.class_embedding" not in tensors:
        return 64
    return _HEAD_WIDTHS.get(tensors["visual.class_embedding"].numel(), 64)


def _text_width(tensors: Mapping[str, Tensor]) -> int:
    if "positional_embedding" not in tensors:
        return 64  # `take` will say what is missing
    shape = tensors["positional_embedding"].shape
    return shape[-1] if shape else 64


def _check_sizes(name: str, config: Mapping[str, Any], pair: Towers) -> None:
    """A config that states other sizes than the tensors' belongs to another model, and so do its other settings."""
    text, image = pair.text, pair.image.describe()
    actual: dict[str, dict[str, Any]] = {
        "model_cfg": {"embed_dim": image["joint_width"]},
        "text_cfg": {
            "context_length": text.context_length,
            "vocab_size": text.token_embedding.num_embeddings,
            "width": text.width,
            "layers": len(text.blocks),
        },
        "vision_cfg": {
            "image_size": image["image_size"],
            "layers": image["layers"],
            "width": image["width"],
            "patch_size": image.get("patch"),
        },
    }
    for part, sizes in actual.items():
        stated = _stated(config, part)
        for key, size in sizes.items():
            if stated.get(key) is not None and size is not None and stated[key] not in (size, [size, size]):
                raise InputError(
                    f"{name}: expected an open_clip_config.json that fits the weights; it states {part} "
                    f"{key} {stated[key]}, and they have {size}. Take both from the same model."
                )
