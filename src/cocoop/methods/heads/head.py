"""What heads share: the text features that they start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from cocoop.clip import CLIP
from cocoop.methods.base import Method
from cocoop.methods.template import PLAIN, expect_template, filled

OWN_WEIGHTS = "every class has weights of its own, which its images gave"
"""Why most heads are `bound` to their classes."""


class Head(Method):
    """A classifier of image features that starts from the text features of a template.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        template: a text with "{}" where the class name goes.

    Attributes:
        prototypes: [K, E] t_k, the frozen CLIP's text features of the template with each name, not made unit.
    """

    prototypes: Tensor

    def __init__(self, clip: CLIP, class_names: Sequence[str], template: str = PLAIN) -> None:
        super().__init__(clip, class_names)
        expect_template("template", template)
        self.template = template
        self.take_classes()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {"template": self.template}

    @classmethod
    def template_settings(cls, template: str) -> dict[str, Any]:
        """The data set's template."""
        return {"template": template}

    def take_classes(self) -> None:
        """Encode the template with every name."""
        self.prototypes = self.clip.encode_texts(filled(self.template, self.class_names), unit=False)

    def logits(self, image_features: Tensor, weights: Tensor) -> Tensor:
        """Cosines with class vectors of any length over tau: x [B, E] unit, w [K, E] -> [B, K]."""
        return self.clip.logit_scale * image_features @ F.normalize(weights, dim=-1).T
