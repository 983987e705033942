"""Which files of a model folder are looked for, by the names that Hugging Face and open_clip give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cocoop.errors import InputError
from cocoop.reading import read_json

CONFIG = "config.json"
PREPROCESSOR_CONFIG = "preprocessor_config.json"
PROCESSOR_CONFIG = "processor_config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"
HUGGING_FACE_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_VOCABULARIES = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
)
MAX_SETTINGS = 2**22
"""Bytes of a file of settings: many times what any has."""
VOCABULARIES = tuple(" and ".join(files) for files in _VOCABULARIES)
"""The files of which one, or a pair, is a tokenizer's vocabulary: for messages."""


def has_vocabulary(folder: Path) -> bool:
    """Whether the folder has a tokenizer's vocabulary, whole."""
    return any(all(_is_file(folder / name) for name in files) for files in _VOCABULARIES)


def first_in(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that the folder has, or None."""
    return next((folder / name for name in names if _is_file(folder / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(
            f"{path}: expected a folder that can be read; got {error.strerror}. Look at its rights."
        ) from error


def settings_in(folder: Path, name: str) -> dict[str, Any] | None:
    """What a JSON file of the folder states by name, or None without that file. `InputError` if it is damaged."""
    path = folder / name
    if not _is_file(path):
        return None
    try:
        stated = read_json(path, MAX_SETTINGS)
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be read; got {error.strerror}.") from error
    except ValueError as error:
        raise InputError(
            f"{path}: expected settings in JSON; got a damaged file ({str(error).splitlines()[0]}). Download it again."
        ) from error
    if not isinstance(stated, dict):
        raise InputError(f"{path}: expected settings by name; got {type(stated).__name__}. Download it again.")
    return stated
