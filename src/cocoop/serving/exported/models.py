"""Exported models at work in a `Predictor`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.clip.precision import Precision
from cocoop.errors import InputError, RunError, reason
from cocoop.fitting import load_clip
from cocoop.rgb import Exif
from cocoop.serving.exported.description import Description, Transform, read_beside
from cocoop.serving.exported.form import Opened
from cocoop.serving.exported.forms import form_of

_OF_THE_CLIP = ("device", "dtype", "memory_budget", "tokenizer")
_SHOWN = 3  # classes in a message


class Exported(NamedTuple):
    """A folder that `cocoop export` wrote. run: see `Form`."""

    folder: Path
    description: Description
    classes: list[str | int | float | bool]
    transform: Transform
    opened: Opened


class PixelModel:
    """Pixels to probabilities in one step: it stands where a predictor has a CLIP, and where it has a method.

    Its "image features" are the probabilities [B, K].
    """

    device = torch.device("cpu")
    precision = Precision(torch.float32)

    def __init__(self, exported: Exported) -> None:
        self.name, self.fingerprint = exported.description.clip, exported.description.clip_fingerprint
        self.preprocess = exported.transform.preprocess
        self._exported = exported

    @property
    def clip(self) -> PixelModel:
        """What encodes images."""
        return self

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, N, N] -> probabilities [B, K]."""
        return _run(self._exported, pixels)

    def probabilities(self, image_features: Tensor) -> NDArray[np.float64]:
        """What `encode_images` gave [B, K], as `class_probabilities` of a method."""
        return _checked(image_features, self.name)


class HeadModel:
    """Image features of a CLIP to probabilities."""

    def __init__(self, exported: Exported, clip: CLIP) -> None:
        self.clip = clip
        self._exported = exported

    def probabilities(self, image_features: Tensor) -> NDArray[np.float64]:
        """Unit-norm image features [B, E] -> probabilities [B, K], as `class_probabilities` of a method."""
        return _checked(_run(self._exported, image_features.float().cpu()), self.clip.name)


def is_exported(folder: str | os.PathLike[str]) -> bool:
    """Whether this is a folder with a model that `cocoop export` wrote."""
    return form_of(Path(folder)) is not None


def read_exported(folder: str | os.PathLike[str]) -> Exported:
    """Read the folder of an exported model. `InputError` where it is none, or damaged, or its extra is missing."""
    path = Path(folder)
    form = form_of(path)
    if form is None:
        raise InputError(f"{path}: expected a folder that `cocoop export` wrote; it holds no model. Give another.")
    opened = form.read(path / form.file)
    description = Description.from_text(opened.description, path / form.file)
    return Exported(path, description, *read_beside(path, description.classes), opened)


def load_exported(
    folder: str | os.PathLike[str], fixed: Mapping[str, Any], of_pictures: Mapping[str, Any]
) -> tuple[PixelModel | HeadModel, list[str | int | float | bool], Exif]:
    """An exported model, its classes [K], and how pictures become RGB for it.

    Args:
        folder: what `cocoop export` wrote.
        fixed: options of a predictor that no exported model takes: "classes" and others.
        of_pictures: those that only a model takes which is given image features: "clip", as `load_clip` takes it, None
            being the one of the export; `_OF_THE_CLIP`; and "feature_cache".

    Raises:
        InputError: as `read_exported`; one of these options is given; or another CLIP than that of the export.
    """
    exported = read_exported(folder)
    _refuse(exported, fixed, f"whose {len(exported.classes)} classes are fixed ({_some(exported.classes)})")
    if exported.description.input == "pixels":
        _refuse(exported, of_pictures, "which takes pixels, and computes in float32 on the CPU")
        model: PixelModel | HeadModel = PixelModel(exported)
    else:
        options = {name: of_pictures[name] for name in _OF_THE_CLIP}
        clip = load_clip(of_pictures["clip"] or exported.description.clip, **options)
        _check_same_clip(exported, clip)
        model = HeadModel(exported, clip)
    return model, exported.classes, exported.transform.exif


def _run(exported: Exported, batch: Tensor) -> Tensor:
    """Probabilities [B, K] of a batch. `InputError` where the model does not run on it, or gives other things."""
    try:
        probabilities = exported.opened.run(batch)
        shape = list(probabilities.shape)
    except Exception as error:  # torch's errors and onnxruntime's have no class in common
        raise _does_not_run(exported, f"an error: {reason(error)}") from error
    if shape != [len(batch), len(exported.classes)]:
        raise _does_not_run(exported, f"the shape {shape}")
    return probabilities


def _does_not_run(exported: Exported, came: str) -> InputError:
    return InputError(
        f"{exported.folder}: expected a model that gives probabilities of {len(exported.classes)} classes; got {came}. "
        "Export it anew."
    )


def _checked(probabilities: Tensor, clip: str) -> NDArray[np.float64]:
    """In float64, whose rows sum to 1 in that, too. `RunError` where one is not finite."""
    checked = probabilities.double()
    if not checked.isfinite().all():
        raise RunError(
            f"probabilities: expected finite ones; got NaN from an exported model of the CLIP {clip}. Export it anew."
        )
    whole: NDArray[np.float64] = (checked / checked.sum(dim=1, keepdim=True)).numpy()
    return whole


def _refuse(exported: Exported, options: Mapping[str, Any], what: str) -> None:
    for name, value in options.items():
        if value not in (None, "auto", "cpu", "float32", "exact"):
            raise InputError(
                f"{name}: expected nothing beside an exported model ({exported.folder}), {what}; got {value!r}. Leave "
                "it out, or take the run that was exported."
            )


def _some(classes: list[str | int | float | bool]) -> str:
    return ", ".join(map(str, classes[:_SHOWN])) + (", ..." if len(classes) > _SHOWN else "")


def _check_same_clip(exported: Exported, clip: CLIP) -> None:
    """`InputError` for image features of another CLIP; in another dtype weights cannot be compared."""
    description = exported.description
    if clip.dtype == torch.float32 and clip.fingerprint != description.clip_fingerprint:
        raise InputError(
            f"{exported.folder}: expected the CLIP of its image features ({description.clip}, fingerprint "
            f"{description.clip_fingerprint[:12]}...); got another ({clip.name}, {clip.fingerprint[:12]}...). Say "
            "where that one is (--clip; clip=... in Python)."
        )
