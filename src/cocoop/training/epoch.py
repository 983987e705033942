"""The report of one epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. `loss` is the mean over its steps, `accuracy` percent of its training images."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    seconds: float
