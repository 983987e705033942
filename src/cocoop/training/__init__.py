"""Training: one visible loop, with the papers' optimiser and schedule."""

from cocoop.training.cadence import EVERY, Cadence
from cocoop.training.checkpoint import Checkpoint, Identity
from cocoop.training.loop import train
from cocoop.training.prepare import prepare
from cocoop.training.recorded import CUDA_GRAPH, RecordedStep, recorded
from cocoop.training.schedule import WARMUP_LR, learning_rate, warm_up_only
from cocoop.training.step import Facts, Step
from cocoop.training.stopped import DivergedError, TrainingInterrupted
from cocoop.training.threads import threads_for, torch_threads
from cocoop.training.together import check_divides, check_divisible
from cocoop.training.validation import KEEP, Validation, kept_epoch

__all__ = [
    "CUDA_GRAPH",
    "EVERY",
    "KEEP",
    "WARMUP_LR",
    "Cadence",
    "Checkpoint",
    "DivergedError",
    "Facts",
    "Identity",
    "RecordedStep",
    "Step",
    "TrainingInterrupted",
    "Validation",
    "check_divides",
    "check_divisible",
    "kept_epoch",
    "learning_rate",
    "prepare",
    "recorded",
    "threads_for",
    "torch_threads",
    "train",
    "warm_up_only",
]
