"""The whole measurement, as `cocoop bench` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from cocoop.bench.images import ImageCell, measure_images
from cocoop.bench.inference import InferenceCell, measure_inference
from cocoop.bench.measure import Cell, measure_classes, with_memory
from cocoop.bench.memory import PASSES
from cocoop.bench.shapes import named_shape, random_clip
from cocoop.bench.training import TrainingImage, measure_training
from cocoop.clip.text.typical import CONTEXT_LENGTH
from cocoop.errors import InputError, RunError
from cocoop.progress import counter
from cocoop.results import environment


@dataclass(frozen=True)
class Bench:
    """All figures of one run, and what they were measured on.

    There is a `Cell` per K, B and pass, a `TrainingImage` and an `InferenceCell` per K and an `ImageCell` per B.
    """

    shape: str
    device: str
    dtype: str
    threads: int
    rounds: int
    cells: list[Cell]
    training: list[TrainingImage]
    image_tower: list[ImageCell]
    inference: list[InferenceCell]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes, ratios beside the figures, the context length and the environment."""
        parts = {
            "cells": with_ratios(self.cells, "times_faster", "times_floor", "floor_gflops", "times_less_memory"),
            "training": with_ratios(self.training, "times_coop", "times_floor", "floor_gflops", "imagenet_hours"),
            "image_tower": with_ratios(self.image_tower, "images_per_second", "times_floor", "floor_gflops"),
            "inference": with_ratios(self.inference, "tangent_ms", "tangent_of_tower", "pays_from"),
        }
        facts = {"context_length": CONTEXT_LENGTH, "environment": asdict(environment())}
        return asdict(self) | facts | parts


def with_ratios(cells: Sequence[Any], *ratios: str) -> list[dict[str, Any]]:
    """The fields of dataclasses, each with these properties beside them."""
    return [asdict(cell) | {name: getattr(cell, name) for name in ratios} for cell in cells]


def bench(
    shape: str,
    classes: Sequence[int],
    images: Sequence[int],
    device: str = "auto",
    dtype: str = "float32",
    rounds: int = 5,
) -> Bench:
    """Measure both towers of random weights, with a progress bar on stderr.

    Args:
        shape: a name of `SHAPES`.
        classes: values of K, each at least 2.
        images: values of B, each at least 1.
        device: as `CLIP.load` takes it.
        dtype: as `CLIP.load` takes it.
        rounds: turns of every work after a warm-up, at least 1; fewer where they would take over a minute.

    Raises:
        InputError: an unknown name, or a number out of range.
        RunError: the memory does not suffice.
    """
    sizes = named_shape(shape)
    for option, values, least in (("classes", classes, 2), ("images", images, 1), ("rounds", [rounds], 1)):
        if not values or min(values) < least:
            raise InputError(f"{option}: expected {least} or more; got {', '.join(map(str, values)) or 'none'}.")
    clip = random_clip(sizes, device, dtype)
    without_images = replace(sizes, image_layers=1)
    cells, training, image_tower, inference = [], [], [], []
    with counter("measuring", len(classes) * (len(images) * (len(PASSES) + 1) + 3) + len(images), " parts") as bar:
        try:
            for at_once in images:
                image_tower.append(measure_images(clip, at_once, rounds))
                bar.update()
            for count in classes:
                timed = list(measure_classes(clip, count, images, rounds, bar.update))
                cells += with_memory(clip, without_images, dtype, timed, bar.update)
                training.append(measure_training(clip, count, rounds))
                bar.update()
                inference.append(measure_inference(clip, count, rounds))
                bar.update()
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"bench: expected {max(classes):,} classes and {max(images):,} images to fit into the memory of "
                f"{clip.device}; got: {str(error).splitlines()[0]} Give smaller --class-counts or --batch-sizes."
            ) from error
    where = (str(clip.device), clip.precision.name, torch.get_num_threads())
    return Bench(shape, *where, rounds, cells, training, image_tower, inference)
