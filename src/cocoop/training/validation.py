"""Held-out images: the accuracy on them after every epoch, which epoch is kept, and when learning more is no use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from cocoop.errors import InputError, expect_choice
from cocoop.features import Features
from cocoop.methods import Method, images_at_once
from cocoop.ranks import ALONE, Ranks
from cocoop.results import Epoch
from cocoop.training.prepare import check_counts, targets_of

KEEP = ("last", "best")
"""The epoch whose tensors are kept: the last one, as in the papers, or the best one on the validation images."""


class Validation(NamedTuple):
    """Images that no step learns from, as they are, never augmented.

    features: [V, E] unit norm. labels: [V] classes, 0 <= label < K. keep: one of `KEEP`; of equally good epochs the
    earliest is kept. patience: so many epochs in a row without a better accuracy end the training; None never does.
    """

    features: Features
    labels: Sequence[int]
    keep: str = "last"
    patience: int | None = None


class Watch:
    """Looks at the validation images after each epoch of a training, if there are any; each rank at its part.

    `InputError` for no images, labels that are none, or a `keep` or `patience` that cannot be.

    Attributes:
        accuracy: after the last epoch, in percent; None before, and without images.
        best: the tensors of the best epoch so far by state-dict name, if that is what is kept.
    """

    def __init__(self, model: Method, validation: Validation | None, ranks: Ranks = ALONE) -> None:
        self._model, self._validation, self._ranks = model, validation, ranks
        self.accuracy: float | None = None
        self._highest, self._since_highest = -1.0, 0
        self.best: dict[str, Tensor] = {}
        if validation is not None:
            _check(validation)
            self._targets = targets_of(model, len(validation.features), validation.labels)

    def look(self) -> float | None:
        """The accuracy now, in percent; None without images. Remembers the tensors where it is the best so far."""
        if self._validation is None:
            return None
        accuracy = self._measured(self._validation.features)
        self._count(self._validation, accuracy)
        return accuracy

    def take_up(self, history: Sequence[Epoch]) -> bool:
        """Be as after these epochs, but for the values of the `best` tensors; whether there were such images then."""
        accuracies = [epoch.validation_accuracy for epoch in history]
        if self._validation is None:
            return all(accuracy is None for accuracy in accuracies)
        for accuracy in accuracies:
            if accuracy is None:
                return False
            self._count(self._validation, accuracy)
        return True

    def _count(self, validation: Validation, accuracy: float) -> None:
        self.accuracy = accuracy
        self._since_highest += 1
        if accuracy > self._highest:
            self._highest, self._since_highest = accuracy, 0
            if validation.keep == "best":
                self.best = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    @property
    def is_over(self) -> bool:
        """Whether the patience is at its end."""
        patience = None if self._validation is None else self._validation.patience
        return patience is not None and self._since_highest >= patience

    def take_back(self) -> None:
        """Put the model back to the best epoch, if that is what is kept."""
        if self.best:
            self._model.load_state_dict(self.best)

    def _measured(self, features: Features) -> float:
        hits, at_once, part = 0, images_at_once(self._model), self._ranks.part(len(features))
        for start in range(part.start, part.stop, at_once):
            some = slice(start, min(start + at_once, part.stop))
            probabilities = self._model.probabilities(features[some])
            # Of what is not finite none is right; the next step, if there is one, stops the training.
            right = probabilities.argmax(dim=1) == self._targets[some]
            hits += int((right & probabilities.isfinite().all(dim=1)).sum())
        return 100 * sum(self._ranks.gather(lambda: hits)) / len(features)


def _check(validation: Validation) -> None:
    expect_choice("keep", validation.keep, KEEP)
    if validation.patience is not None:
        check_counts(patience=validation.patience)
    if not len(validation.features):
        raise InputError("validation: expected at least one image; got none. Leave it out.")


def kept_epoch(history: Sequence[Epoch], keep: str) -> int | None:
    """The number of the epoch whose tensors a training with this history has kept; None without an epoch."""
    if not history:
        return None
    return history[-1].epoch if keep == "last" else max(history, key=lambda epoch: epoch.validation_accuracy or 0).epoch
