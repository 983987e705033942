"""What `PromptClassifier` may be given. Everything that cannot work is refused here, before any computing."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
from collections.abc import Mapping, Sequence
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cocoop.class_names import check_class_names, check_spelling
from cocoop.clip import CLIP
from cocoop.clip.sources.hub import SHORT_NAMES
from cocoop.clip.sources.load import BUNDLED
from cocoop.errors import InputError, expect_choice
from cocoop.features import Picture
from cocoop.methods import METHODS
from cocoop.training import COMPILE

PICTURES = (str, os.PathLike, Image.Image)
"""What counts as a picture: an image file or an open image."""

OF_THE_MACHINE = ("device", "dtype", "memory_budget", "features", "compile")
"""Those parameters that are this machine's matter: no run folder keeps them."""


def check_numbers(parameters: Mapping[str, Any]) -> None:
    """Raise `InputError` unless shots, epochs, batch_size, views, lr and the seeds can work, and `compile` is known."""
    expect_choice("compile", parameters["compile"], COMPILE)
    for name in ("shots", "epochs", "batch_size", "views"):
        count = parameters[name]
        if count is not None and (not hasattr(count, "__index__") or count < 1):
            raise InputError(f"{name}: expected an integer of 1 or more; got {count!r}.")
    if parameters["views"] is not None and not parameters["augment"]:
        raise InputError(
            "views: expected nothing beside augment=False (--no-augment), which has one view of every image; got "
            f"{parameters['views']!r}. Leave one of them out."
        )
    lr = parameters["lr"]
    if not isinstance(lr, Real) or not 0 < float(lr) < math.inf:
        raise InputError(f"lr: expected a learning rate above 0, such as the papers' 0.002; got {lr!r}.")
    for name in ("seed", "view_seed"):
        seed = parameters[name]
        if name == "view_seed" and seed is None:
            continue
        if not hasattr(seed, "__index__") or not -(2**63) <= seed < 2**63:
            raise InputError(f"{name}: expected an integer of 64 bits, 0 too; got {seed!r}.")


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


def class_tokens(clip: CLIP, names: Sequence[str]) -> str:
    """SHA-256 of what the CLIP's tokenizer makes of the names: tells tokenizers apart as far as it matters to them."""
    return hashlib.sha256(json.dumps([clip.token_ids(name) for name in names]).encode()).hexdigest()


def check_same_clip(
    folder: str | os.PathLike[str], record: Mapping[str, Any], clip: CLIP, names: Sequence[str]
) -> None:
    """Raise `InputError` unless this CLIP, tokenizer included, is the one that a run was trained on.

    As far as the run's record says. In another dtype than then, weights cannot be compared.
    """
    tokens = record.get("class_tokens")
    if tokens is not None and tokens != class_tokens(clip, names):
        raise InputError(
            f"{folder}: expected the tokenizer that it was trained with; got one that makes other tokens of its class "
            "names. Say where that is (--tokenizer; tokenizer=... in Python)."
        )
    fingerprint = record.get("clip_fingerprint") if record.get("dtype") == clip.precision.name else None
    if fingerprint is not None and fingerprint != clip.fingerprint:
        raise InputError(
            f"{folder}: expected the CLIP that it was trained on ({record.get('clip')}, fingerprint "
            f"{str(fingerprint)[:12]}...); got another ({clip.name}, {clip.fingerprint[:12]}...), for which its prompt "
            "means nothing. Say where that one is (--clip; clip=... in Python), or train again."
        )


def method_settings(parameters: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the parameters that belong to the chosen method.

    Raises:
        InputError: an unknown method, or a setting that only another method has and that is not at its default.
    """
    chosen = parameters["method"]
    expect_choice("method", chosen, METHODS)
    takes = {name: set(signature(method).parameters) & set(parameters) - {"clip"} for name, method in METHODS.items()}
    for name in set.union(*takes.values()) - takes[chosen]:
        if as_tuple(parameters[name]) != defaults[name]:
            owners = " and ".join(method for method in METHODS if name in takes[method])
            raise InputError(
                f"{name}: expected nothing, because the method {chosen} has no such setting; got "
                f"{parameters[name]!r}. Leave it out, or choose {owners}."
            )
    return {name: parameters[name] for name in takes[chosen]}


def check_pictures(images: Sequence[Picture], labels: Sequence[Any] | None = None) -> None:
    """Raise `InputError` unless `images` is a list of pictures, with one label each if there are labels."""
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
    if not hasattr(labels, "__len__"):
        raise InputError(f"labels: expected a list, one per image; got {type(labels).__name__}.")
    if len(images) != len(labels):
        raise InputError(f"labels: expected one per image; got {len(images)} images and {len(labels)} labels.")


def number_classes(labels: Sequence[Any], class_names: Sequence[str] | None) -> tuple[NDArray[Any], list[int]]:
    """The classes [K] and each image's number among them.

    Without `class_names`, labels are names (or anything whose `str` is one) and classes are sorted. With them, labels
    are numbers into the list, whose order stays and in which two names may be equal.
    """
    if class_names is None:
        classes, numbers = _sorted_classes(labels)
        if len(classes) < 2:
            raise InputError(f"labels: expected at least two classes; got only {classes.tolist()[0]!r}.")
        check_class_names([str(name) for name in classes.tolist()])
        return classes, numbers
    return np.asarray(class_names), label_numbers(labels, class_names)


def _sorted_classes(labels: Sequence[Any]) -> tuple[NDArray[Any], list[int]]:
    try:
        given = np.asarray(labels)
        if given.ndim != 1:
            raise ValueError(f"an array of shape {list(given.shape)}")
        classes, numbers = np.unique(given, return_inverse=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"labels: expected one name (or number) per image, all of one kind; got {str(error).splitlines()[0]}."
        ) from error
    return classes, numbers.tolist()


def label_numbers(labels: Sequence[Any], class_names: Sequence[str]) -> list[int]:
    """The labels [N] as plain integers; `InputError` unless each numbers one of the class names, which are texts."""
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise InputError(f"class names: expected a list of texts; got {class_names!r}.")
    check_spelling(class_names)
    for label in labels:
        if not hasattr(label, "__index__") or not 0 <= label < len(class_names):
            raise InputError(
                f"labels: expected numbers 0..{len(class_names) - 1} into the {len(class_names)} class names; got "
                f"{label!r}. Without class_names, labels are names themselves."
            )
    return [int(label) for label in labels]


def number_labels(classes: NDArray[Any], labels: Sequence[Any], class_names: Sequence[str] | None = None) -> list[int]:
    """Each label's number among the classes [K] of a fitted classifier.

    With `class_names`, labels are numbers into that list, which may be another than the classifier's.

    Raises:
        InputError: a label that is none of the classes, or the name of two.
    """
    names = classes.tolist()
    if class_names is not None:
        given = label_numbers(labels, class_names)
        if list(class_names) == [str(name) for name in names]:
            return given
        labels = [class_names[number] for number in given]
    numbers = {name: number for number, name in enumerate(names)}
    unknown = sorted({str(label) for label in labels if label not in numbers})
    if unknown:
        raise InputError(
            f"labels: expected classes of this model ({_shortened([str(name) for name in names])}); got "
            f"{_shortened(unknown)}. Set the class list first to score other classes (set_classes in Python, "
            "--folder-classes on the command line)."
        )
    twice = {label for label in labels if names.count(label) > 1} if len(numbers) < len(names) else set()
    if twice:
        raise InputError(
            f"labels: expected names of one class each; got {', '.join(sorted(map(str, twice)))}, which two classes of "
            "this model have. Classify into the data's own classes (set_classes; --folder-classes)."
        )
    return [numbers[label] for label in labels]


def plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, with numbers of NumPy and other kinds as Python's own, which JSON can hold."""
    return {name: _plain_number(value) for name, value in values.items()}


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__index__") and not isinstance(value, bool):
        return operator.index(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else value


def kept_parameters(parameters: Mapping[str, Any], clip: CLIP) -> dict[str, Any]:
    """The parameters as a run folder keeps them: none of the machine's, and the CLIP and its tokenizer by name.

    A tokenizer that was given as an object has no name, and is None.
    """
    clip_name, tokenizer = clip.name, clip.tokenizer_source
    places = {
        "clip": clip_name if clip_name in BUNDLED or clip_name in SHORT_NAMES else _findable(clip_name),
        "tokenizer": None if tokenizer is None else _findable(tokenizer),
    }
    kept = {name: value for name, value in parameters.items() if name not in OF_THE_MACHINE}
    return plain_numbers(kept | places)


def lies_elsewhere(error: InputError, folder: str | os.PathLike[str], kept: Mapping[str, Any]) -> InputError:
    """The error of a run folder's CLIP that does not load, with what may help.

    Args:
        error: why it does not.
        folder: the run folder.
        kept: its "clip" or "tokenizer" or both: those that it names and nobody named anew.
    """
    options, arguments = (", ".join(form.format(name) for name in kept) for form in ("--{}", "{}=..."))
    trained_on = " with the ".join(f"{name} {place}" for name, place in kept.items())
    return InputError(
        f"{error} {os.fspath(folder)} was trained on the {trained_on}: if that lies elsewhere now, say where "
        f"({options}; {arguments} in Python)."
    )


def _findable(place: str) -> str:
    """A file or folder, or the name of what is elsewhere, so that it is found from another working directory, too."""
    return os.path.abspath(place) if os.path.exists(place) else place


def as_tuple(value: Any) -> Any:
    """Lists, which is how JSON reads tuples back, as tuples."""
    return tuple(value) if isinstance(value, list) else value


def _shortened(names: Sequence[str], shown: int = 10) -> str:
    return ", ".join(names[:shown]) + (f", ... {len(names):,} in all" if len(names) > shown else "")
