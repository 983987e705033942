"""What a classifier may be given: pictures, numbers, a CLIP, a method's settings. What cannot work is refused here."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_choice
from cocoop.features import FeatureStore, Picture
from cocoop.methods import METHODS, expect_setting
from cocoop.training import CUDA_GRAPH

PICTURES = (str, os.PathLike, Image.Image)
"""What counts as a picture: an image file or an open image."""


RENAMED = {"features": "feature_cache", "compile": "cuda_graph"}
"""A classifier's parameters: name before -> name now."""

NOW_SETTINGS = ("context", "context_length", "class_specific", "class_position", "templates")
"""What were parameters of a classifier, and are settings of a method now."""

OLD_NAMES = (*RENAMED, *NOW_SETTINGS)
"""All names that a classifier's parameters had until the last release."""


def from_old_names(given: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by the names that they had before -> by those of now, each with a `FutureWarning`.

    `parameters` are those by today's names.

    Raises:
        TypeError: a name that none ever had, as Python has it for any function.
    """
    now: dict[str, Any] = {}
    for name, value in given.items():
        if name in RENAMED:
            now[RENAMED[name]] = value
            called = RENAMED[name]
        elif name in NOW_SETTINGS:
            now["settings"] = {**(now.get("settings", parameters["settings"]) or {}), name: value}
            called = f"settings={{{name!r}: ...}}"
        else:
            raise TypeError(f"PromptClassifier takes no {name!r}; it takes {', '.join(parameters)}")
        warn_renamed(name, called, stacklevel=4)
    return now


def warn_renamed(name: str, now: str, stacklevel: int = 3) -> None:
    """Say once what is called otherwise now."""
    text = f"{name} is called {now} now; the old name will be gone in the next release"
    warnings.warn(text, FutureWarning, stacklevel=stacklevel)


def feature_store(parameters: Mapping[str, Any], clip: CLIP) -> FeatureStore | None:
    """Where a classifier with these parameters keeps image features, if anywhere."""
    folder = parameters["feature_cache"]
    return None if folder is None else FeatureStore(folder, clip)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise `InputError` unless method, settings, numbers and choices of a classifier can work."""
    check_settings(parameters["method"], parameters["settings"])
    expect_choice("cuda_graph", parameters["cuda_graph"], CUDA_GRAPH)
    for name in ("shots", "epochs", "batch_size", "views"):
        count = parameters[name]
        if count is not None and (not hasattr(count, "__index__") or count < 1):
            raise InputError(f"{name}: expected an integer of 1 or more; got {count!r}.")
    augment = parameters["augment"]
    if augment not in (True, False, "auto"):
        raise InputError(f"augment: expected True, False or 'auto'; got {augment!r}.")
    if parameters["views"] is not None and not augment:
        raise InputError(
            "views: expected nothing beside augment=False (--no-augment), which has one view of every image; got "
            f"{parameters['views']!r}. Leave one of them out."
        )
    lr = parameters["lr"]
    if lr is not None and (not isinstance(lr, Real) or not 0 < float(lr) < math.inf):
        raise InputError(f"lr: expected a learning rate above 0, such as the papers' 0.002; got {lr!r}.")
    for name in ("seed", "view_seed"):
        seed = parameters[name]
        if name == "view_seed" and seed is None:
            continue
        if not hasattr(seed, "__index__") or not -(2**63) <= seed < 2**63:
            raise InputError(f"{name}: expected an integer of 64 bits, 0 too; got {seed!r}.")


def check_settings(method: str, settings: Mapping[str, Any] | None) -> None:
    """Raise `InputError` for an unknown method, or a setting that it does not have; names the methods that do."""
    expect_choice("method", method, METHODS)
    if not isinstance(settings, Mapping | None):
        raise InputError(f"settings: expected the method's settings by name, or None; got {settings!r}.")
    own = METHODS[method].setting_defaults()
    for name, value in (settings or {}).items():
        if name not in own:
            owners = [other for other in METHODS if name in METHODS[other].setting_defaults()]
            rather = f", or choose {' or '.join(owners)}" if owners else ""
            raise InputError(
                f"{name}: expected nothing, because the method {method} has no such setting (it has "
                f"{', '.join(own) or 'none'}); got {value!r}. Leave it out{rather}."
            )
        expect_setting(name, value)


def load_clip(clip: Any, parameters: Mapping[str, Any]) -> CLIP:
    """`CLIP.load(clip)` with those of the parameters that it takes; a CLIP that is loaded as it is.

    Raises:
        InputError: as `CLIP.load`; or one of these parameters is given beside a CLIP that is loaded, which has its own.
    """
    defaults = {"tokenizer": None, "device": "auto", "dtype": "auto", "memory_budget": "auto"}
    if not isinstance(clip, CLIP):
        return CLIP.load(clip, **{name: parameters[name] for name in defaults})
    for name, default in defaults.items():
        value = parameters[name]
        if value != default:
            raise InputError(
                f"{name}: expected {default} beside a CLIP that is loaded and has its own; got {value!r}. "
                "Give it to CLIP.load, or give the CLIP's name instead."
            )
    return clip


def check_pictures(images: Sequence[Picture], labels: Sequence[Any] | None = None) -> None:
    """Raise `InputError` unless `images` is a list of pictures, with one label each if there are labels."""
    if hasattr(images, "columns"):
        raise InputError(
            f"images: expected one column of image files; got a table ({type(images).__name__}). Give the column, such "
            "as table['path']."
        )
    if isinstance(images, PICTURES) or not hasattr(images, "__len__") or not len(images):
        raise InputError(f"images: expected a list of at least one image or image file; got {images!r}.")
    for image in images:
        if not isinstance(image, PICTURES):
            raise InputError(
                f"images: expected image files or Pillow images; got {type(image).__name__}. Make arrays images with "
                "PIL.Image.fromarray."
            )
    if labels is None:
        return
    if isinstance(labels, str | bytes) or not hasattr(labels, "__len__") or hasattr(labels, "columns"):
        raise InputError(f"labels: expected a list, one per image; got {type(labels).__name__}.")
    if len(images) != len(labels):
        raise InputError(f"labels: expected one per image; got {len(images)} images and {len(labels)} labels.")


def check_weights(given: ArrayLike, count: int) -> NDArray[np.float64]:
    """How much each of `count` images counts, float64. `InputError` unless they are numbers of 0 or more, not all 0."""
    weights = np.asarray(given)
    if (
        weights.shape != (count,)
        or weights.dtype.kind not in "biuf"
        or not (weights >= 0).all()
        or not 0 < weights.sum() < np.inf
    ):
        raise InputError(
            f"sample_weight: expected one number of 0 or more for each of {count} images, not all 0; got "
            f"{np.array2string(weights, threshold=6, separator=', ').splitlines()[0]} of shape {list(weights.shape)}."
        )
    return weights.astype(np.float64)
