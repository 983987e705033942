"""A user's own images: learn from a few per class, score on the test split or all the others, beside zero-shot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.arguments import check_parameters, check_validation
from cocoop.callbacks import Callback
from cocoop.classifier import Classifier
from cocoop.data import Dataset, Example, ImageError, check_images, fingerprint, labelled, split_hash
from cocoop.errors import InputError
from cocoop.evaluation import score
from cocoop.features import Features, fingerprints, read_together
from cocoop.fitting import BeforeTraining
from cocoop.loggers import reporting
from cocoop.methods import BASELINE
from cocoop.progress import progress
from cocoop.protocols.cautions import cautions, for_photographs, in_two_classes
from cocoop.protocols.held_out import HeldOut, held_out
from cocoop.results import Run
from cocoop.rgb import Exif
from cocoop.training import EVERY


class OwnRun(NamedTuple):
    """A run on a user's own images, and what to know beside its figures, a line each (`cautions`)."""

    run: Run
    notes: list[str]


def fit_and_score(
    classifier: Classifier,
    dataset: Dataset,
    validate: bool = False,
    report_to: Sequence[str] = (),
    checkpoint: Path | None = None,
    checkpoint_every: int | str = EVERY,
) -> OwnRun:
    """Fit on the classifier's shots of the training split; score on the test split, beside zero-shot.

    Without a test split, the training images that were not learned from are scored. The classes are those of the
    data set, in its order. Each image that is scored is opened once.

    Args:
        classifier: what is fitted.
        dataset: where its images come from.
        validate: whether the training is watched on images that are `held_out`, which are never scored.
        report_to: loggers that are told the accuracies, too; see `Classifier.fit`.
        checkpoint: the file that the training keeps its state in; see `Classifier.fit`.
        checkpoint_every: how often inside an epoch; see there, too.

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
    check_parameters(vars(classifier))
    check_validation(vars(classifier), validate)
    held = held_out(dataset, classifier.shots, classifier.seed) if validate else None
    test = _Test(dataset, classifier.exif, held)
    with reporting(report_to) as reports:
        state = {"checkpoint": checkpoint, "checkpoint_every": checkpoint_every}
        _fit(classifier, dataset, held, test, reports, state)
        run = _scored(classifier, dataset, test)
        results, beside = run.record.results, run.record.zero_shot
        accuracies = {f"{test}_accuracy": figures.accuracy for test, figures in results.items()}
        accuracies |= {f"{test}_accuracy_of_zero_shot": figures.accuracy for test, figures in beside.items()}
        for report in reports:
            report.on_fit_end(accuracies)
    picked = [dataset.train[position] for position in run.record.picked]
    told = [*zip(classifier.fit_.trained_on, picked, strict=True), *test.told]
    notes = [*in_two_classes(told), *cautions(classifier, dataset, run.record, test.trained_on, test.validated_on)]
    notes += for_photographs(classifier.clip_.name, [dataset])
    return OwnRun(run, notes)


def _fit(
    classifier: Classifier,
    dataset: Dataset,
    held: HeldOut | None,
    test: _Test,
    callbacks: Sequence[Callback],
    state: Mapping[str, Any],
) -> None:
    given: dict[str, Any] = {"callbacks": callbacks, **state}
    given["validation"] = None if held is None else labelled(held.examples)
    images, labels = labelled([dataset.train[position] for position in test.given])
    try:
        classifier.fit(images, labels, dataset.class_names, test.encode, **given)
    except ImageError:
        paths = [example.path for example in dataset.test or dataset.train]
        check_images(paths, lambda paths: progress(paths, "checking images", unit=" images"))
        raise


def _scored(classifier: Classifier, dataset: Dataset, test: _Test) -> Run:
    """The run with the figures and predictions of what is scored, if anything is."""
    run = classifier.as_run()
    positions = [test.given[index] for index in classifier.picked_]
    picked = [dataset.train[position] for position in positions]
    of_split = split_hash(picked, dataset.image_root) if picked else None
    record = replace(run.record, dataset=dataset.name, split_hash=of_split, picked=positions)
    if test.examples:
        baseline = BASELINE(classifier.clip_, dataset.class_names, **BASELINE.template_settings(dataset.template))
        learned, beside = (score(model, test.features, test.examples) for model in (classifier.model_, baseline))
        record = replace(
            record,
            results={"test": replace(learned.figures, dataset=dataset.name, exif=classifier.exif)},
            zero_shot={"test": replace(beside.figures, dataset=dataset.name, exif=classifier.exif)},
        )
        run.predictions.update({f"test/{name}": values for name, values in learned.predictions.items()})
    return run._replace(record=record)


class _Test:
    """The images to score, encoded before any training, so that a damaged one is known by then.

    given: the positions in the training split of what the fit may pick from.
    told: the `fingerprint` of each, and of those that are left out as copies of what is learned from or validated on.
    trained_on, validated_on: how many images of the test split are such copies; of the latter all are left out.
    """

    features: Features

    def __init__(self, dataset: Dataset, exif: Exif, held: HeldOut | None) -> None:
        self.dataset, self.exif, self.trained_on, self.validated_on = dataset, exif, 0, 0
        self.given = list(range(len(dataset.train))) if held is None else held.given
        self._held = frozenset[int]() if held is None else held.positions
        self.examples: list[Example] = []
        self.told: list[tuple[str, Example]] = []

    def encode(self, known: BeforeTraining) -> None:
        """Encode the test split, or else the images that are not learned from, validated on, nor copies of such."""
        used, test = {*(self.given[index] for index in known.picked), *self._held}, self.dataset.test
        examples = test or [image for number, image in enumerate(self.dataset.train) if number not in used]
        paths = [example.path for example in examples]
        copies = known.validated_on if test else known.validated_on | known.trained_on
        leave_out = {bytes.fromhex(fingerprint) for fingerprint in copies}
        encoded = read_together(known.ranks, known.clip, paths, known.store, leave_out, exif=self.exif)
        self.examples, self.features = [examples[number] for number in encoded.kept], encoded.features
        self.told = list(zip(fingerprints(paths, encoded.contents), examples, strict=True))
        if test:
            self.trained_on = sum(fingerprint in known.trained_on for fingerprint, _ in self.told)
            self.validated_on = len(test) - len(self.examples)


def not_trained_on(
    classifier: Classifier, examples: Sequence[Example], told: Callable[[Path], str] = fingerprint
) -> list[Example]:
    """Those examples whose image was neither learned from nor validated on, wherever its file lies.

    `told` gives the `fingerprint` of a file, which a caller who asks again may remember.
    """
    seen = classifier.trained_on | classifier.validated_on
    return [example for example in examples if told(example.path) not in seen] if seen else [*examples]
