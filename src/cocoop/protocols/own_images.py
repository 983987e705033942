"""A user's own images: learn from a few per class, score on the test split or all the others, beside zero-shot."""

from __future__ import annotations

from collections.abc import Sequence

from cocoop.classifier import Classifier
from cocoop.data import Dataset, Example, check_images, fingerprint, split_hash
from cocoop.errors import InputError
from cocoop.evaluation import score
from cocoop.methods import ZeroShot
from cocoop.progress import progress
from cocoop.results import Run


def fit_and_score(classifier: Classifier, dataset: Dataset) -> Run:
    """Fit on the classifier's shots of the training split; score on the test split, beside zero-shot.

    Without a test split, the training images that were not learned from are scored. The classes are those of the
    data set, in its order.

    Returns:
        The run as `Classifier.as_run` has it, with predictions. Its record's "results" and "zero_shot" are
        {"test": {"dataset": name, and what `Scores.results` holds}} of the method, and of the data set's own template
        on the same images; both are empty where no image is left to score.

    Raises:
        InputError: what `fit` refuses; no training images; images that do not decode, scored ones too, before any
            training.
    """
    if not dataset.train:
        raise InputError(
            f"{dataset.name}: expected images to learn from; it has test images only. Learn from others, then score "
            f"on it: cocoop evaluate RUN {dataset.name}"
        )
    paths = [example.path for example in dataset.test or dataset.train]
    check_images(paths, lambda paths: progress(paths, "checking images", unit=" images"))
    images, labels = [example.path for example in dataset.train], [example.label for example in dataset.train]
    classifier.fit(images, labels, dataset.class_names)
    run = classifier.as_run()
    picked = [dataset.train[index] for index in classifier.picked_]
    run.record.update(dataset=dataset.name, zero_shot={})
    run.record["split_hash"] = split_hash(picked, dataset.image_root) if picked else None
    scored = dataset.test or not_trained_on(classifier, dataset.train)
    if scored:
        features = classifier.encode([example.path for example in scored])
        zero_shot = ZeroShot(classifier.clip_, dataset.class_names, (dataset.template,))
        learned, beside = (score(model, features, scored) for model in (classifier.model_, zero_shot))
        run.record["results"] = {"test": {"dataset": dataset.name, **learned.results}}
        run.record["zero_shot"] = {"test": {"dataset": dataset.name, **beside.results}}
        run.predictions.update({f"test/{name}": values for name, values in learned.predictions.items()})
    return run


def not_trained_on(classifier: Classifier, examples: Sequence[Example]) -> list[Example]:
    """Those examples whose image was not among the classifier's training images, wherever its file lies."""
    trained_on = classifier.trained_on
    return (
        [example for example in examples if fingerprint(example.path) not in trained_on] if trained_on else [*examples]
    )
