"""Protocols: which images are learned from, which are scored, and what is reported."""

from cocoop.protocols.benchmark import Benchmark
from cocoop.protocols.estimate import Estimate, Estimator, Total, estimate
from cocoop.protocols.gather import gather, write_miniatures
from cocoop.protocols.learned import learned_by
from cocoop.protocols.own_images import fit_and_score, not_trained_on
from cocoop.protocols.plan import PROTOCOLS, Trial
from cocoop.protocols.presets import PRESETS, Preset, narrowed, preset
from cocoop.protocols.runner import Runner
from cocoop.protocols.workers import Failure

__all__ = [
    "Benchmark",
    "Estimate",
    "Estimator",
    "Failure",
    "PRESETS",
    "PROTOCOLS",
    "Preset",
    "Runner",
    "Total",
    "Trial",
    "estimate",
    "fit_and_score",
    "gather",
    "learned_by",
    "narrowed",
    "not_trained_on",
    "preset",
    "write_miniatures",
]
