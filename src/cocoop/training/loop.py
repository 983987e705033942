"""The training loop: one for all methods, readable from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor

from cocoop.features.sources import FeatureSource
from cocoop.methods import Method
from cocoop.progress import Bar, counter
from cocoop.ranks import ALONE, Ranks
from cocoop.results import Epoch
from cocoop.training.checkpoint import Checkpoint, taken_up
from cocoop.training.prepare import check_counts, targets_of
from cocoop.training.recorded import recorded
from cocoop.training.schedule import learning_rate
from cocoop.training.step import Facts, Step, read
from cocoop.training.stopped import DivergedError, Stop, explain, interruptible
from cocoop.training.tally import SoFar, Tally
from cocoop.training.together import check_divisible
from cocoop.training.validation import Validation, Watch

_READ_EVERY = 64
"""Steps that are queued on a GPU before their facts are read; reading makes it wait."""


def train(
    model: Method,
    source: FeatureSource,
    labels: Sequence[int],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    lr: float = 0.002,
    schedule: str = "warm-up",
    cuda_graph: str = "auto",
    class_weights: Sequence[float] | None = None,
    validation: Validation | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch_end: Sequence[Callable[[Epoch], object]] = (),
    ranks: Ranks = ALONE,
    **optimizer: Any,
) -> list[Epoch]:
    """Learn `model`'s parameters on its own loss, with its paper's optimiser and schedule. Gives one `Epoch` per epoch.

    Args:
        model: any method; one without parameters (zero-shot) has nothing to learn and returns at once.
        source: where the image features of each epoch come from.
        labels: [N] the image's class, 0 <= label < K.
        epochs: passes over the images, the warm-up epoch included: with 1 there is no other (see `warm_up_only`).
        batch_size: images per step. A last, smaller batch is dropped, unless it is the only one (Dassl's rule).
        seed: decides the order of the images. Any integer, 0 too.
        lr: the rate at the top of the schedule.
        schedule: a name in `SCHEDULES`.
        cuda_graph: "auto" records the step as a CUDA graph on an NVIDIA GPU, or warns; "on" insists; "off" never does.
        class_weights: [K] how much an image of each class counts in the loss; see `Method.cross_entropy`.
        validation: images whose accuracy is measured after each epoch, and may choose one or end the training.
        checkpoint: keeps the state, after every epoch and as often as it says; the training goes on from what it has.
        on_epoch_end: are called with each `Epoch` when it is over. What they raise ends the training.
        ranks: which share each batch, and learn the same. Rank 0 alone keeps the state and calls `on_epoch_end`.
        optimizer: further arguments of `optimizer_of`, by default SGD with the papers' numbers.

    Raises:
        InputError: a count, a label, `class_weights`, `validation`, `cuda_graph` or a `checkpoint` that cannot be.
        DivergedError: a loss or a gradient is not finite. The model is back at the tensors of the last finite loss.
        TrainingInterrupted: Ctrl-C; the model is at the same tensors. With a `checkpoint` it waits for the step's end.
        RunError: `cuda_graph` is "on" and the step cannot be recorded; or a rank is gone.
    """
    if not model.trainable_parameters:
        return []
    check_counts(epochs=epochs, batch_size=batch_size)
    targets, step = targets_of(model, len(source), labels), Step(model, ranks=ranks, **optimizer)
    rates = partial(learning_rate, epochs=epochs, lr=lr, schedule=schedule)
    run, watch = recorded(step, cuda_graph), Watch(model, validation, ranks)
    history, begun = taken_up(checkpoint, step, watch, epochs, max(1, len(labels) // batch_size))
    bar = _bar(len(labels), batch_size, epochs, history, begun)
    with model.weighing(class_weights), bar, interruptible(step, history, epochs, checkpoint is not None) as stop:
        state = history, begun, watch, bar, stop, checkpoint, epochs, batch_size, seed, rates
        for epoch in _epochs(step, run, source, targets, *state):
            ranks.first(partial(_tell, on_epoch_end, epoch))
    return history


def _tell(on_epoch_end: Sequence[Callable[[Epoch], object]], epoch: Epoch) -> None:
    for tell in on_epoch_end:
        tell(epoch)


def _bar(images: int, batch_size: int, epochs: int, history: Sequence[Epoch], begun: SoFar) -> Bar:
    """Counts the images of all epochs, without last, smaller batches; those of `history` and `begun` are done."""
    each = max(1, images // batch_size) * min(batch_size, images)
    done = len(history) * each + len(begun.losses) * batch_size
    return counter("training", epochs * each, " images", delay=2, done=done)


def _epochs(
    step: Step,
    run: Callable[[Tensor, Tensor], Tensor],
    source: FeatureSource,
    targets: Tensor,
    history: list[Epoch],
    begun: SoFar,
    watch: Watch,
    bar: Bar,
    stop: Stop,
    checkpoint: Checkpoint | None,
    epochs: int,
    batch_size: int,
    seed: int,
    rates: Callable[[int], float],
) -> Iterator[Epoch]:
    """Each epoch when it is over, and in the `history`; the loop itself. The first of them may have `begun` already."""
    for epoch in range(len(history), epochs):
        if watch.is_over:
            break
        rate = rates(epoch)
        step.set_rate(rate)
        order = _order(len(targets), epoch, batch_size, seed)
        tally = Tally(bar, min(batch_size, len(order)), f"epoch {epoch + 1} of {epochs}", watch.accuracy, begun)
        rest, begun = order[tally.steps * batch_size :], SoFar()
        batches = _batches(source, targets, epoch, rest, batch_size, step.ranks)
        for some in _carry_out(run, batches, targets.device):
            for facts in some:
                if facts.stopped:
                    step.restore()
                    if checkpoint is not None and step.ranks.is_first:
                        checkpoint.remove()
                    message = explain(facts.loss, epoch, tally.steps, rate, step.model.clip.precision.name)
                    raise DivergedError(message, history, step.model.state_dict())
                tally.add(facts)
                stop.agree(facts.asked)
            stop.steps = tally.steps
            if tally.steps * batch_size < len(order):
                if checkpoint is not None and (stop.is_asked or checkpoint.is_due(tally.steps)):
                    checkpoint.keep(step, watch, history, tally.so_far)
                stop.now()
        seconds = tally.seconds
        history.append(Epoch(epoch, rate, tally.loss, tally.accuracy, seconds, watch.look()))
        stop.steps = 0
        if checkpoint is not None:
            checkpoint.keep(step, watch, history)
        stop.now()
        yield history[-1]
    watch.take_back()


def _batches(
    source: FeatureSource, targets: Tensor, epoch: int, order: Sequence[int], batch_size: int, ranks: Ranks
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and classes of each batch of an epoch: this rank's part of it, which is as large in all of them."""
    check_divisible(ranks, batch_size, len(order))
    size = min(batch_size, len(order))
    part = ranks.part(size)
    mine = [image for start in range(0, len(order), size) for image in order[start : start + size][part]]
    at_once = part.stop - part.start
    return zip(source.batches(epoch, mine, at_once), targets[mine].split(at_once), strict=True)


def _carry_out(
    run: Callable[[Tensor, Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> Iterator[list[Facts]]:
    """The facts of every step, as they are read: one at a time on a CPU and many at a time elsewhere."""
    at_once = _steps_at_once(device)
    waiting: list[Tensor] = []
    for features, targets in batches:
        waiting.append(run(features.to(device), targets))
        if len(waiting) == at_once:
            yield read(waiting)
            waiting = []
    yield read(waiting)


def _steps_at_once(device: torch.device) -> int:
    return 1 if device.type == "cpu" else _READ_EVERY


def _order(n_images: int, epoch: int, batch_size: int, seed: int) -> list[int]:
    """The images of an epoch in this seed's and epoch's random order, without a last, smaller batch."""
    order = list(range(n_images))
    Random(f"{seed}:{epoch}").shuffle(order)
    if n_images >= batch_size:
        del order[n_images - n_images % batch_size :]
    return order
