"""A learned prompt calibrated on images that it did not learn from, and scored before and after on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, cast

from cocoop.classifier import Classifier
from cocoop.data import Dataset, Example, fingerprint, halves, labelled
from cocoop.errors import InputError
from cocoop.evaluation import LEAST, calibration_figures, predict_logits
from cocoop.labels import number_labels
from cocoop.protocols.own_images import not_trained_on
from cocoop.results import Calibration

_SEED = 1
"""Of the halves: the same images for every run, so that its figures can be compared."""


Part = Literal["val", "train", "half"]


class Parts(NamedTuple):
    """Images that a classifier did not learn from: those to fit on, which they are, and others to score."""

    fit: list[Example]
    part: Part
    others: list[Example]


def calibrate(classifier: Classifier, dataset: Dataset) -> Calibration:
    """`Classifier.calibrate` on images of the data set that were not learned from; figures on others that were not.

    Raises:
        InputError: as `Classifier.calibrate`, and a half that is too small.
    """
    parts, names = parts_of(classifier, dataset), dataset.class_names
    classifier.calibrate(*labelled(parts.fit), names)
    fitted = cast(Calibration, classifier.calibration_)
    paths, labels = labelled(parts.others)
    logits = predict_logits(classifier.model_, classifier.encode(paths))
    scored = (logits, number_labels(classifier.classes_, labels, names), classifier.model_.class_names)
    calibration = replace(
        fitted,
        dataset=dataset.name,
        part=parts.part,
        others=len(paths),
        before=calibration_figures(*scored, temperature=1.0),
        after=calibration_figures(*scored, temperature=fitted.temperature),
    )
    classifier.fit_ = replace(classifier.fit_, calibration=calibration)
    return calibration


def parts_of(classifier: Classifier, dataset: Dataset) -> Parts:
    """The val split, or else what is left of the training split, to fit on, and the test split to score.

    Where there is no test split, or too little beside it, halves of all that was not learned from. No picture that is
    scored, nor a copy of it, is fitted on.
    """
    told, splits = cache(fingerprint), (dataset.train, dataset.val, dataset.test)
    train, val, test = (not_trained_on(classifier, split, told) for split in splits)
    beside: tuple[tuple[Part, list[Example]], ...] = (("val", val), ("train", train)) if test else ()
    for part, examples in beside:
        fit = _without_copies(examples, test, told)
        if len(fit) >= LEAST:
            return Parts(fit, part, test)
    fit, others = halves([*train, *val, *test], _SEED)
    fit = _without_copies(fit, others, told)
    if len(fit) < LEAST:
        raise InputError(
            f"calibration: expected {LEAST} labelled images or more to fit on, a half of those that were not learned "
            f"from; got {len(fit)} of {len(fit) + len(others)}. Add images, or learn from fewer (--shots)."
        )
    return Parts(fit, "half", others)


def _without_copies(
    examples: Sequence[Example], others: Sequence[Example], told: Callable[[Path], str]
) -> list[Example]:
    """Those whose file's bytes are not those of one of the others."""
    scored = {told(example.path) for example in others}
    return [example for example in examples if told(example.path) not in scored]
