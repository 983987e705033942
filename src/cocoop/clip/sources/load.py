"""Where a CLIP comes from: a name, a folder, a file or tensors -> towers, tokenizer and transform."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop.clip.image.transforms import Preprocess
from cocoop.clip.sources.families import Checkpoint, Towers, check_family, read_towers
from cocoop.clip.sources.folder import (
    CONFIG,
    HUGGING_FACE_WEIGHTS,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    VOCABULARIES,
    first_in,
    has_vocabulary,
    settings_in,
)
from cocoop.clip.sources.hub import SHORT_NAMES, download, full_id, is_hub_id
from cocoop.clip.sources.preprocessing import stated_augment, stated_preprocessing
from cocoop.clip.sources.tokens import Tokenizer, default_tokenizer, load_tokenizer
from cocoop.errors import InputError
from cocoop.weights.read import read_weights

BUNDLED = {"tiny": Path(__file__).parents[1] / "tiny"}

_FILES = (".pt", ".pth", ".bin", ".safetensors", ".json")  # no hub id ends so

_OPENAI_VOCABULARY = 49_408
_OPENAI_TOKENIZER = SHORT_NAMES["ViT-B/32"]  # all of OpenAI's models have the same


@dataclass(frozen=True)
class Parts:
    """What a CLIP is made of, on the CPU and in the checkpoint's dtype.

    origin: the family, and the file that the weights are read from ("" of a state dict).
    tokenizer_source: the folder or hub id that the user named for the tokenizer, if so.
    augment: whether random crops and flips of an image show what it shows; see `stated_augment`.
    """

    name: str
    origin: tuple[str, str]
    towers: Towers
    tokenizer: Tokenizer
    preprocess: Preprocess
    tokenizer_source: str | None
    augment: bool


@dataclass(frozen=True)
class _Model:
    """A checkpoint, its family and file, and the folder that its transform (and tokenizer, if it is whole) lies in."""

    family: str
    checkpoint: Checkpoint
    file: Path | None = None
    folder: Path | None = None
    has_tokenizer: bool = False


def load_parts(
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    tokenizer: str | os.PathLike[str] | Tokenizer | None,
    quick_gelu: bool | None = None,
) -> Parts:
    """Find out what `source` is and load it. See `CLIP.load`."""
    if isinstance(source, Mapping):
        model = _state_dict(source, tokenizer, quick_gelu)
    elif quick_gelu is not None:
        raise InputError(
            f"quick_gelu: expected nothing beside {source}; got {quick_gelu!r}. It is for state dicts; files have a "
            "config that says it, such as open_clip_config.json."
        )
    elif isinstance(source, str | os.PathLike) and isinstance(os.fspath(source), str):
        model = _find(os.fspath(source))
    else:
        raise InputError(
            f"clip: expected a name, a folder, a file or a state dict; got {type(source).__name__}. See CLIP.load."
        )
    towers = read_towers(model.family, model.checkpoint)
    size = towers.image.image_size
    transform = {} if model.folder is None else stated_preprocessing(model.folder, model.family, size)
    return Parts(
        name=model.checkpoint.name,
        origin=(model.family, str(model.file or "")),
        towers=towers,
        tokenizer=_tokenizer(model, towers, tokenizer),
        preprocess=Preprocess(size, **transform),
        tokenizer_source=os.fspath(tokenizer) if isinstance(tokenizer, str | os.PathLike) else None,
        augment=model.folder is None or stated_augment(model.folder),
    )


def _state_dict(state: Mapping[str, Any], tokenizer: object, quick_gelu: bool | None) -> _Model:
    if tokenizer is None:
        raise InputError(
            "tokenizer: expected a folder or a tokenizer object, because a state dict has no vocabulary; got None."
        )
    if not isinstance(quick_gelu, bool | None):
        raise InputError(f"quick_gelu: expected True, False or None; got {quick_gelu!r}.")
    return _Model("openai", Checkpoint("state dict", _own_copies(state), quick_gelu=quick_gelu is not False))


def _own_copies(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors, or arrays, of a user's state dict, so that what happens to them later does not matter."""
    strange = [name for name in state if not isinstance(name, str)]
    if strange:
        raise InputError(f"state dict: expected tensors by name; got one by {strange[0]!r}.")
    try:
        tensors = {name: torch.as_tensor(value).detach().cpu() for name, value in state.items()}
        return {name: tensor.to_dense().clone() for name, tensor in tensors.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"state dict: expected tensors by name; got {type(error).__name__}: {error}.") from error


def _find(name: str) -> _Model:
    place = BUNDLED.get(name) or (Path(name) if name and name not in SHORT_NAMES else None)
    if place is None or not _exists(place):
        place = _from_hub(name, _hub_id(name))
    return _in_folder(name, place) if place.is_dir() else _in_file(name, place)


def _hub_id(name: str) -> str:
    """What a short name, with or without a revision, stands for; or a hub id itself."""
    hub_id = full_id(name)
    if not is_hub_id(hub_id) or hub_id.endswith(_FILES) or os.path.islink(name):
        names = [*BUNDLED, *SHORT_NAMES]
        near = get_close_matches(name.lower(), [short.lower() for short in names], n=1)
        meant = f" Did you mean {next(short for short in names if short.lower() == near[0])}?" if near else ""
        raise InputError(
            f"{name or repr(name)}: expected {', '.join(names)}, a model folder, a weights file (OpenAI's .pt, "
            "open_clip's .bin, .pt or .safetensors) or a hub id such as openai/clip-vit-base-patch16; got no such "
            f"folder or file.{meant}"
        )
    return hub_id


def _from_hub(name: str, hub_id: str) -> Path:
    try:
        return download(hub_id, check_family)
    except InputError as error:
        what = f"{name} is {hub_id}" if hub_id != name else f"{name} is no folder or file here"
        raise InputError(f"{what}. {error}") from error


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _in_folder(name: str, folder: Path, weights: Path | None = None) -> _Model:
    """The model in a folder, with these weights of Hugging Face's or the first that are there."""
    config = settings_in(folder, CONFIG)
    family = (config or {}).get("model_type")
    weights = weights or (first_in(folder, HUGGING_FACE_WEIGHTS) if family else None)
    open_clip_weights = first_in(folder, OPEN_CLIP_WEIGHTS)
    has_tokenizer = has_vocabulary(folder)
    if family and (weights or not open_clip_weights):
        check_family(name, family, config)
        if weights is None:
            raise InputError(_incomplete(folder, HUGGING_FACE_WEIGHTS))
        checkpoint = Checkpoint(name, read_weights(weights).tensors, config)
        return _Model(family, checkpoint, weights, folder, has_tokenizer)
    if open_clip_weights is None:
        raise InputError(_incomplete(folder, (CONFIG, *OPEN_CLIP_WEIGHTS)))
    checkpoint = Checkpoint(name, read_weights(open_clip_weights).tensors, settings_in(folder, OPEN_CLIP_CONFIG))
    return _Model("open_clip", checkpoint, open_clip_weights, folder, has_tokenizer)


def _incomplete(folder: Path, wanted: tuple[str, ...]) -> str:
    if (folder / "prompt.safetensors").is_file():
        return f"{folder}: expected a CLIP; got a run folder, a learned prompt. Give it to predict or evaluate."
    lone = sorted(path.name for path in folder.iterdir() if path.suffix in _FILES[:-1] and path.is_file())
    hint = f"To load {lone[0]}, give that file itself." if lone else "Download the model again."
    return f"{folder}: expected a model folder with {' or '.join(wanted)}; it has none. {hint}"


def _in_file(name: str, path: Path) -> _Model:
    if not path.is_file():  # a pipe would be waited for
        raise InputError(f"{name}: expected a model folder or a weights file; got something else of that name.")
    if path.name in HUGGING_FACE_WEIGHTS and (settings_in(path.parent, CONFIG) or {}).get("model_type"):
        return _in_folder(name, path.parent, path)
    weights = read_weights(path)
    if weights.scripted:
        return _Model("openai", Checkpoint(name, weights.tensors), path)
    checkpoint = Checkpoint(name, weights.tensors, settings_in(path.parent, OPEN_CLIP_CONFIG))
    described = checkpoint.config is not None  # or else other models' files may lie beside it
    return _Model("open_clip", checkpoint, path, path.parent, described and has_vocabulary(path.parent))


def _tokenizer(model: _Model, towers: Towers, given: str | os.PathLike[str] | Tokenizer | None) -> Tokenizer:
    """The tokenizer that is given, or the model's own, or the one that belongs to models like it."""
    if given is not None:
        return load_tokenizer(given) if isinstance(given, str | os.PathLike) else given
    name = model.checkpoint.name
    if model.has_tokenizer and model.folder is not None:
        return load_tokenizer(model.folder)
    if towers.vocabulary is not None:
        if not is_hub_id(towers.vocabulary):  # nor is it opened as a path: a config may come from anywhere
            raise InputError(
                f"{name}: expected a tokenizer with the model; its open_clip_config.json names {towers.vocabulary!r}, "
                "which is no hub id (owner/name). Say where it is: --tokenizer DIR (tokenizer=... in Python)."
            )
        return default_tokenizer(towers.vocabulary, name)
    vocabulary = towers.text.token_embedding.num_embeddings
    if model.family not in ("openai", "open_clip") or vocabulary != _OPENAI_VOCABULARY:
        raise InputError(
            f"{name}: expected a tokenizer of {vocabulary:,} tokens with the model ({' or '.join(VOCABULARIES)}); it "
            "has none. Say where one is: --tokenizer DIR (tokenizer=... in Python)."
        )
    return default_tokenizer(_matching(name), name)


def _matching(name: str) -> str:
    """The hub id of OpenAI's model that a file's name says it is: a user may have that one in the hub's cache."""
    files = {short.replace("/", "-").replace("@", "-"): hub_id for short, hub_id in SHORT_NAMES.items()}
    return files.get(Path(name).stem, _OPENAI_TOKENIZER)
