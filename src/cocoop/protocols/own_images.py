"""A user's own images: learn from a few per class, score on all the others, beside zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocoop.classifier import PromptClassifier
from cocoop.data import Example, check_images
from cocoop.evaluation import evaluate
from cocoop.methods import ZeroShot
from cocoop.progress import progress
from cocoop.training import encode_pictures


def fit_and_score(classifier: PromptClassifier, examples: Sequence[Example]) -> dict[str, Any]:
    """Fit on the classifier's shots of `examples` and score on those it was not trained on.

    Returns:
        "held_out_images", and if there are any, in percent: "accuracy", "macro_f1", "mean_per_class_accuracy",
        "expected_calibration_error", "per_class_accuracy", and "zero_shot_accuracy" of "a photo of a {}." on the
        same images.

    Raises:
        InputError: what `fit` refuses; images that do not decode, held-out ones too, before any training.
    """
    check_images([example.path for example in examples], lambda paths: progress(paths, "checking images"))
    classifier.fit([example.path for example in examples], [example.class_name for example in examples])
    held_out = not_trained_on(classifier, examples)
    if not held_out:
        return {"held_out_images": 0}
    features = encode_pictures(classifier.clip_, [example.path for example in held_out])
    # The classifier's own numbers: it sorts the names, while the examples' labels may stand in any order.
    numbers = {name: number for number, name in enumerate(classifier.model_.class_names)}
    labels = [numbers[example.class_name] for example in held_out]
    learned = evaluate(classifier.model_, features, labels).as_dict()
    zero_shot = evaluate(ZeroShot(classifier.clip_, classifier.model_.class_names), features, labels)
    del learned["n"], learned["correct"]
    return {"held_out_images": len(held_out), "zero_shot_accuracy": zero_shot.accuracy, **learned}


def not_trained_on(classifier: PromptClassifier, examples: Sequence[Example]) -> list[Example]:
    """Those examples whose image was not among the classifier's training images, wherever its file lies."""
    return [example for example in examples if not classifier.was_trained_on(example.path)]
