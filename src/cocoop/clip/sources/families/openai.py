"""OpenAI's names (openai/CLIP clip/model.py): archives and state dicts. open_clip has the same, behind prefixes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from cocoop.clip.image.resnet import ResNetTower
from cocoop.clip.image.vit import ImageTower
from cocoop.clip.sources.families.base import (
    Checkpoint,
    Towers,
    count_layers,
    heads_of,
    inverse_temperature,
    part,
    take,
)
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError

# What wrappers of torch put before all names, and open_clip's CustomTextCLIP before those of its text tower.
_PREFIXES = re.compile(r"^(module\.|_orig_mod\.)*(text\.)?")
_MASK = "attn_mask"  # the causal mask, a buffer in some versions

METADATA = ("input_resolution", "context_length", "vocab_size")
"""Three numbers that TorchScript archives hold beside the parameters."""

_TEXT = {
    "token_embedding.weight": "token_embedding.weight",
    "positional_embedding": "positions",
    "ln_final.weight": "ln_final.weight",
    "ln_final.bias": "ln_final.bias",
    "text_projection": "projection.weight",
}
_IMAGE = {
    "visual.class_embedding": "embeddings.class_embedding",
    "visual.positional_embedding": "embeddings.position_embedding.weight",
    "visual.conv1.weight": "embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "pre_layrnorm.weight",
    "visual.ln_pre.bias": "pre_layrnorm.bias",
    "visual.ln_post.weight": "post_layernorm.weight",
    "visual.ln_post.bias": "post_layernorm.bias",
    "visual.proj": "projection.weight",
}
# A residual block's modules: OpenAI's name -> of `Block`, and of transformers' vision transformer.
_TEXT_BLOCK = {"ln_1": "ln_1", "attn.out_proj": "out", "ln_2": "ln_2", "mlp.c_fc": "fc", "mlp.c_proj": "proj"}
_IMAGE_BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


@dataclass(frozen=True)
class Settings:
    """What the tensors do not show. The defaults are OpenAI's.

    text_head_width, image_head_width: of every head (clip/model.py: heads = width // 64). activation: by transformers'
    name. text_eps, image_eps: of the layer norms. eos_token_id: what the text is read at; None is the last of the
    vocabulary. vocabulary: as in `Towers`.
    """

    text_head_width: int = 64
    image_head_width: int = 64
    activation: str = "quick_gelu"
    text_eps: float = 1e-5
    image_eps: float = 1e-5
    eos_token_id: int | None = None
    vocabulary: str | None = None


def read(checkpoint: Checkpoint) -> Towers:
    """A checkpoint of OpenAI's own code. `InputError` if it is not a whole one."""
    return towers(plain_names(checkpoint), Settings(activation="quick_gelu" if checkpoint.quick_gelu else "gelu"))


def plain_names(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without prefixes of its names and without the mask. `InputError` if two get the same name."""
    tensors = {_PREFIXES.sub("", name): tensor for name, tensor in checkpoint.tensors.items()}
    if len(tensors) != len(checkpoint.tensors):
        raise InputError(
            f"{checkpoint.name}: expected the tensors of one model; got {len(checkpoint.tensors)}, of which "
            f"{len(checkpoint.tensors) - len(tensors)} have the same names but for prefixes (module., text., ...)."
        )
    tensors.pop(_MASK, None)
    return replace(checkpoint, tensors=tensors)


def towers(checkpoint: Checkpoint, settings: Settings) -> Towers:
    """The towers of tensors in OpenAI's names, with a vision transformer or a ResNet."""
    resnet = is_resnet(checkpoint.tensors)
    elsewhere = [name for name in checkpoint.tensors if name.startswith("visual.")] if resnet else []
    tensors = take(checkpoint, _names(checkpoint, with_image=not resnet), [*METADATA, *elsewhere])
    text_weights = part(tensors, "text.")
    text_weights["projection.weight"] = text_weights["projection.weight"].transpose(0, -1).contiguous()
    width = text_weights["positions"].shape[-1]
    text_heads = heads_of(checkpoint.name, "text", width, settings.text_head_width)
    eos = settings.eos_token_id
    return Towers(
        text=TextTower.from_weights(text_weights, text_heads, settings.activation, settings.text_eps),
        image=_resnet(checkpoint, settings) if resnet else _transformer(checkpoint, part(tensors, "image."), settings),
        logit_scale=inverse_temperature(checkpoint.name, tensors["logit_scale"]),
        eos_token_id=len(text_weights["token_embedding.weight"]) - 1 if eos is None else eos,
        vocabulary=settings.vocabulary,
    )


def is_resnet(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the image tower is OpenAI's ResNet."""
    return any(name.startswith("visual.layer1.") for name in tensors)


def _resnet(checkpoint: Checkpoint, settings: Settings) -> ResNetTower:
    if settings.image_head_width != 64:
        raise InputError(
            f"{checkpoint.name}: expected a ResNet with heads 64 wide, as OpenAI's; got {settings.image_head_width}."
        )
    return ResNetTower.from_openai(part(checkpoint.tensors, "visual."))


def _transformer(checkpoint: Checkpoint, weights: dict[str, Tensor], settings: Settings) -> ImageTower:
    weights["projection.weight"] = weights["projection.weight"].transpose(0, -1).contiguous()
    for stacked in [name for name in weights if ".in_proj_" in name]:
        block, kind = stacked.split(".in_proj_")
        for letter, third in zip("qkv", weights.pop(stacked).tensor_split(3), strict=True):
            weights[f"{block}.self_attn.{letter}_proj.{kind}"] = third
    width = len(weights["embeddings.class_embedding"])
    heads = heads_of(checkpoint.name, "image", width, settings.image_head_width)
    return ImageTower.from_weights(weights, heads, settings.activation, settings.image_eps)


def _names(checkpoint: Checkpoint, with_image: bool) -> dict[str, str]:
    """OpenAI's name of every tensor -> "text." or "image." and the tower's own."""
    names = {"logit_scale": "logit_scale"} | {theirs: f"text.{ours}" for theirs, ours in _TEXT.items()}
    names |= _block_names(checkpoint, "transformer.resblocks.", "text.blocks.", _TEXT_BLOCK, "qkv.")
    if with_image:
        names |= {theirs: f"image.{ours}" for theirs, ours in _IMAGE.items()}
        blocks = "visual.transformer.resblocks."
        names |= _block_names(checkpoint, blocks, "image.encoder.layers.", _IMAGE_BLOCK, "in_proj_")
    return names


def _block_names(
    checkpoint: Checkpoint, theirs: str, ours: str, modules: Mapping[str, str], stacked: str
) -> dict[str, str]:
    """Of all blocks of a tower; `stacked` begins the names of query, key and value in one."""
    names = {}
    for i in range(max(1, count_layers(checkpoint, theirs))):
        for kind in ("weight", "bias"):
            names[f"{theirs}{i}.attn.in_proj_{kind}"] = f"{ours}{i}.{stacked}{kind}"
            for old, new in modules.items():
                names[f"{theirs}{i}.{old}.{kind}"] = f"{ours}{i}.{new}.{kind}"
    return names
