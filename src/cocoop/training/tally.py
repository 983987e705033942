"""The figures of an epoch, step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from cocoop.progress import Bar
from cocoop.training.step import Facts


class SoFar(NamedTuple):
    """What the steps of an epoch have come to: the loss of each, images classified right, seconds."""

    losses: Sequence[float] = ()
    hits: int = 0
    seconds: float = 0.0


class Tally:
    """Loss and accuracy of the epoch under way, which a bar shows as they are so far.

    Args:
        bar: counts the images of the whole training.
        images: of each step.
        epoch: such as "epoch 3 of 10".
        validated: accuracy on the validation images after the epoch before, in percent.
        before: what its first steps came to, before the training was stopped.
    """

    def __init__(self, bar: Bar, images: int, epoch: str, validated: float | None, before: SoFar) -> None:
        self._started = time.perf_counter() - before.seconds
        self._images, self._hits = images, before.hits
        self._losses = [*before.losses]
        self._sum = math.fsum(before.losses)
        self._bar, self._epoch = bar, epoch
        self._validated = "" if validated is None else f", validation accuracy {validated:.0f} %"

    def add(self, facts: Facts) -> None:
        """Count a step."""
        self._losses.append(facts.loss)
        self._sum += facts.loss
        self._hits += facts.hits
        loss = self._sum / self.steps  # near enough to look at
        told = f"{self._epoch}, loss {loss:.3g}, accuracy {self.accuracy:.0f} %{self._validated}"
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(self._images)

    @property
    def steps(self) -> int:
        """How many there were."""
        return len(self._losses)

    @property
    def so_far(self) -> SoFar:
        """What they have come to."""
        return SoFar(self._losses, self._hits, self.seconds)

    @property
    def seconds(self) -> float:
        """The time since the first began, without that in which the training was stopped."""
        return time.perf_counter() - self._started

    @property
    def loss(self) -> float:
        """The mean over the steps."""
        return math.fsum(self._losses) / self.steps

    @property
    def accuracy(self) -> float:
        """Percent of the images."""
        return 100 * self._hits / (self.steps * self._images)
