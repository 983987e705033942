"""Training: one visible loop, with the papers' optimiser and schedule."""

from cocoop.training.divergence import DivergedError
from cocoop.training.loop import prepare, train
from cocoop.training.recorded import CUDA_GRAPH, RecordedStep, recorded
from cocoop.training.schedule import WARMUP_LR, learning_rate, warm_up_only
from cocoop.training.step import Facts, Step
from cocoop.training.threads import threads_for, torch_threads

__all__ = [
    "CUDA_GRAPH",
    "WARMUP_LR",
    "DivergedError",
    "Facts",
    "RecordedStep",
    "Step",
    "recorded",
    "learning_rate",
    "prepare",
    "threads_for",
    "torch_threads",
    "train",
    "warm_up_only",
]
