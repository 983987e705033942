"""Describe a CLIP: sizes, parameters, and the memory of its text side for K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from cocoop.clip.model import CLIP
from cocoop.clip.text.memory import expected_bytes, tokens_at_once
from cocoop.clip.text.packing import pack
from cocoop.clip.text.prompts import in_parts
from cocoop.clip.text.tower import TextTower
from cocoop.clip.text.typical import CONTEXT_LENGTH, suffix_lengths
from cocoop.errors import InputError

MOST_CLASSES = 100_000
"""The most classes for which `describe` estimates the memory."""

_MB = 1e6
_PREFIX = 1 + CONTEXT_LENGTH


def describe(clip: CLIP, classes: Sequence[int]) -> dict[str, Any]:
    """All that `cocoop info` tells of a CLIP, ready for JSON.

    Args:
        clip: any that `CLIP.load` gives.
        classes: numbers K, each 1 to `MOST_CLASSES`, for which the memory of the text side is estimated.

    Returns:
        "name"; "family" and "file", as in `CLIP.origin`; "text_tower" and "image_tower": sizes by name, heads and
        activations included; "joint_width": E; "logit_scale": 1/tau; "parameters": counts "text", "image" and "all",
        which has the temperature, too; "weights_mb": the size of both towers; "dtype": the name of the precision;
        "device"; "transform"; "tokenizer": its class, its vocabulary (None if it does not say), its source (None: the
        model's own, or an object); "fingerprint"; "fast_path": True, because `CLIP.load` refuses towers that are not
        causal or not read at their end token; "memory": "predict_mb" and "train_mb" of the text side for each K, for
        one image, beside the weights, with names as long as ImageNet's and four context tokens; see
        `memory.expected_bytes`. MB are 10^6 bytes.

    Raises:
        InputError: a K out of range, or the CLIP's memory budget is too small for it.
    """
    for count in classes:
        if not 1 <= count <= MOST_CLASSES:
            raise InputError(f"classes: expected numbers of classes, 1 to {MOST_CLASSES:,}; got {count:,}.")
    text, image = _parameters(clip.text), _parameters(clip.image_tower)
    return {
        "name": clip.name,
        "family": clip.origin[0],
        "file": clip.origin[1],
        "text_tower": _text_tower(clip),
        "image_tower": clip.image_tower.describe(),
        "joint_width": clip.embed_dim,
        "logit_scale": clip.logit_scale,
        "parameters": {"text": text, "image": image, "all": text + image + 1},
        "weights_mb": (text + image) * clip.dtype.itemsize / _MB,
        "dtype": clip.precision.name,
        "device": str(clip.device),
        "transform": _transform(clip),
        "tokenizer": _tokenizer(clip),
        "fingerprint": clip.fingerprint,
        "fast_path": True,
        "memory": [_memory(clip.text, count) for count in classes],
    }


def _parameters(tower: nn.Module) -> int:
    return sum(parameter.numel() for parameter in tower.parameters())


def _text_tower(clip: CLIP) -> dict[str, Any]:
    tower = clip.text
    return {
        "kind": "causal transformer",
        "layers": len(tower.layers),
        "width": tower.width,
        "hidden": tower.layers[0].fc.out_features,
        "heads": clip.formula["text num_attention_heads"],
        "activation": clip.formula["text hidden_act"],
        "context_length": tower.context_length,
        "vocabulary": tower.token_embedding.num_embeddings,
    }


def _transform(clip: CLIP) -> dict[str, Any]:
    transform = clip.preprocess
    return {
        "size": transform.size,
        "resize_mode": transform.resize_mode,
        "interpolation": transform.interpolation,
        "mean": list(transform.mean),
        "std": list(transform.std),
    }


def _tokenizer(clip: CLIP) -> dict[str, Any]:
    tokenizer: Any = clip.tokenizer
    return {
        "class": type(tokenizer).__name__,
        "vocabulary": len(tokenizer) if hasattr(tokenizer, "__len__") else None,
        "source": clip.tokenizer_source,
    }


def _memory(tower: TextTower, classes: int) -> dict[str, Any]:
    # Only lengths matter, so ranges stand in for the tokens and nothing is computed.
    longest = max(1, tower.context_length - _PREFIX)
    suffixes = [range(min(length, longest)) for length in suffix_lengths(classes)]
    parts = in_parts(suffixes, tokens_at_once(tower, _PREFIX, max(map(len, suffixes))))
    packings = [pack([len(suffix) for suffix in part], _PREFIX) for part in parts]
    predict, train = (expected_bytes(tower, packings, training) / _MB for training in (False, True))
    return {"classes": classes, "predict_mb": predict, "train_mb": train}
