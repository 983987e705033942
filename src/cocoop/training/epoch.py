"""What a training reports of each epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. `loss` is the mean over its steps, `accuracy` percent of its training images."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    seconds: float
