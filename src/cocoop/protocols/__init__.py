"""Protocols: which images are learned from, which are scored, and what is reported."""

from cocoop.protocols.benchmark import Benchmark
from cocoop.protocols.calibration import calibrate
from cocoop.protocols.cautions import for_photographs
from cocoop.protocols.estimate import Estimate, Estimator, Total, estimate
from cocoop.protocols.evaluated import Evaluated, evaluate_on
from cocoop.protocols.gather import gather, write_miniatures
from cocoop.protocols.learned import learned_by
from cocoop.protocols.own_images import fit_and_score, not_trained_on
from cocoop.protocols.plan import PROTOCOLS, Trial
from cocoop.protocols.presets import PRESETS, Preset, narrowed, preset
from cocoop.protocols.reach import out_of_reach
from cocoop.protocols.runner import Runner
from cocoop.protocols.slurm import job_array

__all__ = [
    "Benchmark",
    "Estimate",
    "Estimator",
    "Evaluated",
    "PRESETS",
    "PROTOCOLS",
    "Preset",
    "Runner",
    "Total",
    "Trial",
    "calibrate",
    "estimate",
    "evaluate_on",
    "fit_and_score",
    "for_photographs",
    "gather",
    "job_array",
    "learned_by",
    "narrowed",
    "not_trained_on",
    "out_of_reach",
    "preset",
    "write_miniatures",
]
