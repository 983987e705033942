"""TaskRes: what a task adds to the text features of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cocoop.clip import CLIP
from cocoop.errors import expect_number
from cocoop.methods.base import Recipe
from cocoop.methods.heads.head import OWN_WEIGHTS, Head
from cocoop.methods.template import PLAIN


class TaskRes(Head):
    """Task Residual tuning (Yu et al., CVPR 2023, arXiv 2211.10277; TaskRes:trainers/taskres.py).

    p(y=k|x) = softmax_k(cos(x, t_k + alpha r_k) / tau), with r_k learned, from zero.

    | paper | here |
    |---|---|
    | t, the base classifier | t_k, `prototypes` [K, E], not unit |
    | x, the task residual | r_k, `residual` [K, E] |
    | alpha | `alpha`, 0.5 |

    The recipe is the paper's for 8 and 16 images per class, which has half the epochs with fewer, as `cocoop benchmark`
    does. The original takes alpha = 1 on Flowers102 and a tenth of the rate on ImageNet; here all data sets have the
    same. Its other variant, on a base classifier that was tuned before, is left out.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        template: a text with "{}" where the class name goes.
        alpha: what the residual is multiplied by.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=200, batch_size=256, optimizer="adam")
    bound = OWN_WEIGHTS

    def __init__(self, clip: CLIP, class_names: Sequence[str], template: str = PLAIN, alpha: float = 0.5) -> None:
        super().__init__(clip, class_names, template)
        self.alpha = expect_number("alpha", alpha)
        self.residual = nn.Parameter(torch.zeros_like(self.prototypes))

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {**super().settings, "alpha": self.alpha}

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.expect_features(image_features)
        return self.logits(image_features, self.prototypes + self.alpha * self.residual)
