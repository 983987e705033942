"""What a model's own files state of its test transform: Hugging Face's `preprocessor_config.json`, or open_clip's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.clip.transforms import INTERPOLATIONS, RESIZE_MODES
from cocoop.errors import InputError, expect_choice

_HUGGINGFACE = "preprocessor_config.json"
_OPEN_CLIP = "open_clip_config.json"
_RESAMPLE = {int(filter_): name for name, filter_ in INTERPOLATIONS.items()}
_LARGEST = 1e6  # of a mean or a std; colours are 0..1
_SMALLEST_STD = 1e-6


def stated_preprocessing(folder: Path) -> dict[str, Any]:
    """Keyword arguments of `Preprocess`: those of mean, std, resize_mode and interpolation that a model's files state.

    `preprocessor_config.json` counts, and without one "preprocess_cfg" of `open_clip_config.json`; without either, {}.
    An entry that is null states nothing, as in both libraries.

    Raises:
        InputError: a file that is not such JSON, or states what `Preprocess` does not do; names it.
    """
    if (folder / _HUGGINGFACE).is_file():
        path, read = folder / _HUGGINGFACE, _from_huggingface
        stated = _json(path)
    elif (folder / _OPEN_CLIP).is_file():
        path, read = folder / _OPEN_CLIP, _from_open_clip
        stated = _object(path, "preprocess_cfg", _json(path).get("preprocess_cfg", {}))
    else:
        return {}
    return read(path, {key: value for key, value in stated.items() if value is not None})


def _from_huggingface(path: Path, stated: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "image_mean" in stated:
        found["mean"] = _three_numbers(path, "image_mean", stated["image_mean"], -_LARGEST)
    if "image_std" in stated:
        found["std"] = _three_numbers(path, "image_std", stated["image_std"], _SMALLEST_STD)
    if "size" in stated:
        found["resize_mode"] = _resize_mode_of(path, stated["size"])
    if "resample" in stated:
        resample = stated["resample"]
        if not _is_whole(resample) or resample not in _RESAMPLE:
            choices = ", ".join(f"{number} ({name})" for number, name in sorted(_RESAMPLE.items()))
            raise InputError(f"{path}: resample: expected one of {choices}; got {_short(resample)}.")
        found["interpolation"] = _RESAMPLE[resample]
    return found


def _from_open_clip(path: Path, stated: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "mean" in stated:
        found["mean"] = _three_numbers(path, "mean", stated["mean"], -_LARGEST)
    if "std" in stated:
        found["std"] = _three_numbers(path, "std", stated["std"], _SMALLEST_STD)
    for name, choices in (("resize_mode", RESIZE_MODES), ("interpolation", tuple(INTERPOLATIONS))):
        if name in stated:
            expect_choice(f"{path}: {name}", stated[name], choices)
            found[name] = stated[name]
    return found


def _resize_mode_of(path: Path, size: object) -> str:
    """Transformers resizes to {"height", "width"} exactly, and makes {"shortest_edge"} or a number the shorter side."""
    if _is_whole(size):
        return "shortest"
    if isinstance(size, dict) and all(map(_is_whole, size.values())):
        if size.keys() == {"shortest_edge"}:
            return "shortest"
        if size.keys() == {"height", "width"} and size["height"] == size["width"]:
            return "squash"
    raise InputError(
        f"{path}: size: expected a number of pixels, a shortest_edge, or a height and an equal width; "
        f"got {_short(size)}."
    )


def _three_numbers(path: Path, name: str, value: object, least: float) -> tuple[float, ...]:
    """Finite numbers that a colour's mean or std can be. Comparing, not converting, bears NaN and huge integers."""
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(
            isinstance(one, int | float) and not isinstance(one, bool) and least <= one <= _LARGEST for one in value
        )
    ):
        raise InputError(
            f"{path}: {name}: expected three numbers from {least:g} to {_LARGEST:g}, one for each of red, green and "
            f"blue; got {_short(value)}."
        )
    return tuple(map(float, value))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected a JSON file; got {type(error).__name__}: {error}. Download the model again."
        ) from error
    return _object(path, "the file", found)


def _object(path: Path, what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {what}: expected a JSON object; got {_short(value)}. Download the model again.")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
