"""Evaluation: probabilities for many images, and the figures that follow from them."""

from cocoop.evaluation.agreement import Agreement, verify
from cocoop.evaluation.calibration import LEAST, Temperature, calibration_figures, fit_temperature
from cocoop.evaluation.conformal import check_coverage, conformal_sets, conformal_threshold
from cocoop.evaluation.distances import distance_scales
from cocoop.evaluation.evaluate import (
    class_probabilities,
    evaluate,
    expect_finite,
    predict_logits,
    predict_probabilities,
)
from cocoop.evaluation.metrics import Metrics, classwise_calibration_error, distinct, measure
from cocoop.evaluation.reliability import Scored, fit_held_out, measure_reliability
from cocoop.evaluation.score import MISTAKES, Scores, score
from cocoop.evaluation.together import base_scores, measure_together

__all__ = [
    "LEAST",
    "MISTAKES",
    "Agreement",
    "Metrics",
    "Scored",
    "Scores",
    "Temperature",
    "base_scores",
    "calibration_figures",
    "check_coverage",
    "class_probabilities",
    "classwise_calibration_error",
    "conformal_sets",
    "conformal_threshold",
    "distance_scales",
    "distinct",
    "evaluate",
    "expect_finite",
    "fit_held_out",
    "fit_temperature",
    "measure",
    "measure_reliability",
    "measure_together",
    "predict_logits",
    "predict_probabilities",
    "score",
    "verify",
]
