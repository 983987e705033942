"""Where a CLIP comes from: a name, a folder, a file or tensors -> towers, tokenizer and transform."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop.clip.checkpoints.folder import (
    CONFIG,
    HUGGING_FACE_WEIGHTS,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    VOCABULARIES,
    first_in,
    settings_in,
)
from cocoop.clip.checkpoints.hub import SHORT_NAMES, download, is_hub_id
from cocoop.clip.checkpoints.weights import read_weights
from cocoop.clip.families import Checkpoint, Towers, check_family, read_towers
from cocoop.clip.preprocessing import stated_preprocessing
from cocoop.clip.tokens import Tokenizer, default_tokenizer, load_tokenizer
from cocoop.clip.transforms import Preprocess
from cocoop.errors import InputError

# torchvision cannot be imported beside a CPU-only torch, and a broken one makes `import transformers` fail.
# Nothing here needs it. This module is the one that imports transformers first.
sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]

BUNDLED = {"tiny": Path(__file__).parent / "tiny"}

_OPENAI_VOCABULARY = 49_408
_OPENAI_TOKENIZER = SHORT_NAMES["ViT-B/32"]  # all of OpenAI's models have the same


@dataclass(frozen=True)
class Parts:
    """What a CLIP is made of, on the CPU and in the checkpoint's dtype.

    tokenizer_source: the folder or hub id that the user named for the tokenizer, if so.
    """

    name: str
    towers: Towers
    tokenizer: Tokenizer
    preprocess: Preprocess
    tokenizer_source: str | None


@dataclass(frozen=True)
class _Found:
    """A checkpoint, its family, and the folder that its transform (and tokenizer, if it is a whole one) lies in."""

    family: str
    checkpoint: Checkpoint
    folder: Path | None = None
    has_tokenizer: bool = False


def load_parts(
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    tokenizer: str | os.PathLike[str] | Tokenizer | None,
    quick_gelu: bool | None = None,
) -> Parts:
    """Find out what `source` is and load it. See `CLIP.load`."""
    if isinstance(source, Mapping):
        if tokenizer is None:
            raise InputError(
                "tokenizer: expected a folder or a tokenizer object, because a state dict has no vocabulary; got None."
            )
        found = _Found("openai", Checkpoint("state dict", _own_copies(source), quick_gelu=quick_gelu))
    else:
        found = _find(os.fspath(source), quick_gelu)
    towers = read_towers(found.family, found.checkpoint)
    return Parts(
        name=found.checkpoint.name,
        towers=towers,
        tokenizer=_tokenizer(found, towers, tokenizer),
        preprocess=Preprocess(towers.image.image_size, **stated_preprocessing(found.folder) if found.folder else {}),
        tokenizer_source=os.fspath(tokenizer) if isinstance(tokenizer, str | os.PathLike) else None,
    )


def _own_copies(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors, or arrays, of a user's state dict, so that what happens to them later does not matter."""
    try:
        return {name: torch.as_tensor(value).detach().cpu().clone() for name, value in state.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"state dict: expected tensors by name; got {type(error).__name__}: {error}.") from error


def _find(name: str, quick_gelu: bool | None) -> _Found:
    place = BUNDLED.get(name) or (Path(name) if name not in SHORT_NAMES else None)
    if place is None or not place.exists():
        hub_id = SHORT_NAMES.get(name, name)
        if not is_hub_id(hub_id):
            raise InputError(
                f"{name}: expected {', '.join([*BUNDLED, *SHORT_NAMES])}, a model folder, a weights file (OpenAI's "
                ".pt, open_clip's .bin, .pt or .safetensors) or a hub id such as openai/clip-vit-base-patch16; got no "
                "such folder or file."
            )
        place = download(hub_id, check_family)
    return _in_folder(name, place, quick_gelu) if place.is_dir() else _in_file(name, place, quick_gelu)


def _in_folder(name: str, folder: Path, quick_gelu: bool | None) -> _Found:
    config = settings_in(folder, CONFIG)
    family = (config or {}).get("model_type")
    weights = first_in(folder, HUGGING_FACE_WEIGHTS) if family else None
    open_clip_weights = first_in(folder, OPEN_CLIP_WEIGHTS)
    has_tokenizer = first_in(folder, VOCABULARIES) is not None
    if family and (weights or not open_clip_weights):
        check_family(name, family)
        if quick_gelu is not None:
            raise InputError(f"quick_gelu: expected nothing, because {name} has a config.json; got {quick_gelu}.")
        if weights is None:
            raise InputError(_incomplete(folder, HUGGING_FACE_WEIGHTS))
        checkpoint = Checkpoint(name, read_weights(weights).tensors, config)
        return _Found(family, checkpoint, folder, has_tokenizer)
    if open_clip_weights is None:
        raise InputError(_incomplete(folder, (CONFIG, *OPEN_CLIP_WEIGHTS)))
    tensors = read_weights(open_clip_weights).tensors
    return _Found("open_clip", _of_open_clip(name, tensors, folder, quick_gelu), folder, has_tokenizer)


def _incomplete(folder: Path, wanted: tuple[str, ...]) -> str:
    lone = sorted(path.name for path in folder.iterdir() if path.suffix in (".pt", ".bin", ".safetensors"))
    hint = f"To load {lone[0]}, give that file itself." if lone else "Download the model again."
    return f"{folder}: expected a model folder with {' or '.join(wanted)}; it has none. {hint}"


def _in_file(name: str, path: Path, quick_gelu: bool | None) -> _Found:
    if path.name in HUGGING_FACE_WEIGHTS and (settings_in(path.parent, CONFIG) or {}).get("model_type"):
        return _in_folder(name, path.parent, quick_gelu)
    weights = read_weights(path)
    if weights.scripted:
        return _Found("openai", Checkpoint(name, weights.tensors, quick_gelu=quick_gelu))
    checkpoint = _of_open_clip(name, weights.tensors, path.parent, quick_gelu)
    return _Found("open_clip", checkpoint, path.parent if checkpoint.config is not None else None)


def _of_open_clip(name: str, tensors: Mapping[str, Tensor], folder: Path, quick_gelu: bool | None) -> Checkpoint:
    stated = settings_in(folder, OPEN_CLIP_CONFIG)
    return Checkpoint(name, tensors, None if stated is None else stated.get("model_cfg", {}), quick_gelu)


def _tokenizer(found: _Found, towers: Towers, given: str | os.PathLike[str] | Tokenizer | None) -> Tokenizer:
    """The tokenizer that is given, or the model's own, or the one that belongs to models like it."""
    if given is not None:
        return load_tokenizer(given) if isinstance(given, str | os.PathLike) else given
    name = found.checkpoint.name
    if found.has_tokenizer and found.folder is not None:
        return load_tokenizer(found.folder)
    if towers.vocabulary is not None:
        return default_tokenizer(towers.vocabulary, name)
    vocabulary = towers.text.token_embedding.num_embeddings
    if found.family not in ("openai", "open_clip") or vocabulary != _OPENAI_VOCABULARY:
        raise InputError(
            f"{name}: expected a tokenizer of {vocabulary:,} tokens with the model ({' or '.join(VOCABULARIES)}); it "
            "has none. Say where one is: --tokenizer DIR (tokenizer=... in Python)."
        )
    return default_tokenizer(_matching(name), name)


def _matching(name: str) -> str:
    """The hub id of OpenAI's model that a file's name says it is: a user may have that one in the hub's cache."""
    files = {short.replace("/", "-").replace("@", "-"): hub_id for short, hub_id in SHORT_NAMES.items()}
    return files.get(Path(name).stem, _OPENAI_TOKENIZER)
