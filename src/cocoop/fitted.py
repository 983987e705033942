"""`FittedClassifier`: what a classifier does with what it has learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from cocoop.arguments import Pictures, check_weights, labelled_pictures, pictures_of
from cocoop.clip import CLIP
from cocoop.errors import InputError, NotFittedError, expect_choice
from cocoop.evaluation import (
    Agreement,
    Metrics,
    class_probabilities,
    evaluate,
    fit_temperature,
    predict_logits,
    verify,
)
from cocoop.features import StoredFeatures, encode_pictures, read_pictures
from cocoop.fitting import Fit, feature_store
from cocoop.labels import new_classes, number_labels
from cocoop.methods import Approximation, Inference, Method, TangentPrompts, at_temperature, inference_of
from cocoop.results import Calibration, Epoch
from cocoop.rgb import EXIF, Exif


class FittedClassifier:
    """Classifies images; `Classifier`, its subclass, is what learns, is kept, and documents these attributes."""

    model_: Method
    clip_: CLIP
    classes_: NDArray[Any]
    fit_: Fit
    feature_cache: str | PathLike[str] | None
    exif: Exif

    def predict_proba(
        self, images: Pictures, shortlist: int | None = None, inference: str = "exact"
    ) -> NDArray[np.float64]:
        """Class probabilities [N, K] float64 of pictures; columns as in `classes_`.

        Args:
            images: [N] image files, Pillow images or arrays [H, W, 3] of uint8.
            shortlist: approximate, on each image's likeliest classes alone, with conditional prompts only; see
                `Shortlist`. None is all classes.
            inference: "exact", or "tangent", approximate and verified, with conditional prompts only, for hundreds of
                images or more; see `TangentPrompts`, which are made at the first call for a list of classes.
        """
        self._fitted()
        pictures = pictures_of(images)
        return class_probabilities(self.inference(shortlist, inference), self.encode(pictures))

    def predict(self, images: Pictures, shortlist: int | None = None, inference: str = "exact") -> NDArray[Any]:
        """[N] the most probable class of each image, as in `classes_`; the arguments are those of `predict_proba`."""
        best = self.predict_proba(images, shortlist, inference).argmax(axis=1)
        predicted: NDArray[Any] = self.classes_[best]
        return predicted

    def evaluate(
        self,
        images: Pictures,
        labels: Sequence[Any],
        class_names: Sequence[str] | None = None,
        shortlist: int | None = None,
        inference: str = "exact",
    ) -> Metrics:
        """Accuracy, macro-F1, per-class accuracy and calibration error, in percent, on labelled images.

        Args:
            images: [N] image files, Pillow images or arrays [H, W, 3] of uint8.
            labels: [N] members of `classes_`.
            class_names: if given, `labels` are numbers into this list, as in `fit`.
            shortlist: as in `predict_proba`.
            inference: as in `predict_proba`.

        Raises:
            InputError: a label that is not among `classes_`; `set_classes` first for other classes.
        """
        self._fitted()
        pictures = labelled_pictures(images, labels)
        numbers, model = number_labels(self.classes_, labels, class_names), self.inference(shortlist, inference)
        return evaluate(model, self.encode(pictures), numbers)

    def verify(
        self,
        images: Pictures,
        labels: Sequence[Any],
        class_names: Sequence[str] | None = None,
        shortlist: int | None = None,
        inference: str = "exact",
    ) -> Agreement:
        """`evaluate` both approximately and exactly, on images encoded once, and compare; the same errors."""
        self._fitted()
        pictures = labelled_pictures(images, labels)
        numbers = number_labels(self.classes_, labels, class_names)
        approximation = self._chosen(shortlist, inference)
        if isinstance(approximation, Method):
            raise InputError("verify: expected a shortlist, or tangent for inference, to compare with exact inference.")
        return verify(approximation, self.encode(pictures), numbers, self.temperature)

    def score(
        self,
        images: Pictures,
        labels: Sequence[Any],
        sample_weight: Sequence[float] | None = None,
        shortlist: int | None = None,
        inference: str = "exact",
    ) -> float:
        """The share of images that are classified as labelled, 0..1; arguments and errors as in `evaluate`.

        `sample_weight`: [N] how much each image counts, 0 or more; None counts all the same.
        """
        if sample_weight is None:
            return self.evaluate(images, labels, None, shortlist, inference).accuracy / 100
        self._fitted()
        pictures = labelled_pictures(images, labels)
        numbers, weights = number_labels(self.classes_, labels), check_weights(sample_weight, len(pictures))
        hits = self.predict_proba(pictures, shortlist, inference).argmax(axis=1) == np.asarray(numbers)
        return float(np.average(hits, weights=weights))

    def calibrate(self, images: Pictures, labels: Sequence[Any], class_names: Sequence[str] | None = None) -> Self:
        """Fit one temperature, so that probabilities say how often the class is right; the top class stays the same.

        Of images that it did not learn from: files that it learned from are left out. From then on `predict_proba` and
        all that comes of it are calibrated, in other classes and with a shortlist, too, until another `fit` or
        `calibrate`. `save` keeps it. `model_` gives the logits as they were.

        Args:
            images: [N] image files, Pillow images or arrays [H, W, 3] of uint8, 10 or more.
            labels: [N] members of `classes_`.
            class_names: if given, `labels` are numbers into this list, as in `fit`.

        Raises:
            InputError: labels that are not among `classes_`, too few images or of one class only, or no temperature
                that fits best; see `fit_temperature`.

        Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
        """
        fit = self._fitted()
        pictures = labelled_pictures(images, labels)
        numbers = number_labels(self.classes_, labels, class_names)
        store = feature_store(self.feature_cache, self.clip_)
        trained_on = {bytes.fromhex(fingerprint) for fingerprint in fit.trained_on}
        encoded = read_pictures(self.clip_, pictures, store, trained_on, exif=self.exif)
        kept = [numbers[i] for i in encoded.kept]
        temperature, interval = fit_temperature(predict_logits(self.model_, encoded.features), kept)
        calibration = Calibration(
            temperature=temperature, interval=interval, images=len(kept), classes=len(self.classes_)
        )
        self.fit_ = replace(fit, calibration=calibration)
        return self

    def encode(self, images: Pictures) -> Tensor | StoredFeatures:
        """Image features [N, E], unit norm, without augmentation; those that `feature_cache` holds are read from it."""
        self._fitted()
        expect_choice("exif", self.exif, EXIF)
        store = feature_store(self.feature_cache, self.clip_)
        return encode_pictures(self.clip_, pictures_of(images), store, self.exif)

    def set_classes(self, class_names: Iterable[Any], allow_equal: bool = False) -> Self:
        """Classify into these classes from now on, with what was learned on the old ones.

        Args:
            class_names: [K] names, in an order that stays: a list, or anything but a set that can be made one.
            allow_equal: whether two names may read the same in a prompt, as two of ImageNet's do.
        """
        self._fitted()
        classes, names = new_classes(class_names, allow_equal)
        self.model_.set_classes(names)
        self.classes_ = classes
        return self

    @property
    def sample_(self) -> Tensor | None:
        """Unit-norm features [N, E] of some training images; None where prompts are not conditional, or of old runs."""
        kept = self._fitted().sample
        return None if kept is None else normalize(torch.from_numpy(kept).to(self.clip_.device).float(), dim=-1)

    @property
    def trained_on(self) -> frozenset[str]:
        """The `fingerprint` of every training image that is a file, which is one of its bytes, not of its name."""
        return frozenset(self._fitted().trained_on)

    @property
    def validated_on(self) -> frozenset[str]:
        """The same of the validation images."""
        return frozenset(self._fitted().validated_on)

    @property
    def history_(self) -> list[Epoch]:
        """One `Epoch` per epoch of the fit."""
        return self._fitted().history

    @property
    def picked_(self) -> list[int]:
        """Indices into the fit's `images` of those it learned from."""
        return self._fitted().picked

    @property
    def seconds_(self) -> float | None:
        """Wall-clock time of the fit; None of an imported prompt."""
        return self._fitted().seconds

    @property
    def calibration_(self) -> Calibration | None:
        """How its probabilities are calibrated, if they are."""
        return self._fitted().calibration

    def inference(self, shortlist: int | None = None, inference: str = "exact") -> Inference:
        """What `predict_proba` takes probabilities from; tangent prompts are kept until classes or tensors change."""
        return at_temperature(self._chosen(shortlist, inference), self.temperature)

    def _chosen(self, shortlist: int | None, inference: str) -> Method | Approximation:
        """The same, not calibrated."""
        sample = self.sample_
        tangent: TangentPrompts | None = getattr(self, "_tangent", None)
        if inference == "tangent" and shortlist is None and tangent is not None and tangent.holds(self.model_):
            return tangent
        chosen = inference_of(self.model_, inference, shortlist, sample)
        if isinstance(chosen, TangentPrompts):
            self._tangent = chosen
        return chosen

    @property
    def temperature(self) -> float | None:
        """What the logits are divided by, if it is calibrated."""
        return None if self.calibration_ is None else self.calibration_.temperature

    def _fitted(self) -> Fit:
        fit: Fit | None = getattr(self, "fit_", None)
        if fit is None:
            raise self._not_fitted(
                f"{type(self).__name__}: expected a fitted classifier. Call fit(images, labels) first."
            )
        return fit

    _not_fitted: type[NotFittedError] = NotFittedError
