"""The work that is measured: text features of K classes for B images, on either path of the text tower."""

from __future__ import annotations

from functools import cached_property

import torch

from cocoop.clip import CLIP, Prompts, slot
from cocoop.clip.text.typical import CONTEXT_LENGTH, suffix_lengths


def class_names(classes: int) -> list[str]:
    """[K] names, all different, the same for every call. With "." and EOT they are as long as `suffix_lengths` says.

    They are numbers as words, each one token of a `WordTokenizer`: the class's own, and others at random.
    """
    generator = torch.Generator().manual_seed(0)
    names = []
    for k, length in enumerate(suffix_lengths(classes)):
        others = torch.randint(classes, (length - 3,), generator=generator).tolist()
        names.append(" ".join(map(str, [k, *others])))
    return names


class Encoding:
    """CoCoOp's text side: prompts [SOS, v_1 + pi .. v_M + pi, name, ".", EOT] of K classes for B images.

    Args:
        clip: whose text tower and tokenizer to use.
        classes: K.
        images: B, each with a context of its own.
        plain: on the full-length path instead of the packed one.
    """

    def __init__(self, clip: CLIP, classes: int, images: int, plain: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self._plain, self._clip, self._classes = plain, clip, classes
        vectors = torch.randn(images, CONTEXT_LENGTH, clip.text.width, generator=generator) * 0.02
        self._context = vectors.to(clip.device)
        self._gradient = torch.randn(images, classes, clip.embed_dim, generator=generator).to(clip.device)

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts and all of them that does not depend on the image; built at first use."""
        names = class_names(self._classes)
        context = [slot(m) for m in range(CONTEXT_LENGTH)]
        prompts = [self._clip.prompt([*context, *self._clip.token_ids(f"{name}.")]) for name in names]
        return Prompts(self._clip.text, names, prompts)

    def forward(self) -> None:
        """The pass of scoring: no gradients."""
        self._clip.text.plain = self._plain
        with torch.no_grad(), self._clip.products():
            self.prompts.encode(self._context)

    def forward_and_backward(self) -> None:
        """The passes of training: gradients of the context, from a random gradient of the features."""
        self._clip.text.plain = self._plain
        with self._clip.products():
            features = self.prompts.encode(self._context.clone().requires_grad_())
            features.backward(self._gradient.to(features.dtype))
