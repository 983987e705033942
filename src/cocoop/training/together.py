"""What the ranks of a training exchange in each step, and what they need for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cocoop.errors import InputError
from cocoop.methods import Method
from cocoop.ranks import Ranks


class OfBatch(NamedTuple):
    """Of a whole batch: the mean loss, its gradients, the number of hits, and whether a rank was asked to stop."""

    loss: Tensor
    gradients: Sequence[Tensor]
    hits: Tensor
    asked: Tensor


def of_batch(ranks: Ranks, images: int, loss: Tensor, gradients: Sequence[Tensor], hits: Tensor) -> OfBatch:
    """The figures of a batch from those of this rank's part, of so many `images`, by one all-reduce.

    Losses and gradients count by images: where the loss is a mean over images, they are those of the whole batch,
    however it is divided. What is not finite on one rank is so in the sum, so that all find it in the same step.
    """
    if ranks.size == 1:
        return OfBatch(loss, gradients, hits, torch.zeros_like(loss))
    here = torch.tensor([images, ranks.asked]).to(gradients[0])
    facts = torch.stack([images * loss.to(here), hits.to(here), *here])
    flat = torch.cat([facts, *(images * gradient.flatten() for gradient in gradients)])
    ranks.sum(flat)
    (total, hits, count, asked), summed = flat[: len(facts)], flat[len(facts) :]
    parts = (summed / count).split([gradient.numel() for gradient in gradients])
    means = [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
    return OfBatch((total / count).to(loss.dtype), means, hits, asked)


def check_divides(ranks: Ranks, model: Method) -> None:
    """Raise `InputError` for a method whose batches cannot be divided among ranks."""
    if ranks.size > 1 and not model.divides():
        raise InputError(
            f"{type(model).__name__}: expected one process, because its gradients of parts of a batch do not add up to "
            f"those of the whole; torchrun has started {ranks.size}. Start it without torchrun."
        )


def check_divisible(ranks: Ranks, batch_size: int, images: int) -> None:
    """Raise `InputError` unless each rank has an image in each step, with so many `images` in all."""
    smallest = min(batch_size, images)
    if smallest >= ranks.size:
        return
    given = f"batches of {batch_size}" if batch_size <= images else f"{images} images in all"
    raise InputError(
        f"batch_size: expected {ranks.size} images a step or more, one for each of the {ranks.size} processes that "
        f"torchrun has started; got {given}. Batches that small are learned by one process: carry out several "
        f"trainings side by side instead (cocoop benchmark --jobs {ranks.size}), or give a larger --batch-size."
    )
