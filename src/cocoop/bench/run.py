"""The whole measurement, as `cocoop bench` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

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
    """All figures of one run (a `Cell` per K, B and pass, a `TrainingImage` per K), and what they were measured on."""

    shape: str
    device: str
    dtype: str
    threads: int
    rounds: int
    cells: list[Cell]
    training: list[TrainingImage]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes, ratios beside the figures, the context length and the environment."""
        cells = [
            asdict(cell)
            | {
                "times_faster": cell.times_faster,
                "times_floor": cell.times_floor,
                "floor_gflops": cell.floor_gflops,
                "times_less_memory": cell.times_less_memory,
            }
            for cell in self.cells
        ]
        training = [
            asdict(image)
            | {
                "times_coop": image.times_coop,
                "times_floor": image.times_floor,
                "floor_gflops": image.floor_gflops,
                "imagenet_hours": image.imagenet_hours,
            }
            for image in self.training
        ]
        facts = {"context_length": CONTEXT_LENGTH, "environment": asdict(environment())}
        return asdict(self) | facts | {"cells": cells, "training": training}


def bench(
    shape: str,
    classes: Sequence[int],
    images: Sequence[int],
    device: str = "auto",
    dtype: str = "float32",
    rounds: int = 5,
) -> Bench:
    """Measure a text tower of random weights, with a progress bar on stderr.

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
    sizes = replace(sizes, image_layers=1)  # no image is encoded here
    clip = random_clip(sizes, device, dtype)
    cells, training = [], []
    with counter("measuring", len(classes) * (len(images) * (len(PASSES) + 1) + 2), " parts") as bar:
        try:
            for count in classes:
                timed = list(measure_classes(clip, count, images, rounds, bar.update))
                cells += with_memory(clip, sizes, dtype, timed, bar.update)
                training.append(measure_training(clip, count, rounds))
                bar.update()
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"bench: expected {count:,} classes to fit into the memory of {clip.device}; got: "
                f"{str(error).splitlines()[0]} Give smaller --class-counts or --batch-sizes."
            ) from error
    return Bench(shape, str(clip.device), clip.precision.name, torch.get_num_threads(), rounds, cells, training)
