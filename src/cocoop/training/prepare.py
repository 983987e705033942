"""What is checked, and what a method is given, before its training."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from cocoop.errors import InputError
from cocoop.features.sources import FeatureSource
from cocoop.methods import Method


def prepare(model: Method, source: FeatureSource, labels: Sequence[int]) -> None:
    """Before training, give a method with its own `prepare` all training images as they look in the first epoch."""
    targets = targets_of(model, len(source), labels)
    if model.prepares():
        (features,) = source.batches(0, range(len(labels)), len(labels))
        model.prepare(features.to(targets.device), targets)


def check_counts(**counts: int) -> None:
    """Raise `InputError` unless each is an integer of 1 or more."""
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise InputError(f"training: expected {name} to be an integer of 1 or more; got {count!r}.")


def targets_of(model: Method, images: int, labels: Sequence[int]) -> Tensor:
    """The labels [N] on the model's device; `InputError` unless each is the number of a class, and each image's."""
    if images != len(labels):
        raise InputError(
            f"training: expected one label for each of {images:,} images; got {len(labels):,}. Give them in the "
            "order of the images."
        )
    classes = len(model.class_names)
    for label in labels:
        if not isinstance(label, Integral) or not 0 <= label < classes:
            raise InputError(
                f"training: expected labels 0..{classes - 1}, the numbers of the {classes} classes; got {label!r}."
            )
    return torch.tensor(labels, device=model.clip.device)
