"""ZS-LP: a linear probe that starts from the zero-shot classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from cocoop.clip import CLIP
from cocoop.methods.base import Recipe
from cocoop.methods.heads.head import OWN_WEIGHTS, Head
from cocoop.methods.template import PLAIN


class ZSLP(Head):
    """Zero-shot initialised linear probe (Silva-Rodriguez et al., CVPR 2024, arXiv 2312.12730; CLAP:trainers).

    p(y=k|x) = softmax_k(cos(x, w_k) / tau), with every w_k learned by cross-entropy, from t_k.

    | paper | here |
    |---|---|
    | v, a unit image feature | x |
    | w_c | w_k, `weight` [K, E] |
    | t_c, the mean of its templates' text features, not unit | t_k, `prototypes` [K, E] |

    As the original it learns from 20 augmented views of each image, encoded once; here they are taken in turn, one in
    each epoch. It keeps "_" in class names; here that is a space, as everywhere. With ImageNet it averages eight
    templates; here one.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        template: a text with "{}" where the class name goes.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=300, batch_size=256, lr=0.1, weight_decay=0.0, views=20)
    bound = OWN_WEIGHTS

    def __init__(self, clip: CLIP, class_names: Sequence[str], template: str = PLAIN) -> None:
        super().__init__(clip, class_names, template)
        self.weight = nn.Parameter(self.prototypes.clone())

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.expect_features(image_features)
        return self.logits(image_features, self.weight)
