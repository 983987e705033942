"""The paper's base-to-new protocol: learn on the first half of the classes, score on both halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocoop.classifier import PromptClassifier
from cocoop.clip import CLIP
from cocoop.data import HALVES, Example, base_to_new, class_names, sample_few_shot
from cocoop.errors import InputError
from cocoop.evaluation import evaluate
from cocoop.results import harmonic_mean
from cocoop.training import encode_pictures


class BaseToNew:
    """Base-to-new on one data set and one CLIP (CoCoOp section 4.1). Test images are encoded once for all runs.

    Args:
        clip: the frozen CLIP of every run.
        train: training images of all classes; each run picks its shots from them.
        test: test images of all classes.
    """

    def __init__(self, clip: CLIP, train: Sequence[Example], test: Sequence[Example]) -> None:
        self.clip = clip
        self.train = train
        self.halves = {half: base_to_new(train, test, half=half)[1] for half in HALVES}
        self._features = {
            half: encode_pictures(clip, [example.path for example in examples])
            for half, examples in self.halves.items()
        }

    def run(self, classifier: PromptClassifier, shots: int) -> dict[str, Any]:
        """Fit `classifier` on this seed's shots of the base classes; score it on base, then on new classes.

        Args:
            classifier: on this protocol's `clip`, with `shots=None`: the pick is made here, over all classes, as in
                the original.
            shots: images per class.

        Returns:
            "base" and "new": the accuracies in percent; "harmonic_mean" of the two; "details": all `Metrics` by half.

        Raises:
            InputError: a classifier on another CLIP, with shots of its own, or whose prompt fits no new classes.
        """
        self._check(classifier)
        picked, _ = sample_few_shot(self.train, [], shots, classifier.seed)
        (base,) = base_to_new(picked, half="base")
        classifier.fit([example.path for example in base], [example.class_name for example in base])
        metrics = {}
        for half, examples in self.halves.items():
            classifier.set_classes(class_names(examples))
            labels = [example.label for example in examples]
            metrics[half] = evaluate(classifier.model_, self._features[half], labels)
        classifier.set_classes(class_names(self.halves["base"]))
        return {
            "base": metrics["base"].accuracy,
            "new": metrics["new"].accuracy,
            "harmonic_mean": harmonic_mean(metrics["base"].accuracy, metrics["new"].accuracy),
            "details": {half: found.as_dict() for half, found in metrics.items()},
        }

    def _check(self, classifier: PromptClassifier) -> None:
        """Refuse before any training what cannot be scored."""
        if classifier.clip is not self.clip:
            raise InputError(
                f"classifier: expected one on the CLIP that encoded the test images; got clip={classifier.clip!r}. "
                "Give both the same CLIP object."
            )
        if classifier.shots is not None:
            raise InputError(
                f"classifier: expected shots=None, because the protocol picks the images; got {classifier.shots!r}."
            )
        if classifier.class_specific:
            raise InputError(
                "classifier: expected a prompt that fits new classes; got class_specific=True, whose contexts belong "
                "to the base classes. Use the unified context."
            )
