"""What every method is: class names and a frozen CLIP in, logits out. `p(y|x) = softmax_i(cos(x, t_i) / tau)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cocoop.class_names import check_spelling
from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.shapes import expect_shape


class PromptMethod(nn.Module, ABC):
    """A classifier whose weights are text features of class prompts.

    Its parameters, and so its state dict, are exactly what it learns; the CLIP it stands on is not part of it.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space in prompts. Two may be equal (ImageNet's list has such a
            pair); they always get the same probability.
    """

    paper_epochs: ClassVar[int] = 0
    """Passes over the training images in the papers' 16-shot setting; 0 where there is nothing to learn."""
    paper_batch_size: ClassVar[int] = 1
    """Images per step in the papers' setting."""

    def __init__(self, clip: CLIP, class_names: Sequence[str]) -> None:
        super().__init__()
        check_spelling(class_names)
        self.clip = clip
        self.class_names = list(class_names)

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""

    @property
    def trainable_parameters(self) -> int:
        """How many numbers the method learns."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    @abstractmethod
    def text_features(self, image_features: Tensor) -> Tensor:
        """[B, E] -> [B, K, E] if prompts depend on the image, else [1, K, E]. Unit norm."""

    @abstractmethod
    def _write_prompts(self) -> None:
        """Prepare the prompts of `self.class_names`."""

    def set_classes(self, class_names: Sequence[str]) -> Self:
        """Keep what was learned and classify into these K classes instead.

        Raises:
            InputError: no names, an empty one, or one too long for the context length.
        """
        check_spelling(class_names)
        before, self.class_names = self.class_names, list(class_names)
        try:
            self._write_prompts()
        except Exception:
            self.class_names = before
            raise
        return self

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K] = cos(x, t_i) / tau (CoCoOp eq. 1 and 3)."""
        expect_shape("image_features", image_features, B=None, E=self.clip.embed_dim)
        with self.clip.products():
            text_features = self.text_features(image_features)
        if len(text_features) == 1:
            return self.clip.logit_scale * image_features @ text_features[0].T
        return self.clip.logit_scale * torch.einsum("be,bke->bk", image_features, text_features)

    @torch.no_grad()
    def probabilities(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> class probabilities [B, K]; rows sum to 1. Takes no gradient."""
        probabilities: Tensor = self(image_features).softmax(dim=-1)
        return probabilities


def load_tensors(model: PromptMethod, tensors: Mapping[str, NDArray[Any]], expected: str) -> None:
    """Put learned tensors into a method, in place. `InputError`, which begins with `expected`, for other shapes."""
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    got = {name: list(array.shape) for name, array in tensors.items()}
    for name in sorted(wanted.keys() | got.keys()):
        if wanted.get(name) != got.get(name):
            raise InputError(
                f"{expected}, with {name} of shape {wanted.get(name)}; got {got.get(name)}. Give the CLIP it was "
                "trained on."
            )
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
