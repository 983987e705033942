"""Evaluation: probabilities for many images, and the figures that follow from them."""

from cocoop.evaluation.evaluate import evaluate, predict_probabilities
from cocoop.evaluation.metrics import Metrics, measure

__all__ = ["Metrics", "evaluate", "measure", "predict_probabilities"]
