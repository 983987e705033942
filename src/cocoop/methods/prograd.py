"""ProGrad: CoOp that takes no step against what the zero-shot classifier knows."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_number
from cocoop.methods.base import Recipe
from cocoop.methods.taught import TaughtCoOp
from cocoop.methods.template import PLAIN


class ProGrad(TaughtCoOp):
    """Prompt-aligned Gradient (Zhu et al., ICCV 2023, arXiv 2205.14865; Prompt-align:trainers/prograd.py).

    The prompts are CoOp's. With z the logits and z_T those of the teacher's prompts, there are two losses,

        L_ce = cross-entropy,    L_kl = -mean_b sum_k softmax(z_T)_k log softmax(z)_k,

    and of each learned tensor, taken as one long vector, the gradients g_c and g_k of them. A step follows

        g = g_c - strength * <g_c, u> u    where <g_c, u> < 0, with u = g_k / |g_k|;    else g = g_c.

    So g_k only steers and is never added; where it is zero, g = g_c. `loss` is L_ce. Weight decay comes after it.

    | paper | here |
    |---|---|
    | v_1 .. v_M | `ctx` [M, D], or [K, M, D] |
    | the zero-shot CLIP's prediction | softmax of `teacher_logits` [B, K] |
    | G_d, G_g, G_prograd | g_c, g_k, g |
    | lambda | `strength`, 1; the paper's runs on three data sets took 0.8 |

    The context has 16 vectors: words stand at its end, behind vectors of zeros. The original counts the words of its
    template where it should count tokens, so that with a comma the last of them stays fixed; here all are learned.
    Its templates have the tail in front ("a type of pet, a photo of a {}."), and so has `template_settings`. Its epochs
    are 50 with one image per class, 100 with two or four, and 200, the recipe's, with more. Processes cannot
    share its batches (torchrun): gradients of parts, each projected, do not add up to that of the whole.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        context: words to start from, or None for random vectors.
        context_length: M, at least the tokens of the words.
        class_specific: learn a context of its own for every class; then it takes no other classes.
        template: the teacher's prompt, a text with "{}" where the class name goes.
        strength: how much of the conflicting part is taken away, 0 (CoOp) or more.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=200, batch_size=32)

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = "a photo of a",
        context_length: int = 16,
        class_specific: bool = False,
        template: str = PLAIN,
        strength: float = 1.0,
    ) -> None:
        own = {"context": context, "context_length": context_length, "class_specific": class_specific}
        super().__init__(clip, class_names, template, **own)
        self.strength = expect_number("strength", strength)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {
            "context": self.context,
            "context_length": self.ctx.shape[-2],
            "class_specific": self.class_specific,
            "template": self.template,
            "strength": self.strength,
        }

    @classmethod
    def template_settings(cls, template: str) -> dict[str, Any]:
        """The teacher's template with its tail in front, and the words before the class name to start from."""
        before, _, tail = template.partition("{}")
        if tail.startswith(","):
            before, tail = f"{tail.strip(' ,.')}, {before}", "."
        return {"template": f"{before}{{}}{tail}"} | ({"context": before.strip()} if before.strip() else {})

    def _start(self, context: str | None, context_length: int | None) -> Tensor:
        """Random vectors, or zeros and then the words."""
        if context is None:
            return super()._start(None, context_length)
        words = super()._start(context, None)
        limit = self.clip.text.context_length
        if not isinstance(context_length, Integral) or not len(words) <= context_length <= limit:
            raise InputError(
                f"context_length: expected {len(words)}, the number of tokens of {context!r}, to {limit}; got "
                f"{context_length!r}. Give more, or fewer words."
            )
        return F.pad(words, (0, 0, int(context_length) - len(words), 0))

    def gradients(
        self, image_features: Tensor, labels: Tensor, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """L_ce, logits, and scale * g of each learned tensor: one pass forward and two backward."""
        loss, logits = self.loss(image_features, labels)
        divergence = self.divergence(image_features, logits)
        factor = 1 if scale is None else scale
        learned = list(self.parameters())
        with self.clip.products():
            of_classes = torch.autograd.grad(factor * loss, learned, retain_graph=True)
            of_teacher = torch.autograd.grad(factor * divergence, learned)
        gradients = [self._projected(*both) for both in zip(of_classes, of_teacher, strict=True)]
        return loss.detach(), logits.detach(), gradients

    def teacher_logits(self, image_features: Tensor) -> Tensor:
        """The zero-shot classifier's logits [B, K] of unit image features [B, E]."""
        return self.clip.logit_scale * image_features @ self.teacher.T

    def divergence(self, image_features: Tensor, logits: Tensor) -> Tensor:
        """L_kl of logits [B, K], a scalar: the teacher's entropy, a constant, is not taken off."""
        taught = self.teacher_logits(image_features).softmax(dim=-1)
        return -(taught * logits.log_softmax(dim=-1)).sum(dim=-1).mean()

    def _projected(self, of_classes: Tensor, of_teacher: Tensor) -> Tensor:
        """G of the formula for g_c and g_k of one tensor."""
        along = of_teacher / of_teacher.norm()  # not a number where g_k is zero; then the comparison is False
        product = (of_classes * along).sum()
        return torch.where(product < 0, of_classes - self.strength * product * along, of_classes)
