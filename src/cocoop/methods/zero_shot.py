"""Zero-shot CLIP: hand-written prompts, nothing learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.clip import CLIP
from cocoop.methods.prompt_method import PromptMethod
from cocoop.methods.template import PLAIN, expect_template, filled


class ZeroShot(PromptMethod):
    """Class i's feature is the mean of its prompts' unit-norm features over the templates, made unit again.

    CLIP (arXiv 2103.00020) section 3.1.4; CoOp:trainers/zsclip.py `ZeroshotCLIP` (one template) and
    `ZeroshotCLIP2` (several).

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        templates: a text with "{}" where the name goes, or a list of such.
    """

    def __init__(self, clip: CLIP, class_names: Sequence[str], templates: Sequence[str] = (PLAIN,)) -> None:
        super().__init__(clip, class_names)
        given: Sequence[Any] = templates if isinstance(templates, list | tuple) and templates else [templates]
        for template in given:
            expect_template("templates", template, "one or a list of texts")
        self.templates = list(given)
        self.take_classes()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {"templates": self.templates}

    @classmethod
    def template_settings(cls, template: str) -> dict[str, Any]:
        """The data set's template alone."""
        return {"templates": [template]}

    def take_classes(self) -> None:
        """Encode every template with every name."""
        features = [self.clip.encode_texts(filled(template, self.class_names)) for template in self.templates]
        self._text_features = F.normalize(torch.stack(features).mean(dim=0), dim=-1)[None]

    def text_features(self, image_features: Tensor) -> Tensor:
        """The same [1, K, E] for all images."""
        return self._text_features
