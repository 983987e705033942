"""Training: one visible loop, the papers' optimiser and schedule, image features computed ahead."""

from cocoop.training.divergence import DivergedError
from cocoop.training.features import AugmentedFeatures, FeatureSource, FixedFeatures, Picture, encode_pictures
from cocoop.training.loop import Epoch, train
from cocoop.training.recorded import Compile, RecordedStep
from cocoop.training.schedule import WARMUP_LR, learning_rate
from cocoop.training.step import Facts, Step

__all__ = [
    "WARMUP_LR",
    "AugmentedFeatures",
    "Compile",
    "DivergedError",
    "Epoch",
    "Facts",
    "FeatureSource",
    "FixedFeatures",
    "Picture",
    "RecordedStep",
    "Step",
    "encode_pictures",
    "learning_rate",
    "train",
]
