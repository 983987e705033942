"""What training, evaluation, classifier and protocols know of a method: image features in, logits out."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.class_names import check_spelling, listed
from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_choice
from cocoop.shapes import expect_shape

OPTIMIZERS = ("sgd", "adam", "adamw")
"""With momentum; with betas 0.9 and 0.999; with the weight decay beside the gradient instead of in it."""

SCHEDULES = ("warm-up", "cosine")
"""One epoch at 1e-5, then half a cosine; half a cosine from the first epoch."""


@dataclass(frozen=True)
class Recipe:
    """How a method's paper trains it with 16 images per class.

    epochs: passes over the images. batch_size: images per step. lr: the learning rate at the top of the schedule.
    momentum: of SGD. weight_decay: on every learned tensor. optimizer: a name in `OPTIMIZERS`. eps: of Adam and AdamW.
    schedule: a name in `SCHEDULES`. views: how many random crops and flips of an image are taken in turn; None is one
    per epoch. `InputError` for another optimizer or schedule.
    """

    epochs: int
    batch_size: int
    lr: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 5e-4
    optimizer: str = "sgd"
    eps: float = 1e-8
    schedule: str = "warm-up"
    views: int | None = None

    def __post_init__(self) -> None:
        expect_choice("optimizer", self.optimizer, OPTIMIZERS)
        expect_choice("schedule", self.schedule, SCHEDULES)

    @property
    def optimizer_settings(self) -> dict[str, Any]:
        """The optimiser and its numbers, but for the rate, by name."""
        return {name: getattr(self, name) for name in ("optimizer", "momentum", "weight_decay", "eps")}


class Searched(NamedTuple):
    """How a method chose settings of its own on validation images.

    tried: how many choices. settings: the best of them; of equal ones the first. accuracy: with it, on these images, in
    percent. before: with the settings as they were.
    """

    tried: int
    settings: dict[str, Any]
    accuracy: float
    before: float


class Method(nn.Module, ABC):
    """A classifier on top of a frozen CLIP.

    Its parameters, and so its state dict, are exactly what it learns; the CLIP is not part of it. A subclass's
    `__init__` calls `super().__init__(clip, class_names)` first, and `self.take_classes()` last, unless the class above
    does; its further arguments are its settings, all with defaults, which `settings` gives back.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space in prompts. Two may be equal (ImageNet's list has such a
            pair); they always get the same probability.
    """

    recipe: ClassVar[Recipe | None] = None
    """How its paper trains it; None where nothing is learned."""
    conditional: ClassVar[bool] = False
    """Whether the text features depend on the image."""
    bound: str | None = None
    """Why it classifies only into the classes it was trained on; None where it takes others."""
    reads_names: ClassVar[bool] = True
    """Whether it matters what the classes are called; not to one without text."""
    class_weights: Tensor | None = None
    """How much an image of each class counts in the loss, [K], during a training with `class_weights`; else None."""

    def __init__(self, clip: CLIP, class_names: Sequence[str]) -> None:
        super().__init__()
        self.clip = clip
        self.class_names: list[str] = listed(class_names)
        check_spelling(self.class_names)

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again: numbers, texts, lists, None."""

    @classmethod
    def setting_defaults(cls) -> dict[str, Any]:
        """Every setting that the constructor takes -> its default; `**others` stand for those of the class above."""
        defaults: dict[str, Any] = {}
        for above in cls.__mro__:
            if "__init__" not in vars(above):
                continue
            taken = inspect.signature(vars(above)["__init__"]).parameters.values()
            named = [p for p in taken if p.name not in ("self", "clip", "class_names") and p.kind != p.VAR_KEYWORD]
            defaults = {parameter.name: parameter.default for parameter in named} | defaults
            if all(parameter.kind != parameter.VAR_KEYWORD for parameter in taken):
                break
        return defaults

    @classmethod
    def learns(cls) -> bool:
        """Whether images change it: in training, or before that in `prepare`."""
        return cls.recipe is not None or cls.prepares()

    @classmethod
    def prepares(cls) -> bool:
        """Whether it has a `prepare` of its own, which needs all training images at once."""
        return cls.prepare is not Method.prepare

    @classmethod
    def searches(cls) -> bool:
        """Whether it has a `search` of its own."""
        return cls.search is not Method.search

    @classmethod
    def divides(cls) -> bool:
        """Whether gradients of parts of a batch add up to those of the whole: not where it has its own `gradients`."""
        return cls.gradients is Method.gradients

    @classmethod
    def template_settings(cls, template: str) -> dict[str, Any]:
        """The settings with which prompts are in a data set's own words, such as "a photo of a {}, a type of pet.".

        Here none: what is learned takes the words' place.
        """
        return {}

    @property
    def trainable_parameters(self) -> int:
        """How many numbers the method learns."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    @abstractmethod
    def take_classes(self) -> None:
        """Make ready for `self.class_names`: called by `set_classes`, and last in a subclass's `__init__`.

        Raises:
            InputError: a name that cannot work, such as one too long for the context length; then nothing may change.
        """

    def set_classes(self, class_names: Sequence[str]) -> Self:
        """Keep what was learned and classify into these K classes instead.

        Raises:
            InputError: no list of names, an empty one, or one too long for the context length; or other classes than it
                was trained on, where it is `bound` to those.
        """
        names = listed(class_names)
        check_spelling(names)
        if self.bound is not None and names != self.class_names:
            raise InputError(
                f"classes: expected the classes it was trained on, because {self.bound}; got others. Train again "
                "on those, or choose a method that takes new classes."
            )
        before, self.class_names = self.class_names, names
        try:
            with torch.inference_mode(False):  # it may be trained on
                self.take_classes()
        except BaseException:  # an interrupt, too, may not leave new names with old prompts
            self.class_names = before
            raise
        return self

    def prepare(self, image_features: Tensor, labels: Tensor) -> None:
        """Called once before training, with the training images' features [N, E] and classes [N]; does nothing here."""

    def search(self, image_features: Tensor, labels: Tensor) -> Searched:
        """Choose settings by the accuracy on validation images, and take them; called once, after the training.

        Here there is nothing to choose, and nobody calls it.

        Args:
            image_features: [V, E] of images that were not learned from.
            labels: [V] their classes.
        """
        raise NotImplementedError

    @abstractmethod
    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""

    def text_features(self, image_features: Tensor) -> Tensor | None:
        """The text features that images [B, E] are compared with, [B, K, E] or [1, K, E]; None where they are no such.

        Here None: what classifies is learned beside the text, or from it.
        """
        return None

    def context_vectors(self) -> Tensor | None:
        """What is learned in the place of a prompt's words: [M, D], or [K, M, D] where each class has a context.

        Here None: there is no prompt, or one of words alone.
        """
        return None

    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What training makes small, a scalar, and the logits [B, K]: here `cross_entropy`."""
        logits: Tensor = self(image_features)
        return self.cross_entropy(logits, labels), logits

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """mean_b(w[y_b] * -log softmax(logits_b)[y_b]) of logits [B, K] and classes y [B], with w the `class_weights`.

        The mean is over the images. torch's weighted mean divides by the sum of the batch's weights instead, where the
        weight of a batch of one image, CoCoOp's, would cancel.
        """
        if self.class_weights is None:
            return F.cross_entropy(logits, labels)
        return (self.class_weights[labels] * F.cross_entropy(logits, labels, reduction="none")).mean()

    @contextmanager
    def weighing(self, class_weights: Sequence[float] | None) -> Iterator[None]:
        """A context in which the loss has these `class_weights` [K]; None is none, as outside.

        `InputError` unless there is a number of 0 or more for each class.
        """
        if class_weights is not None:
            _check_weights(class_weights, len(self.class_names))
            dtype = torch.promote_types(self.clip.dtype, torch.float32)
            self.class_weights = torch.tensor(class_weights, dtype=dtype, device=self.clip.device)
        try:
            yield
        finally:
            self.class_weights = None

    def gradients(
        self, image_features: Tensor, labels: Tensor, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Loss, logits, and the gradient of scale * loss for each trainable parameter, in their order.

        Here by autograd of `loss`. `scale` is a scalar tensor where float16 needs one, else None, which is 1. A
        parameter that the loss does not reach has a gradient of zero.
        """
        loss, logits = self.loss(image_features, labels)
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        with self.clip.products():
            gradients = torch.autograd.grad(loss if scale is None else loss * scale, learned, materialize_grads=True)
        return loss.detach(), logits.detach(), list(gradients)

    @torch.no_grad()
    def probabilities(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> class probabilities [B, K]; rows sum to 1. Takes no gradient."""
        probabilities: Tensor = self(image_features).softmax(dim=-1)
        return probabilities

    def expect_features(self, image_features: Tensor) -> None:
        """`InputError` unless these are image features [B, E] of the CLIP."""
        expect_shape("image_features", image_features, B=None, E=self.clip.embed_dim)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Refuse what `to`, `double`, `cuda` and their like would change: the learned tensors stay with the CLIP."""
        # Also where nothing is learned: what a method keeps of its CLIP would not move.
        kept = torch.empty(0, device=self.clip.device, dtype=torch.promote_types(self.clip.dtype, torch.float32))
        for name, tensor in [*self.named_parameters(), ("what it keeps", kept)]:
            moved = fn(tensor.detach())
            if (moved.device, moved.dtype) != (tensor.device, tensor.dtype):
                raise InputError(
                    f"{type(self).__name__}: expected to stay with its CLIP, {name} in {tensor.dtype} on "
                    f"{tensor.device}; got a move to {moved.dtype} on {moved.device}. Load the CLIP with the "
                    "device and dtype you want, and build the method on it."
                )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _check_weights(class_weights: Sequence[float], classes: int) -> None:
    if len(class_weights) != classes or not all(0 <= weight < math.inf for weight in class_weights):
        raise InputError(
            f"class_weights: expected a number of 0 or more for each of {classes} classes; got "
            f"{shortened(list(class_weights))}."
        )
