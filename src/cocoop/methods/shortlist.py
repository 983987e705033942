"""Conditional prompts on each image's likeliest classes only: cheaper, and approximate."""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from cocoop.errors import InputError
from cocoop.methods.base import Method
from cocoop.methods.prompt_method import ConditionalPrompts


class Shortlist:
    """A conditional method that computes the conditional logits of each image's best `size` classes and of no others.

    All K classes are ranked by one prompt for every image, whose text features are computed once: that with the mean
    context of a sample of images, or without a sample that without pi, which ranks worse. Then the image's own prompts
    are encoded for the first `size` classes. Those logits are the method's, up to rounding; the other classes get -inf,
    so probabilities are normalised over the shortlist.

    That is approximate: where the ranking drops the class that CoCoOp would choose, another one is chosen, and every
    probability on the shortlist is at least CoCoOp's. With `size` >= K nothing is dropped and the model itself runs.

    Made for the classes and the context that `model` has now: make another after `set_classes` or training.

    Args:
        model: a `CoCoOp`, or another method with conditional prompts.
        size: how many classes to keep per image, at least 1.
        sample: unit-norm features [N, E] of images such as those to come, N >= 1, or None.

    Raises:
        InputError: a method without a conditional prompt, or a size that is no number of classes.
    """

    conditional: ClassVar[bool] = True

    def __init__(self, model: Method, size: int, sample: Tensor | None = None) -> None:
        if not hasattr(size, "__index__") or size < 1:
            raise InputError(
                f"shortlist: expected a number of classes, at least 1, such as 20; got {size!r}. Leave it out for "
                "exact inference."
            )
        if not isinstance(model, ConditionalPrompts):
            raise InputError(
                f"shortlist: expected a conditional prompt, which is computed anew for every image; got "
                f"{type(model).__name__}, whose text features are the same for all images, so that a shortlist would "
                "save nothing. Leave it out."
            )
        self.model, self.clip = model, model.clip
        self.class_names = list(model.class_names)
        self.size = min(size, len(self.class_names))
        self._sample = sample

    @cached_property
    def _ranking(self) -> Tensor:
        with self.clip.products():
            return self.model.shared_text_features(self._sample)

    @property
    def exact(self) -> bool:
        """Whether all classes are on every shortlist, so that nothing is approximate."""
        return self.size == len(self.class_names)

    def describe(self) -> str:
        """What it is, in one line."""
        if self.exact:
            return "exact inference, since all classes are on the shortlist"
        return f"a shortlist of {self.size} is approximate, and probabilities are normalised over the shortlist"

    def classes(self, image_features: Tensor) -> Tensor:
        """The shortlists: unit-norm image features [B, E] -> class numbers [B, size] int64, likeliest first.

        Of equally likely classes the first comes first.
        """
        self.model.expect_features(image_features)
        logits = self.model.logits(image_features, self._ranking)
        return logits.sort(dim=1, descending=True, stable=True).indices[:, : self.size]

    @torch.no_grad()
    def logits(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K], -inf for classes that are not on the image's shortlist."""
        if self.exact:
            exact: Tensor = self.model(image_features)
            return exact
        classes = self.classes(image_features)
        logits = image_features.new_full((len(image_features), len(self.class_names)), -math.inf)
        # One image at a time: images share hardly any classes, and 20 prompts fill a matrix product of a CPU already.
        for b, kept in enumerate(classes.tolist()):
            image = image_features[b : b + 1]
            with self.clip.products():
                features = self.model.text_features_of(image, kept)
            logits[b, classes[b]] = self.model.logits(image, features)[0]
        return logits

    def probabilities(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> class probabilities [B, K]; rows sum to 1, 0 beyond the shortlist."""
        return self.logits(image_features).softmax(dim=-1)
