"""Evaluation: probabilities for many images, and the figures that follow from them."""

from cocoop.evaluation.agreement import Agreement, verify
from cocoop.evaluation.evaluate import class_probabilities, evaluate, predict_probabilities
from cocoop.evaluation.metrics import Metrics, measure
from cocoop.evaluation.score import MISTAKES, Scores, score

__all__ = [
    "MISTAKES",
    "Agreement",
    "Metrics",
    "Scores",
    "class_probabilities",
    "evaluate",
    "measure",
    "predict_probabilities",
    "score",
    "verify",
]
