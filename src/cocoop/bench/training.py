"""A whole training step of CoCoOp against a training image of CoOp in the original formulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from cocoop.bench.clock import best_seconds, timed
from cocoop.bench.encoding import class_names
from cocoop.bench.floor import Floor, gflops
from cocoop.bench.measure import PLAIN_AT_MOST
from cocoop.bench.memory import allocated_megabytes
from cocoop.clip import CLIP
from cocoop.clip.text.typical import CONTEXT_LENGTH, suffix_lengths
from cocoop.features import FixedFeatures
from cocoop.methods import CoCoOp, CoOp, Method
from cocoop.training import train

IMAGENET_CLASSES, IMAGENET_STEPS = 1000, 160_000
"""16-shot ImageNet as CoCoOp trains it: 16 images of each class, one per step, 10 epochs (arXiv 2203.05557)."""

_STEPS = {"cpu": 4}  # of CoCoOp in one turn
_STEPS_ELSEWHERE = 64  # a GPU is asked for the losses after so many


@dataclass(frozen=True)
class TrainingImage:
    """The cost of one training image, its image features given: forward, backward and optimiser, in milliseconds.

    Attributes:
        classes: K.
        cocoop_ms: a step of CoCoOp at batch size 1.
        coop_ms: CoOp on the full-length path: a batch of 32 images shares one text pass, so 1/32 of its step.
        coop_measured_classes: the number of classes it was measured on; scaled from them to K.
        floor_ms: the matrix products of CoCoOp's step alone.
        floor_multiply_adds: of these products.
        cocoop_peak_mb: on a GPU, memory at the peak of CoCoOp's training without the model, MB of 10^6 bytes; a CPU's
            is that of the encoder's pass, see `Cell`.
    """

    classes: int
    cocoop_ms: float
    coop_ms: float
    coop_measured_classes: int
    floor_ms: float
    floor_multiply_adds: int
    cocoop_peak_mb: float | None = None

    @property
    def times_coop(self) -> float:
        """CoCoOp's image as a multiple of CoOp's."""
        return self.cocoop_ms / self.coop_ms

    @property
    def times_floor(self) -> float:
        """CoCoOp's image as a multiple of the floor."""
        return self.cocoop_ms / self.floor_ms

    @property
    def floor_gflops(self) -> float:
        """The matrix rate that the floor reached; see `gflops`."""
        return gflops(self.floor_multiply_adds, self.floor_ms)

    @property
    def imagenet_hours(self) -> float | None:
        """Hours for all steps of 16-shot ImageNet at this rate; None for another number of classes."""
        return self.cocoop_ms * IMAGENET_STEPS / 3_600_000 if self.classes == IMAGENET_CLASSES else None


def measure_training(clip: CLIP, classes: int, rounds: int) -> TrainingImage:
    """Measure `TrainingImage` for K classes; the three take turns."""
    few = min(classes, PLAIN_AT_MOST)
    steps = _STEPS.get(clip.device.type, _STEPS_ELSEWHERE)

    def cocoop() -> Callable[[], float]:
        return _steps(CoCoOp(clip, class_names(classes)), steps, batch_size=1, plain=False)

    coop = _steps(CoOp(clip, class_names(few)), CoOp.recipe.batch_size, CoOp.recipe.batch_size, plain=True)
    floor = Floor(clip, 1, classes, sum(suffix_lengths(classes)), CONTEXT_LENGTH)
    floor_run = timed(floor.forward_and_backward, clip.device)
    seconds = best_seconds({"cocoop": cocoop(), "coop": coop, "floor": floor_run}, rounds)
    return TrainingImage(
        classes=classes,
        cocoop_ms=1000 * seconds["cocoop"] / steps,
        coop_ms=1000 * seconds["coop"] / CoOp.recipe.batch_size * classes / few,
        coop_measured_classes=few,
        floor_ms=1000 * seconds["floor"],
        floor_multiply_adds=2 * floor.multiply_adds,
        # A new model: its prompts count as memory of its training.
        cocoop_peak_mb=allocated_megabytes(clip.device, lambda: cocoop()()),
    )


def _steps(model: Method, images: int, batch_size: int, plain: bool) -> Callable[[], float]:
    """One epoch of training on random features, as a function that returns its seconds."""
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(images, model.clip.embed_dim, generator=generator), dim=-1)
    source = FixedFeatures(features.to(model.clip.device))
    labels = [number % len(model.class_names) for number in range(images)]

    def run() -> float:
        model.clip.text.plain = plain
        # The first epoch has the warm-up rate and everything that is done once per training; the second is timed.
        # The plain path copies numbers to the device in every pass, which a recording cannot hold.
        cuda_graph = "off" if plain else "auto"
        return train(model, source, labels, epochs=2, batch_size=batch_size, seed=0, cuda_graph=cuda_graph)[1].seconds

    return run
