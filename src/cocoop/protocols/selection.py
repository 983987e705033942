"""`Selection`: which images each trial learns from and is scored on, of the data sets that a benchmark has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from cocoop.data import Classes, Dataset, sample_few_shot, split_hash
from cocoop.protocols.plan import Trial


class Selection:
    """The images of trials.

    Args:
        datasets: the data sets that the trials name.
    """

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self._datasets = datasets
        # Each at most once for all trials: halving, picking from and hashing a million images takes seconds each.
        self.part = cache(lambda dataset, classes: self._datasets[dataset].select(classes))
        self._picked = cache(self._pick)
        self.test_hash = cache(self._hash_test)

    def training_set(self, trial: Trial) -> Dataset:
        """The data set that a trial learns from; its training split holds the picked images.

        As in the original the pick is made over all classes, so that base and new classes share one.
        """
        if not trial.shots:
            part: Dataset = self.part(trial.dataset, trial.classes)
            return part
        return self._picked(trial.dataset, trial.classes, trial.shots, trial.seed)

    def training_hash(self, trial: Trial) -> str | None:
        """The `split_hash` of the picked images; None where there is nothing to learn."""
        if not trial.shots:
            return None
        learned_from = self.training_set(trial)
        return split_hash(learned_from.train, learned_from.image_root)

    def _pick(self, dataset: str, classes: Classes, shots: int, seed: int) -> Dataset:
        whole = self._datasets[dataset]
        picked, _ = sample_few_shot(whole.train, [], shots, seed)
        return replace(whole, train=picked).select(classes)

    def _hash_test(self, dataset: str, classes: Classes) -> str:
        """SHA-256 (64 hex digits) of what is scored: which images, with which labels, into classes of which names."""
        part = self.part(dataset, classes)
        content = [split_hash(part.test, part.image_root), part.class_names]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
