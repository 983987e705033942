"""KgCoOp: CoOp whose text features are held near those of hand-written prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from cocoop.clip import CLIP
from cocoop.errors import expect_number
from cocoop.methods.base import Recipe
from cocoop.methods.taught import TaughtCoOp
from cocoop.methods.template import PLAIN


class KgCoOp(TaughtCoOp):
    """Knowledge-guided Context Optimization (Yao et al., CVPR 2023, arXiv 2303.13283; KgCoOp:trainers/kgcoop.py).

    The prompts are CoOp's, [SOS, v_1 .. v_M, name_k, ".", EOT], with text features w_k. What training makes small is

        cross-entropy + weight * (1 - mean_k cos(w_k, t_k)),

    with the mean over all K classes, also those without an image in the batch.

    | paper | here |
    |---|---|
    | v_1 .. v_M | `ctx` [M, D] |
    | w_k, unit | `text_features` [1, K, E] |
    | w_k^clip, unit | t_k, `teacher` [K, E] |
    | lambda | `weight`, 8 |

    The paper writes lambda * mean_k |w_k - t_k|^2, which is 2 (1 - cos) of unit vectors; its code, and so this, has
    half of that. The context starts from "a photo of a" on every data set; only the teacher has the data set's words.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        context: words to start from, or None for random vectors.
        context_length: M; needed with `context=None`.
        template: the teacher's prompt, a text with "{}" where the class name goes.
        weight: of the second term, 0 or more.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=100, batch_size=128)

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = "a photo of a",
        context_length: int | None = None,
        template: str = PLAIN,
        weight: float = 8.0,
    ) -> None:
        super().__init__(clip, class_names, template, context=context, context_length=context_length)
        self.weight = expect_number("weight", weight)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {
            "context": self.context,
            "context_length": self.ctx.shape[-2],
            "template": self.template,
            "weight": self.weight,
        }

    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy and the weighted distance from the teacher, a scalar; and the logits [B, K]."""
        self.expect_features(image_features)
        with self.clip.products():
            text_features = self.text_features(image_features)
        logits = self.logits(image_features, text_features)
        return self.cross_entropy(logits, labels) + self.weight * self.distance(text_features), logits

    def distance(self, text_features: Tensor) -> Tensor:
        """1 - mean_k cos(w_k, t_k) of text features [1, K, E], a scalar between 0 and 2."""
        return 1 - F.cosine_similarity(text_features[0], self.teacher, dim=-1).mean()
