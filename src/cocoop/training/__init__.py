"""Training: one visible loop, with the papers' optimiser and schedule."""

from cocoop.training.divergence import DivergedError
from cocoop.training.epoch import Epoch
from cocoop.training.loop import train
from cocoop.training.recorded import COMPILE, RecordedStep, compiled
from cocoop.training.schedule import WARMUP_LR, learning_rate
from cocoop.training.step import Facts, Step

__all__ = [
    "COMPILE",
    "WARMUP_LR",
    "DivergedError",
    "Epoch",
    "Facts",
    "RecordedStep",
    "Step",
    "compiled",
    "learning_rate",
    "train",
]
