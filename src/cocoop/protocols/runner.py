"""`Runner`: carries out trials on one CLIP. Data sets are read, and test images encoded, once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cocoop.classifier import PromptClassifier
from cocoop.clip import CLIP
from cocoop.data import Classes, Dataset, Example, sample_few_shot, split_hash
from cocoop.evaluation import measure, predict_probabilities
from cocoop.methods import PromptMethod, ZeroShot
from cocoop.model_card import model_card
from cocoop.protocols.plan import Trial
from cocoop.results import peak_memory_mb, reset_peak_memory, write_run
from cocoop.training import encode_pictures

MISTAKES = 12
"""How many of the most confident mistakes of a test a record names."""


class Runner:
    """Carries out trials.

    Args:
        clip: the frozen CLIP of all of them.
        datasets: the data sets that the trials name.
    """

    def __init__(self, clip: CLIP, datasets: Mapping[str, Dataset]) -> None:
        self.clip = clip
        self._datasets = datasets
        self._test_features = cache(self._encode_test)

    def run(self, trial: Trial, folder: str | PathLike[str]) -> Path:
        """Learn, score, and write the run folder, all at once at the end.

        Raises:
            InputError: an image that does not decode, a setting that cannot work, or the folder is taken.
            RunError: the training diverged, or the disk refuses.
        """
        reset_peak_memory()
        learned_from = self.training_set(trial)
        settings = dict(trial.settings)
        if not trial.shots:
            settings["templates"] = (learned_from.template,)
        classifier = PromptClassifier(method=trial.method, clip=self.clip, shots=None, seed=trial.seed, **settings)
        images, labels = [e.path for e in learned_from.train], [e.label for e in learned_from.train]
        classifier.fit(images, labels, learned_from.class_names)
        run = classifier.as_run()
        for test in trial.tests:
            scored = self._datasets[test.dataset].select(test.classes)
            model = self.fitted_to(classifier.model_, scored)
            probabilities = predict_probabilities(model, self._test_features(test.dataset, test.classes))
            results, facts = _score(probabilities.cpu().double().numpy(), scored)
            run.record["results"][test.name] = {"dataset": test.dataset, **results}
            run.predictions.update({f"{test.name}/{name}": values for name, values in facts.items()})
        run.record |= {
            "protocol": trial.protocol,
            "dataset": learned_from.name,
            "shots": trial.shots,
            "split_hash": split_hash(learned_from.train, learned_from.image_root) if trial.shots else None,
            "peak_memory_mb": peak_memory_mb(),
            "trial": trial.as_dict(),
        }
        return write_run(folder, run, model_card(run.config, run.record))

    def training_set(self, trial: Trial) -> Dataset:
        """The data set that a trial learns from; its training split holds the picked images.

        As in the original the pick is made over all classes, so that base and new classes share one.
        """
        dataset = self._datasets[trial.dataset]
        if trial.shots:
            picked, _ = sample_few_shot(dataset.train, [], trial.shots, trial.seed)
            dataset = replace(dataset, train=picked)
        return dataset.select(trial.classes)

    def fitted_to(self, model: PromptMethod, dataset: Dataset) -> PromptMethod:
        """The model on the classes of `dataset`; zero-shot takes the data set's own prompt, too."""
        if isinstance(model, ZeroShot):
            return ZeroShot(self.clip, dataset.class_names, (dataset.template,))
        return model.set_classes(dataset.class_names)

    def _encode_test(self, dataset: str, classes: Classes) -> Tensor:
        return encode_pictures(self.clip, [example.path for example in self._datasets[dataset].select(classes).test])


def _score(probabilities: NDArray[np.float64], dataset: Dataset) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics and the most confident mistakes; and, per test image, label, prediction and confidence."""
    labels = np.array([example.label for example in dataset.test], dtype=np.int32)
    predicted = probabilities.argmax(axis=1).astype(np.int32)
    confidence = probabilities.max(axis=1).astype(np.float32)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    mistakes = [_mistake(dataset.test[i], dataset.class_names[predicted[i]], float(confidence[i])) for i in worst]
    metrics = measure(probabilities, labels, dataset.class_names).as_dict()
    return metrics | {"mistakes": mistakes}, {"label": labels, "predicted": predicted, "confidence": confidence}


def _mistake(example: Example, predicted: str, confidence: float) -> dict[str, Any]:
    label = example.class_name
    return {"image": str(example.path), "label": label, "predicted": predicted, "confidence": confidence}
