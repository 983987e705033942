"""A learned prompt scored on labelled images, and what to know beside the figures."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from cocoop.classifier import Classifier
from cocoop.data import Dataset, fingerprint
from cocoop.errors import InputError
from cocoop.evaluation import Agreement, Metrics, evaluate
from cocoop.evaluation import verify as compared
from cocoop.labels import number_labels
from cocoop.methods import BASELINE, Calibrated, Inference, Method
from cocoop.protocols.cautions import for_photographs, half_calibrated, in_two_classes, untested, worse_than_zero_shot
from cocoop.protocols.own_images import not_trained_on


class Evaluated(NamedTuple):
    """The figures, those of both kinds of inference where they were compared, and notes beside them, a line each.

    used: what classified.
    """

    metrics: Metrics
    agreement: Agreement | None
    notes: list[str]
    used: Inference


def evaluate_on(
    classifier: Classifier,
    dataset: Dataset,
    shortlist: int | None = None,
    inference: str = "exact",
    verify: bool = False,
    include_training: bool = False,
) -> Evaluated:
    """Score a classifier on the test split, or on all images where there is none. Each is encoded once.

    Args:
        classifier: fitted, and set to the classes to choose from.
        dataset: whose images; their classes are among the classifier's.
        shortlist: as in `Classifier.predict_proba`.
        inference: as in `Classifier.predict_proba`.
        verify: whether to classify exactly, too, and compare; for approximate inference.
        include_training: whether images that it learned from, or was validated on, are scored as well.

    Raises:
        InputError: as `Classifier.evaluate`, or all images were learned from.
    """
    examples = dataset.test or dataset.train
    told = cache(fingerprint)
    scored = examples if include_training else not_trained_on(classifier, examples, told)
    if not scored:
        raise InputError(
            f"{dataset.name}: expected images that the run was not trained on; all {len(examples)} were. Give other "
            "images, or add --include-training."
        )
    names, model = classifier.model_.class_names, classifier.inference(shortlist, inference)
    labels = number_labels(classifier.classes_, [example.label for example in scored], dataset.class_names)
    features = classifier.encode([example.path for example in scored])
    agreement = None
    approximation = model.model if isinstance(model, Calibrated) else model
    if verify and not isinstance(approximation, Method):
        agreement = compared(approximation, features, labels, classifier.temperature)
    metrics = agreement.approximate if agreement else evaluate(model, features, labels)
    notes = [*in_two_classes((told(example.path), example) for example in scored), *untested(metrics, names)]
    notes += for_photographs(classifier.clip_.name, [dataset], "train with")
    if len(scored) < len(examples):
        how = "trained or validated on" if classifier.validated_on else "trained on"
        notes.append(f"left out {len(examples) - len(scored):,} images that the run was {how}")
    notes += half_calibrated(classifier.calibration_, dataset)
    if classifier.fit_.learning is not None:
        baseline = BASELINE(classifier.clip_, names, **BASELINE.template_settings(dataset.template))
        notes += worse_than_zero_shot(classifier.fit_.learning, metrics, evaluate(baseline, features, labels))
    return Evaluated(metrics, agreement, notes, model)
