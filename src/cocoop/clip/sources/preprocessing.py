"""What a model's own files state of its test transform: Hugging Face's `preprocessor_config.json`, or open_clip's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cocoop.clip.sources.folder import OPEN_CLIP_CONFIG, PREPROCESSOR_CONFIG, PROCESSOR_CONFIG, settings_in
from cocoop.errors import InputError, expect_choice
from cocoop.framing import INTERPOLATIONS, RESIZE_MODES

_RESAMPLE = {int(filter_): name for name, filter_ in INTERPOLATIONS.items()}
_LARGEST = 1e6  # of a mean or a std; colours are 0..1
_SMALLEST_STD = 1e-6
_FIXED = {"do_resize": True, "do_rescale": True, "do_normalize": True, "do_pad": False}
_RESCALE_FACTOR = 1 / 255
_RESCALE_TOLERANCE = 1e-6  # files state it with more or fewer digits


def stated_preprocessing(folder: Path, family: str, size: int) -> dict[str, Any]:
    """Keyword arguments of `Preprocess`: those of mean, std, resize_mode and interpolation that a model's files state.

    "image_processor" of `processor_config.json` counts, which transformers 5 writes and prefers; without it
    `preprocessor_config.json`; without that "preprocess_cfg" of `open_clip_config.json`; without any, {}. Of an
    open_clip model the last alone counts: open_clip reads no other, and they may differ. An entry that is null states
    nothing, as in both libraries.

    Args:
        folder: where the files lie.
        family: of the checkpoint, as `read_towers` takes it.
        size: side of the images that the image tower takes, pixels.

    Raises:
        InputError: a file that is not such JSON, or states what `Preprocess` of this size does not do; names it.
    """
    if family != "open_clip":
        nested = (settings_in(folder, PROCESSOR_CONFIG) or {}).get("image_processor")
        if isinstance(nested, dict):
            return _from_hugging_face(folder / PROCESSOR_CONFIG, _not_null(nested), size)
        own = settings_in(folder, PREPROCESSOR_CONFIG)
        if own is not None:
            return _from_hugging_face(folder / PREPROCESSOR_CONFIG, _not_null(own), size)
    path = folder / OPEN_CLIP_CONFIG
    stated = (settings_in(folder, OPEN_CLIP_CONFIG) or {}).get("preprocess_cfg") or {}
    if not isinstance(stated, dict):
        raise InputError(f"{path}: preprocess_cfg: expected settings by name; got {_short(stated)}.")
    return _from_open_clip(path, _not_null(stated))


def stated_augment(folder: Path) -> bool:
    """Whether prompts on this CLIP are learned from random crops and flips, unless a user says otherwise.

    True, as in the papers, but where "augment" of `preprocessor_config.json` is false: the images of some models, such
    as signs and letters, are others when they are cut or mirrored. The entry is this package's own.

    Raises:
        InputError: the entry is neither true nor false; null states nothing.
    """
    augment = _not_null(settings_in(folder, PREPROCESSOR_CONFIG) or {}).get("augment", True)
    if not isinstance(augment, bool):
        raise InputError(f"{folder / PREPROCESSOR_CONFIG}: augment: expected true or false; got {_short(augment)}.")
    return augment


def _from_hugging_face(path: Path, stated: Mapping[str, Any], size: int) -> dict[str, Any]:
    settings = _colours(path, stated, "image_mean", "image_std")
    square = {"height": size, "width": size}
    if "size" in stated:
        # Transformers makes a number or {"shortest_edge"} the shorter side, and resizes to {"height", "width"} exactly.
        _expect(path, stated, "size", (size, {"shortest_edge": size}, square))
        settings["resize_mode"] = "squash" if stated["size"] == square else "shortest"
    for name, value in _FIXED.items():
        _expect(path, stated, name, (value,))
    _expect(path, stated, "do_center_crop", (True, False) if settings.get("resize_mode") == "squash" else (True,))
    if stated.get("do_center_crop", True):
        _expect(path, stated, "crop_size", (size, square))
    _check_rescale_factor(path, stated.get("rescale_factor", _RESCALE_FACTOR))
    if "resample" in stated:
        resample = stated["resample"]
        if not isinstance(resample, int) or isinstance(resample, bool) or resample not in _RESAMPLE:
            choices = ", ".join(f"{number} ({name})" for number, name in sorted(_RESAMPLE.items()))
            raise InputError(f"{path}: resample: expected one of {choices}; got {_short(resample)}.")
        settings["interpolation"] = _RESAMPLE[resample]
    return settings


def _from_open_clip(path: Path, stated: Mapping[str, Any]) -> dict[str, Any]:
    # "size" does not count: open_clip, too, takes the image tower's.
    settings = _colours(path, stated, "mean", "std")
    _expect(path, stated, "mode", ("RGB",))
    for name, choices in (("resize_mode", RESIZE_MODES), ("interpolation", tuple(INTERPOLATIONS))):
        if name in stated:
            expect_choice(f"{path}: {name}", stated[name], choices)
            settings[name] = stated[name]
    return settings


def _expect(path: Path, stated: Mapping[str, Any], name: str, choices: Sequence[Any]) -> None:
    """`InputError` if the file states something else than one of these, which are what `Preprocess` does."""
    if name in stated and stated[name] not in choices:
        wanted = " or ".join(map(json.dumps, choices))
        side = (
            " (the side of the image tower's images, to which they are resized and cropped)" if "size" in name else ""
        )
        raise InputError(
            f"{path}: {name}: expected {wanted}{side}; got {_short(stated[name])}, which is another transform than the "
            "one that cocoop has. Choose another model, or correct the file if that is what is wrong."
        )


def _check_rescale_factor(path: Path, factor: object) -> None:
    # Comparing, not subtracting, bears NaN and huge integers.
    least, most = _RESCALE_FACTOR - _RESCALE_TOLERANCE, _RESCALE_FACTOR + _RESCALE_TOLERANCE
    if not isinstance(factor, int | float) or not least <= factor <= most:
        raise InputError(
            f"{path}: rescale_factor: expected 1/255 ({_RESCALE_FACTOR:.6f}), which takes colours to 0..1; got "
            f"{_short(factor)}. Choose another model, or correct the file if that is what is wrong."
        )


def _colours(path: Path, stated: Mapping[str, Any], mean: str, std: str) -> dict[str, Any]:
    """Mean and std, as far as they are stated under these names."""
    named = (("mean", mean, -_LARGEST), ("std", std, _SMALLEST_STD))
    return {key: _three_numbers(path, name, stated[name], least) for key, name, least in named if name in stated}


def _three_numbers(path: Path, name: str, value: object, least: float) -> tuple[float, ...]:
    """Finite numbers that a colour's mean or std can be. Comparing, not converting, bears NaN and huge integers."""
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(
            isinstance(item, int | float) and not isinstance(item, bool) and least <= item <= _LARGEST for item in value
        )
    ):
        raise InputError(
            f"{path}: {name}: expected three numbers from {least:g} to {_LARGEST:g}, one for each of red, green and "
            f"blue; got {_short(value)}."
        )
    return tuple(map(float, value))


def _not_null(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stated.items() if value is not None}


def _short(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
