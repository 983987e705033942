"""What a classifier may be given: numbers, a method's settings, pictures, labels. What cannot work is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from reprlib import repr as shortened
from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cocoop.errors import InputError, expect_choice
from cocoop.features import Picture
from cocoop.methods import METHODS, expect_setting
from cocoop.rgb import EXIF, image_of
from cocoop.training import CUDA_GRAPH, KEEP

OF_A_TRAINING = ("epochs", "batch_size", "lr", "views", "view_seed", "patience", "class_weight")
"""Those of a classifier's parameters that only a method with a recipe takes, where None is that recipe's."""

CLASS_WEIGHTS = ("balanced",)
"""How images may count in the loss, beside alike (None); see `cocoop.learning.balanced`."""

Pictures = Sequence[Picture | NDArray[np.uint8]] | NDArray[Any]
"""Pictures as users have them: [N] image files, Pillow images or arrays [H, W, 3] of uint8, in a list or an array."""

_PICTURES = tuple(get_origin(kind) or kind for kind in get_args(Picture))


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise `InputError` unless method, settings, numbers and choices of a classifier can work."""
    check_settings(parameters["method"], parameters["settings"])
    expect_choice("cuda_graph", parameters["cuda_graph"], CUDA_GRAPH)
    expect_choice("exif", parameters["exif"], EXIF)
    expect_choice("keep", parameters["keep"], KEEP)
    if parameters["class_weight"] is not None:
        expect_choice("class_weight", parameters["class_weight"], CLASS_WEIGHTS)
    if not isinstance(parameters["search"], bool | np.bool_):
        raise InputError(f"search: expected True or False; got {parameters['search']!r}.")
    for name in ("shots", "epochs", "batch_size", "views", "patience"):
        _check_count(name, parameters[name])
    _check_seed("seed", parameters["seed"])
    if parameters["view_seed"] is not None:
        _check_seed("view_seed", parameters["view_seed"])
    lr, augment = parameters["lr"], parameters["augment"]
    if lr is not None and (not isinstance(lr, Real) or isinstance(lr, bool) or not 0 < float(lr) < math.inf):
        raise InputError(f"lr: expected a learning rate above 0, such as the papers' 0.002; got {lr!r}.")
    if not isinstance(augment, bool | np.bool_) and not (isinstance(augment, str) and augment == "auto"):
        raise InputError(f"augment: expected True, False or 'auto'; got {augment!r}.")
    if METHODS[parameters["method"]].recipe is None:
        for name in OF_A_TRAINING:
            if parameters[name] is not None:
                raise InputError(
                    f"{name}: expected nothing, because the method {parameters['method']} is not trained; got "
                    f"{parameters[name]!r}. Leave it out."
                )


def check_validation(parameters: Mapping[str, Any], is_there: bool) -> None:
    """Raise `InputError` for no validation images where a parameter needs some, or some where none can be."""
    method = METHODS[parameters["method"]]
    if parameters["search"] and not method.searches():
        able = [name for name, other in METHODS.items() if other.searches()]
        raise InputError(
            f"search: expected a method that has settings to choose on validation images ({', '.join(able)}); got "
            f"{parameters['method']}. Leave it out (--search), or choose another method."
        )
    if is_there and method.recipe is None and not parameters["search"]:
        search = ", or have its settings chosen on them (--search)" if method.searches() else ""
        raise InputError(
            f"validation: expected nothing, because the method {parameters['method']} is not trained; got images. "
            f"Leave them out (--validate){search}."
        )
    for name, default in (("keep", "last"), ("patience", None), ("search", False)):
        if parameters[name] != default and not is_there:
            raise InputError(
                f"{name}: expected validation images beside {name}={parameters[name]!r}; got none. Add them: "
                "--validate, or fit(..., validation=(images, labels)) in Python."
            )


def _check_count(name: str, count: Any) -> None:
    if count is not None and (not _is_integer(count) or count < 1):
        raise InputError(f"{name}: expected an integer of 1 or more; got {count!r}.")


def _check_seed(name: str, seed: Any) -> None:
    if not _is_integer(seed) or not -(2**63) <= seed < 2**63:
        raise InputError(f"{name}: expected an integer of 64 bits, 0 too; got {seed!r}.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


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


def pictures_of(images: Pictures) -> list[Picture]:
    """`images` as a list, arrays as images. `InputError` unless it is a list of at least one picture."""
    if hasattr(images, "columns"):
        raise InputError(
            f"images: expected one column of image files; got a table ({type(images).__name__}). Give the column, such "
            "as table['path']."
        )
    if isinstance(images, _PICTURES) or not _is_list(images) or not len(images):
        raise InputError(f"images: expected a list of at least one image or image file; got {shortened(images)}.")
    return [_picture_of(image) for image in images]


def labelled_pictures(images: Pictures, labels: Sequence[Any]) -> list[Picture]:
    """The same. `InputError` unless `labels` is a list with one label for each, too."""
    pictures = pictures_of(images)
    if not _is_list(labels) or isinstance(labels, Mapping) or hasattr(labels, "columns"):
        raise InputError(f"labels: expected a list, one per image; got {type(labels).__name__}.")
    if len(pictures) != len(labels):
        raise InputError(f"labels: expected one per image; got {len(pictures)} images and {len(labels)} labels.")
    return pictures


def _picture_of(image: Any) -> Picture:
    if isinstance(image, np.ndarray):
        try:
            return image_of(image)
        except InputError as error:
            raise InputError(f"images: {error}") from error
    if not isinstance(image, _PICTURES):
        raise InputError(
            f"images: expected image files, Pillow images or arrays [H, W, 3] of uint8; got {type(image).__name__}."
        )
    picture: Picture = image
    return picture


def _is_list(values: Any) -> bool:
    """Whether it has items in an order that stays; a scalar array has `__len__`, too, and no items."""
    return (
        hasattr(values, "__len__")
        and getattr(values, "ndim", 1) > 0
        and not isinstance(values, str | bytes | set | frozenset)
    )


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
