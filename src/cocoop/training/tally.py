"""The figures of an epoch, step by step."""

from __future__ import annotations

import math

from cocoop.progress import Bar
from cocoop.training.step import Facts


class Tally:
    """Loss and accuracy of the epoch under way, which a bar shows as they are so far.

    Args:
        bar: counts the images of the whole training.
        images: of each step.
        epoch: such as "epoch 3 of 10".
        validated: accuracy on the validation images after the epoch before, in percent.
    """

    def __init__(self, bar: Bar, images: int, epoch: str, validated: float | None) -> None:
        self.steps, self._images, self._hits = 0, images, 0
        self._losses: list[float] = []
        self._sum = 0.0
        self._bar, self._epoch = bar, epoch
        self._validated = "" if validated is None else f", validation accuracy {validated:.0f} %"

    def add(self, facts: Facts) -> None:
        """Count a step."""
        self.steps += 1
        self._losses.append(facts.loss)
        self._sum += facts.loss
        self._hits += facts.hits
        loss = self._sum / self.steps  # near enough to look at
        told = f"{self._epoch}, loss {loss:.3g}, accuracy {self.accuracy:.0f} %{self._validated}"
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(self._images)

    @property
    def loss(self) -> float:
        """The mean over the steps."""
        return math.fsum(self._losses) / self.steps

    @property
    def accuracy(self) -> float:
        """Percent of the images."""
        return 100 * self._hits / (self.steps * self._images)
