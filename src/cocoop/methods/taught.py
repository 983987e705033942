"""CoOp beside a teacher: the text features of hand-written prompts, which the learned ones are kept near."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.methods.coop import CoOp
from cocoop.methods.template import expect_template, filled


class TaughtCoOp(CoOp):
    """A `CoOp` that has the data set's own prompts before it while it learns.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        template: the teacher's prompt, a text with "{}" where the class name goes.
        others: of `CoOp`.
    """

    def __init__(self, clip: CLIP, class_names: Sequence[str], template: str, **others: Any) -> None:
        expect_template("template", template)
        self.template = template
        super().__init__(clip, class_names, **others)

    @classmethod
    def template_settings(cls, template: str) -> dict[str, Any]:
        """The data set's template is the teacher's."""
        return {"template": template}

    def take_classes(self) -> None:
        """Make the prompts that learn; the teacher's are encoded when they are asked for."""
        super().take_classes()
        self._teacher: Tensor | None = None

    @property
    def teacher(self) -> Tensor:
        """t_k, the frozen CLIP's unit text features of the template with each name, [K, E]."""
        if self._teacher is None:
            with torch.inference_mode(False):  # it may be trained with
                self._teacher = self.clip.encode_texts(filled(self.template, self.class_names))
        return self._teacher
