"""`Selection`: which images each trial learns from and is scored on, of the data sets that a benchmark has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal, NamedTuple

from cocoop.data import MAX_VAL_SHOTS, Classes, Dataset, Example, fingerprint, sample_few_shot, split_hash
from cocoop.errors import InputError
from cocoop.protocols.plan import Trial


class HeldOutImages(NamedTuple):
    """Images to fit on that are neither learned from nor scored, and the split that they are of."""

    examples: list[Example]
    part: Literal["val", "train"]


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
        self._told = cache(fingerprint)

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

    def held_out(self, trial: Trial) -> HeldOutImages:
        """Images of the trial's classes that it neither learns from nor is scored on, nor copies of such.

        The val split where it has some; else, by the seed, up to `MAX_VAL_SHOTS` of each class of the training split.

        Raises:
            InputError: there is none.
        """
        part = self.part(trial.dataset, trial.classes)
        picked = self.training_set(trial).train if trial.shots else []
        scored = [example for test in trial.tests for example in self.part(test.dataset, test.classes).test]
        used = {self._told(example.path) for example in [*picked, *scored]}
        val, train = ([e for e in split if self._told(e.path) not in used] for split in (part.val, part.train))
        if val:
            return HeldOutImages(val, "val")
        if train:
            return HeldOutImages(sample_few_shot(train, [], MAX_VAL_SHOTS, trial.seed)[0], "train")
        raise InputError(
            f"{trial.dataset}: expected images of the {trial.classes} classes that are neither learned from nor "
            "scored, to fit on; got none. Add a val split, use fewer shots, or leave out --calibration, --conformal or "
            "--search."
        )

    def _pick(self, dataset: str, classes: Classes, shots: int, seed: int) -> Dataset:
        whole = self._datasets[dataset]
        picked, _ = sample_few_shot(whole.train, [], shots, seed)
        return replace(whole, train=picked).select(classes)

    def _hash_test(self, dataset: str, classes: Classes) -> str:
        """SHA-256 (64 hex digits) of what is scored: which images, with which labels, into classes of which names."""
        part = self.part(dataset, classes)
        content = [split_hash(part.test, part.image_root), part.class_names]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
