"""`Selection`: which images each trial learns from and is scored on, of the data sets that a benchmark has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal, NamedTuple

from cocoop.data import (
    MAX_VAL_SHOTS,
    Classes,
    Dataset,
    Example,
    fingerprint,
    reworded,
    sample_few_shot,
    sample_lopsided,
    split_hash,
)
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
        self._in_words = cache(self._reworded)
        self._told = cache(fingerprint)

    def of(self, trial: Trial) -> Selection:
        """The same images under the words of a trial: its class names and its hand-written prompt."""
        own = trial.names == "own" and trial.template is None
        return self if own else self._in_words(trial.names, trial.template, tuple(trial.data))

    def training_set(self, trial: Trial) -> Dataset:
        """The data set that a trial learns from, in its words; its training split holds the picked images.

        As in the original the pick is made over all classes, so that base and new classes share one.
        """
        words = self.of(trial)
        if not trial.shots:
            part: Dataset = words.part(trial.dataset, trial.classes)
            return part
        return words._picked(trial.dataset, trial.classes, trial.shots, trial.seed, trial.draw)

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

    def _pick(self, dataset: str, classes: Classes, shots: int, seed: int, draw: str) -> Dataset:
        whole = self._datasets[dataset]
        if draw == "lopsided":
            picked = sample_lopsided(whole.train, shots, seed)
        else:
            picked, _ = sample_few_shot(whole.train, [], shots, seed)
        return replace(whole, train=picked).select(classes)

    def _reworded(self, names: str, template: str | None, datasets: tuple[str, ...]) -> Selection:
        return Selection({name: reworded(self._datasets[name], names, template) for name in datasets})

    def _hash_test(self, dataset: str, classes: Classes) -> str:
        """SHA-256 (64 hex digits) of what is scored: which images, with which labels, into classes of which names."""
        part = self.part(dataset, classes)
        content = [split_hash(part.test, part.image_root), part.class_names]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
