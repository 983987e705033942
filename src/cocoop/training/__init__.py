"""Training: one visible loop, the papers' optimiser and schedule, image features computed ahead."""

from cocoop.training.divergence import DivergedError
from cocoop.training.features import AugmentedFeatures, FeatureSource, FixedFeatures, encode_pictures
from cocoop.training.loop import Epoch, train
from cocoop.training.recorded import COMPILE, RecordedStep, compiled
from cocoop.training.schedule import WARMUP_LR, learning_rate
from cocoop.training.step import Facts, Step
from cocoop.training.store import FeatureStore, StoredFeatures
from cocoop.training.views import Picture, View, contents

__all__ = [
    "COMPILE",
    "WARMUP_LR",
    "AugmentedFeatures",
    "DivergedError",
    "Epoch",
    "Facts",
    "FeatureSource",
    "FeatureStore",
    "FixedFeatures",
    "Picture",
    "RecordedStep",
    "Step",
    "StoredFeatures",
    "View",
    "compiled",
    "contents",
    "encode_pictures",
    "learning_rate",
    "train",
]
