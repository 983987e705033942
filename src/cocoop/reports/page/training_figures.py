"""The pictures of one training: loss and accuracy over its epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from cocoop.reports.page.style import Look
from cocoop.reports.page.svg import Panel, Picture, Ticks, round_ticks
from cocoop.results import Epoch
from cocoop.results.pictures import accuracy_curves

_LOOKS = (Look("var(--c2)", "circle", "none"), Look("var(--c1)", "square", "6 3"))
_MARKED = 50  # up to so many epochs have marks

Points = Sequence[tuple[int, float]]


def training_figures(history: Sequence[Epoch]) -> list[Picture]:
    """The mean loss and the accuracy, epoch by epoch; where the accuracy is of other images, too, with a legend."""
    losses = {"training images": [(epoch.epoch, epoch.loss) for epoch in history]}
    accuracies = accuracy_curves(history)
    rates = [rate for points in accuracies.values() for _, rate in points]
    return [
        _figure("Loss", losses, _loss_ticks(max(epoch.loss for epoch in history)), "{:.3f}"),
        _figure("Accuracy, %", accuracies, round_ticks(min(rates), max(rates)), "{:.2f} %"),
    ]


def _figure(title: str, curves: Mapping[str, Points], ticks: Ticks, words: str) -> Picture:
    picture = Picture(350, 250, f"{title}, over the epochs")
    epochs = [epoch for points in curves.values() for epoch, _ in points]
    first, last = min(epochs), max(epochs)
    panel = Panel(picture, 46, 34, 290, 170, (first - 0.5, last + 0.5), (ticks[0][0], ticks[-1][0]))
    panel.frame(title, "epoch", "", [(epoch, str(epoch)) for epoch in _shown_epochs(first, last)], ticks)
    for (label, points), look in zip(curves.items(), _LOOKS, strict=False):
        panel.line(points, look.color, look.dash)
        marked = points if len(points) <= _MARKED else points[-1:]
        hints = [f"{label}, epoch {epoch}: {words.format(value)}" for epoch, value in marked]
        panel.marks([(*point, hint) for point, hint in zip(marked, hints, strict=True)], look, 3.2)
    if len(curves) > 1:
        picture.legend(140, 25, dict(zip(curves, _LOOKS, strict=False)))
    return picture


def _shown_epochs(first: int, last: int) -> range:
    return range(first, last + 1, next(int(step) for step in _round_numbers(1) if (last - first) / step <= 10))


def _loss_ticks(largest: float) -> list[tuple[float, str]]:
    """From 0 to above the largest loss."""
    step = next(step for step in _round_numbers(1e-9) if largest <= 5 * step)
    return [(i * step, f"{i * step:g}") for i in range(max(1, math.ceil(largest / step)) + 1)]


def _round_numbers(first: float) -> Iterator[float]:
    """1, 2, 5, 10, 20, 50, ... times `first`."""
    return (first * digit * 10**zeros for zeros in count() for digit in (1, 2, 5))
