"""The training loop: one for all methods, readable from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from random import Random

import torch
from torch import Tensor

from cocoop.errors import InputError
from cocoop.features.sources import FeatureSource
from cocoop.methods import Method
from cocoop.progress import progress
from cocoop.results import Epoch
from cocoop.training.divergence import DivergedError, explain
from cocoop.training.recorded import recorded
from cocoop.training.schedule import learning_rate
from cocoop.training.step import Facts, Step, read

_READ_EVERY = 64
"""Steps that are queued on a GPU before their facts are read; reading makes it wait."""


def prepare(model: Method, source: FeatureSource, labels: Sequence[int]) -> None:
    """Before training, give a method with its own `prepare` all training images as they look in the first epoch."""
    targets = _targets(model, source, labels)
    if model.prepares():
        (features,) = source.batches(0, range(len(labels)), len(labels))
        model.prepare(features.to(targets.device), targets)


def train(
    model: Method,
    source: FeatureSource,
    labels: Sequence[int],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    lr: float = 0.002,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    cuda_graph: str = "auto",
) -> list[Epoch]:
    """Learn `model`'s parameters by SGD on its own loss, with the papers' schedule. Gives one `Epoch` per epoch.

    Args:
        model: any method; one without parameters (zero-shot) has nothing to learn and returns at once.
        source: where the image features of each epoch come from.
        labels: [N] the image's class, 0 <= label < K.
        epochs: passes over the images, the warm-up epoch included: with 1 there is no other (see `warm_up_only`).
        batch_size: images per step. A last, smaller batch is dropped, unless it is the only one (Dassl's rule).
        seed: decides the order of the images. Any integer, 0 too.
        lr: the rate at the top of the schedule.
        momentum: of SGD.
        weight_decay: of SGD, on every learned tensor.
        cuda_graph: "auto" records the step as a CUDA graph on an NVIDIA GPU, or warns; "on" insists; "off" never does.

    Raises:
        InputError: `epochs` or `batch_size` no integer or below 1, not one label of a class per image, or a
            `cuda_graph` that cannot be.
        DivergedError: a loss or a gradient is not finite. The model is back at the tensors of the last finite loss.
        RunError: `cuda_graph` is "on" and the step cannot be recorded.
    """
    if not model.trainable_parameters:
        return []
    _check_counts(epochs=epochs, batch_size=batch_size)
    targets = _targets(model, source, labels)
    step = Step(model, momentum=momentum, weight_decay=weight_decay)
    run = recorded(step, cuda_graph)
    history: list[Epoch] = []
    for epoch in progress(range(epochs), "training, epochs"):
        started = time.perf_counter()
        rate = learning_rate(epoch, epochs, lr)
        step.set_rate(rate)
        order = _order(len(labels), epoch, batch_size, seed)
        batches = zip(source.batches(epoch, order, batch_size), targets[order].split(batch_size), strict=True)
        losses, hits = [], 0
        for number, facts in enumerate(_carry_out(run, batches, targets.device)):
            if facts.stopped:
                step.restore()
                message = explain(facts.loss, epoch, number, rate, model.clip.precision.name)
                raise DivergedError(message, history, model.state_dict())
            losses.append(facts.loss)
            hits += facts.hits
        loss, accuracy = math.fsum(losses) / len(losses), 100 * hits / len(order)
        history.append(Epoch(epoch, rate, loss, accuracy, time.perf_counter() - started))
    return history


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise InputError(f"training: expected {name} to be an integer of 1 or more; got {count!r}.")


def _targets(model: Method, source: FeatureSource, labels: Sequence[int]) -> Tensor:
    """The labels [N] on the model's device; `InputError` unless each is the number of a class, and each image's."""
    if len(source) != len(labels):
        raise InputError(
            f"training: expected one label for each of {len(source):,} images; got {len(labels):,}. Give them in the "
            "order of the images."
        )
    classes = len(model.class_names)
    for label in labels:
        if not isinstance(label, Integral) or not 0 <= label < classes:
            raise InputError(
                f"training: expected labels 0..{classes - 1}, the numbers of the {classes} classes; got {label!r}."
            )
    return torch.tensor(labels, device=model.clip.device)


def _carry_out(
    run: Callable[[Tensor, Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> Iterator[Facts]:
    """The facts of every step, read one at a time on a CPU and many at a time elsewhere."""
    at_once = _steps_at_once(device)
    waiting: list[Tensor] = []
    for features, targets in batches:
        waiting.append(run(features.to(device), targets))
        if len(waiting) == at_once:
            yield from read(waiting)
            waiting = []
    yield from read(waiting)


def _steps_at_once(device: torch.device) -> int:
    return 1 if device.type == "cpu" else _READ_EVERY


def _order(n_images: int, epoch: int, batch_size: int, seed: int) -> list[int]:
    """The images of an epoch in this seed's and epoch's random order, without a last, smaller batch."""
    order = list(range(n_images))
    Random(f"{seed}:{epoch}").shuffle(order)
    if n_images >= batch_size:
        del order[n_images - n_images % batch_size :]
    return order
