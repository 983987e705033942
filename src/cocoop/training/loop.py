"""The training loop: one for all methods, readable from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer

from cocoop.errors import InputError, RunError
from cocoop.methods import PromptMethod
from cocoop.progress import progress
from cocoop.training.features import FeatureSource
from cocoop.training.schedule import learning_rate


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. `loss` is the mean over its steps, `accuracy` percent of its training images."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    seconds: float


def train(
    model: PromptMethod,
    source: FeatureSource,
    labels: Sequence[int],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    lr: float = 0.002,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> list[Epoch]:
    """Learn `model`'s parameters by SGD on the mean cross-entropy, with the papers' optimiser and schedule.

    Args:
        model: any method; one without parameters (zero-shot) has nothing to learn and returns at once.
        source: where the image features of each epoch come from.
        labels: [N] the image's class, 0 <= label < K.
        epochs: passes over the images, the warm-up epoch included.
        batch_size: images per step. A last, smaller batch is dropped, unless it is the only one (Dassl's rule).
        seed: decides the order of the images. Any integer, 0 too.
        lr: the rate at the top of the schedule.
        momentum: of SGD.
        weight_decay: of SGD, on every learned tensor.

    Returns:
        One `Epoch` per epoch.

    Raises:
        InputError: `epochs` or `batch_size` below 1.
        RunError: the loss is not finite.
    """
    parameters = list(model.parameters())
    if not parameters:
        return []
    if min(epochs, batch_size) < 1:
        raise InputError(f"training: expected epochs and batch_size of 1 or more; got {epochs} and {batch_size}.")
    optimizer = SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    targets = torch.tensor(labels, device=model.clip.device)
    history = []
    for epoch in progress(range(epochs), "training, epochs"):
        started = time.perf_counter()
        rate = learning_rate(epoch, epochs, lr)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses, hits, seen = [], 0, 0
        for features, batch in _batches(source, len(labels), epoch, batch_size, seed):
            loss, logits = step(model, optimizer, features, targets[batch])
            losses.append(loss)
            hits += int((logits.argmax(dim=1) == targets[batch]).sum())
            seen += len(batch)
        mean_loss = math.fsum(losses) / len(losses)
        history.append(Epoch(epoch, rate, mean_loss, 100 * hits / seen, time.perf_counter() - started))
    return history


def step(model: PromptMethod, optimizer: Optimizer, features: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """One step on image features [B, E] and classes [B]: the loss before the step, and the logits [B, K]."""
    logits = model(features)
    loss = cross_entropy(logits, targets)
    if not torch.isfinite(loss):
        raise RunError(
            f"training: expected a finite loss; got {loss.item()}. Lower the learning rate, or load the CLIP with "
            "dtype float32."
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), logits.detach()


def _batches(
    source: FeatureSource, n_images: int, epoch: int, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, list[int]]]:
    """Features and image numbers of each step of an epoch, in this seed's and epoch's random order."""
    order = list(range(n_images))
    Random(f"{seed}:{epoch}").shuffle(order)
    if n_images >= batch_size:
        del order[n_images - n_images % batch_size :]
    batches = (order[i : i + batch_size] for i in range(0, len(order), batch_size))
    yield from zip(source.batches(epoch, order, batch_size), batches, strict=True)
