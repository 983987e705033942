"""A model on labelled images: the figures, the worst mistakes, and the prediction for every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cocoop.data import Example
from cocoop.evaluation.evaluate import predict_probabilities
from cocoop.evaluation.metrics import measure
from cocoop.evaluation.reliability import Scored
from cocoop.features import Features
from cocoop.methods import Method
from cocoop.results import Figures, Mistake

MISTAKES = 12
"""How many of the most confident mistakes `score` names."""


class Scores(NamedTuple):
    """The results of one model on N labelled images.

    figures: those of `Metrics`, and the `MISTAKES` with the highest top probability; no dataset and no test_hash.
    predictions: per image, in order: "label" and "predicted" (class numbers, int32 [N]) and "confidence" (the top
        probability, float32 [N]).
    scored: the probabilities that they follow from.
    """

    figures: Figures
    predictions: dict[str, NDArray[Any]]
    scored: Scored


def score(model: Method, image_features: Features, examples: Sequence[Example]) -> Scores:
    """Classify unit-norm image features [N, E] and compare with the labels of their `examples` [N].

    Labels number `model.class_names`. Of equal top probabilities the first class counts as predicted.

    Raises:
        InputError: no images, or labels that are no numbers of classes of the model.
    """
    probabilities = predict_probabilities(model, image_features).numpy()
    labels = np.array([example.label for example in examples], dtype=np.int32)
    metrics = measure(probabilities, labels, model.class_names)
    predicted = probabilities.argmax(axis=1).astype(np.int32)
    confidence = probabilities.max(axis=1).astype(np.float32)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    mistakes = [
        Mistake(
            image=str(examples[i].path),
            label=model.class_names[labels[i]],
            predicted=model.class_names[predicted[i]],
            confidence=float(confidence[i]),
        )
        for i in worst
    ]
    predictions = {"label": labels, "predicted": predicted, "confidence": confidence}
    scored = Scored(probabilities, labels, model.class_names)
    return Scores(Figures(**metrics.as_dict(), mistakes=mistakes), predictions, scored)
