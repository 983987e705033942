"""Training: one visible loop, the papers' optimiser and schedule, image features computed ahead."""

from cocoop.training.features import AugmentedFeatures, FeatureSource, FixedFeatures, Picture, encode_pictures
from cocoop.training.loop import Epoch, step, train
from cocoop.training.schedule import WARMUP_LR, learning_rate

__all__ = [
    "WARMUP_LR",
    "AugmentedFeatures",
    "Epoch",
    "FeatureSource",
    "FixedFeatures",
    "Picture",
    "encode_pictures",
    "learning_rate",
    "step",
    "train",
]
