"""What a classifier has learned when a run fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from cocoop.classifier import Classifier
from cocoop.training import DivergedError


def learned_by(classifier: Classifier) -> Callable[[Exception], dict[str, NDArray[Any]]]:
    """For `keeping`: the tensors of a fitted classifier, or of the last finite loss where its training did not end."""

    def tensors(error: Exception) -> dict[str, NDArray[Any]]:
        if isinstance(error, DivergedError):
            learned = error.tensors
        else:
            learned = classifier.model_.state_dict() if hasattr(classifier, "model_") else {}
        return {name: tensor.detach().cpu().numpy() for name, tensor in learned.items()}

    return tensors
