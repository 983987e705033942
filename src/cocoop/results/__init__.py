"""Runs on disk: the record as declared, run folders with model card and pictures, places to write to, JSON files.

And what is made of them: many records collected, summaries over seeds, the papers' published figures. No torch here.
"""

from cocoop.results.collect import Record, check_predictions, read_records
from cocoop.results.files import read_json, read_jsonl, write_json, write_jsonl, write_text
from cocoop.results.paired import BASELINES, Paired, PairedDifference, average, harmonic, paired_difference
from cocoop.results.pictures import run_pictures
from cocoop.results.places import (
    alone_at,
    check_file,
    check_free,
    check_new,
    keeping,
    lock_file,
    real_place,
    remove_state,
    state_file,
)
from cocoop.results.published import departures, is_published_clip, published
from cocoop.results.record import PACKAGES, environment, peak_memory_mb, reset_peak_memory
from cocoop.results.reliability import (
    Calibration,
    CalibrationFigures,
    CalibrationWay,
    ConformalSets,
    Fits,
    HeldOutFit,
    Reliability,
)
from cocoop.results.run_folder import Run, read_config, read_record, read_run, rewrite_record, write_run
from cocoop.results.schema import (
    ALL_CLASSES,
    PROTOCOL_NAMES,
    Environment,
    Epoch,
    Figures,
    Imported,
    Learning,
    Mistake,
    Parameters,
    RunConfig,
    RunRecord,
    Search,
    Together,
    TrialRecord,
    TrialTest,
)
from cocoop.results.summary import harmonic_mean, mean_std

__all__ = [
    "ALL_CLASSES",
    "BASELINES",
    "PACKAGES",
    "PROTOCOL_NAMES",
    "Calibration",
    "CalibrationFigures",
    "CalibrationWay",
    "ConformalSets",
    "Environment",
    "Epoch",
    "Figures",
    "Fits",
    "HeldOutFit",
    "Imported",
    "Learning",
    "Mistake",
    "Paired",
    "PairedDifference",
    "Parameters",
    "Record",
    "Reliability",
    "Run",
    "RunConfig",
    "RunRecord",
    "Search",
    "Together",
    "TrialRecord",
    "TrialTest",
    "alone_at",
    "average",
    "check_file",
    "check_free",
    "check_new",
    "check_predictions",
    "departures",
    "environment",
    "harmonic",
    "harmonic_mean",
    "is_published_clip",
    "keeping",
    "lock_file",
    "mean_std",
    "paired_difference",
    "peak_memory_mb",
    "published",
    "read_config",
    "read_json",
    "read_jsonl",
    "read_record",
    "read_records",
    "read_run",
    "real_place",
    "remove_state",
    "reset_peak_memory",
    "rewrite_record",
    "run_pictures",
    "state_file",
    "write_json",
    "write_jsonl",
    "write_run",
    "write_text",
]
