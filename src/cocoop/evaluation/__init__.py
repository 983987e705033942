"""Evaluation: probabilities for many images, and the figures that follow from them."""

from cocoop.evaluation.agreement import Agreement, verify
from cocoop.evaluation.calibration import LEAST, Temperature, calibration_figures, fit_temperature
from cocoop.evaluation.evaluate import class_probabilities, evaluate, predict_logits, predict_probabilities
from cocoop.evaluation.metrics import Metrics, distinct, measure
from cocoop.evaluation.score import MISTAKES, Scores, score
from cocoop.evaluation.together import base_scores, measure_together

__all__ = [
    "LEAST",
    "MISTAKES",
    "Agreement",
    "Metrics",
    "Scores",
    "Temperature",
    "base_scores",
    "calibration_figures",
    "class_probabilities",
    "distinct",
    "evaluate",
    "fit_temperature",
    "measure",
    "measure_together",
    "predict_logits",
    "predict_probabilities",
    "score",
    "verify",
]
