"""CLAP: ZS-LP whose classes are held to their text features, the better known ones more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.errors import expect_choice
from cocoop.methods.heads.zs_lp import ZSLP
from cocoop.methods.template import PLAIN

CONSTRAINTS = ("l2", "balanced", "corrected", "constant")
"""How lambda_k follows from the images; see `CLAP`."""


class CLAP(ZSLP):
    """Class-Adaptive linear Probe (Silva-Rodriguez et al., CVPR 2024, arXiv 2312.12730; CLAP:trainers/adapters.py).

    `ZSLP` with a penalty beside the cross-entropy, between vectors that are not unit:

        cross-entropy + mean_k lambda_k |w_k - t_k|^2.

    lambda_k is fixed before training: how sure the zero-shot classifier is, on the training images of class k, of k.

    | `constraint` | lambda_k |
    |---|---|
    | "l2", the published setting | m_k, the mean of p_zero-shot(k given x) over the images of class k |
    | "balanced" | 1 |
    | "corrected" | K m_k / sum_j m_j |
    | "constant" | the mean of the m_k |

    A class without an image has m_k = 1, so that it stays where its text is. The original measures m_k on 20 augmented
    views of each image; here on one, that of the first epoch. Its penalty that grows during training is left out.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        template: a text with "{}" where the class name goes.
        constraint: "l2", "balanced", "corrected" or "constant".

    Attributes:
        multipliers: [K] the lambda_k; 1 until `prepare`.
    """

    def __init__(self, clip: CLIP, class_names: Sequence[str], template: str = PLAIN, constraint: str = "l2") -> None:
        super().__init__(clip, class_names, template)
        expect_choice("constraint", constraint, CONSTRAINTS)
        self.constraint = constraint
        self.multipliers = torch.ones_like(self.prototypes[:, 0])

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {**super().settings, "constraint": self.constraint}

    @torch.no_grad()
    def prepare(self, image_features: Tensor, labels: Tensor) -> None:
        """Take lambda from the training images' features [N, E] and classes [N]."""
        sure = self.logits(image_features, self.prototypes).softmax(dim=-1).gather(1, labels[:, None])[:, 0]
        counts = torch.bincount(labels, minlength=len(self.class_names))
        sums = torch.zeros_like(self.multipliers).index_add(0, labels, sure)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), 1.0)
        self.multipliers = {
            "l2": means,
            "balanced": torch.ones_like(means),
            "corrected": means * len(means) / means.sum(),
            "constant": means.mean().expand_as(means),
        }[self.constraint]

    def loss(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy and the penalty, a scalar; and the logits [B, K]."""
        loss, logits = super().loss(image_features, labels)
        return loss + self.penalty(), logits

    def penalty(self) -> Tensor:
        """mean_k lambda_k |w_k - t_k|^2, a scalar."""
        return (self.multipliers * (self.weight - self.prototypes).square().sum(dim=-1)).mean()
