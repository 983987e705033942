"""A user's own images: learn from a few per class, score on the test split or all the others, beside zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from cocoop.classifier import Classifier
from cocoop.data import Dataset, Example, ImageError, check_images, fingerprint, split_hash
from cocoop.errors import InputError
from cocoop.evaluation import score
from cocoop.features import Features, fingerprints, read_pictures
from cocoop.fitting import BeforeTraining
from cocoop.methods import BASELINE
from cocoop.progress import progress
from cocoop.protocols.cautions import cautions, for_photographs, in_two_classes
from cocoop.results import Run
from cocoop.rgb import Exif


class OwnRun(NamedTuple):
    """A run on a user's own images, and what to know beside its figures, a line each (`cautions`)."""

    run: Run
    notes: list[str]


def fit_and_score(classifier: Classifier, dataset: Dataset) -> OwnRun:
    """Fit on the classifier's shots of the training split; score on the test split, beside zero-shot.

    Without a test split, the training images that were not learned from are scored. The classes are those of the
    data set, in its order. Each image that is scored is opened once.

    Returns:
        The run as `Classifier.as_run` has it, with predictions. Its record's results and zero_shot have the figures of
        "test": of the method, and of the data set's own template on the same images; both are empty where no image is
        left to score. Beside it notes on what the figures do not say.

    Raises:
        InputError: what `fit` refuses; no training images; images that do not decode, scored ones too, before any
            training.
    """
    if not dataset.train:
        raise InputError(
            f"{dataset.name}: expected images to learn from; it has test images only. Learn from others, then score "
            f"on it: cocoop evaluate RUN {dataset.name}"
        )
    test = _Test(dataset, classifier.exif)
    images, labels = [example.path for example in dataset.train], [example.label for example in dataset.train]
    try:
        classifier.fit(images, labels, dataset.class_names, test.encode)
    except ImageError:
        paths = [example.path for example in dataset.test or dataset.train]
        check_images(paths, lambda paths: progress(paths, "checking images", unit=" images"))
        raise
    run = classifier.as_run()
    picked = [dataset.train[index] for index in classifier.picked_]
    record = replace(
        run.record, dataset=dataset.name, split_hash=split_hash(picked, dataset.image_root) if picked else None
    )
    if test.examples:
        baseline = BASELINE(classifier.clip_, dataset.class_names, **BASELINE.template_settings(dataset.template))
        learned, beside = (score(model, test.features, test.examples) for model in (classifier.model_, baseline))
        record = replace(
            record,
            results={"test": replace(learned.figures, dataset=dataset.name, exif=classifier.exif)},
            zero_shot={"test": replace(beside.figures, dataset=dataset.name, exif=classifier.exif)},
        )
        run.predictions.update({f"test/{name}": values for name, values in learned.predictions.items()})
    told = [*zip(classifier.fit_.trained_on, picked, strict=True), *test.told]
    notes = [*in_two_classes(told), *cautions(classifier, dataset, record, test.trained_on)]
    notes += for_photographs(classifier.clip_.name, [dataset])
    return OwnRun(run._replace(record=record), notes)


class _Test:
    """The images to score, encoded before any training, so that a damaged one is known by then.

    told: the `fingerprint` of each, and of those that are left out as copies of what is learned from.
    """

    features: Features

    def __init__(self, dataset: Dataset, exif: Exif) -> None:
        self.dataset, self.exif, self.trained_on = dataset, exif, 0
        self.examples: list[Example] = []
        self.told: list[tuple[str, Example]] = []

    def encode(self, known: BeforeTraining) -> None:
        """Encode the test split, or else the images that are not learned from, nor copies of such."""
        trained_on = {bytes.fromhex(fingerprint) for fingerprint in known.trained_on}
        picked, test = set(known.picked), self.dataset.test
        examples = test or [image for number, image in enumerate(self.dataset.train) if number not in picked]
        paths = [example.path for example in examples]
        leave_out = () if test else trained_on
        encoded = read_pictures(known.clip, paths, known.store, leave_out, exif=self.exif)
        self.examples, self.features = [examples[number] for number in encoded.kept], encoded.features
        self.told = list(zip(fingerprints(paths, encoded.contents), examples, strict=True))
        if test:
            self.trained_on = sum(fingerprint in known.trained_on for fingerprint, _ in self.told)


def not_trained_on(classifier: Classifier, examples: Sequence[Example]) -> list[Example]:
    """Those examples whose image was not among the classifier's training images, wherever its file lies."""
    trained_on = classifier.trained_on
    return (
        [example for example in examples if fingerprint(example.path) not in trained_on] if trained_on else [*examples]
    )
