"""Tip-Adapter: zero-shot CLIP beside a cache of the training images; and its keys learned, Tip-Adapter-F."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_number
from cocoop.methods.base import Recipe, Searched
from cocoop.methods.template import PLAIN
from cocoop.methods.zero_shot import ZeroShot

GRID = tuple(0.1 * 500 ** (step / 24) for step in range(25))
"""From 0.1 to 50, by equal ratios: what `TipAdapter.search` tries of alpha and of beta."""


class TipAdapter(ZeroShot):
    """Training-free CLIP-Adapter (Zhang et al., ECCV 2022, arXiv 2207.09519; Tip-Adapter:main.py).

    logits(x) = x W / tau + alpha * exp(-beta (1 - x F)) L: every training image votes for its class, the nearer it is
    the more. Nothing is trained.

    | paper | here |
    |---|---|
    | f_test, unit | x |
    | W_c, zero-shot CLIP | the logits of `ZeroShot` |
    | F_train, the cache's keys | `keys` [N, E] |
    | L_train, its values, one-hot [N, K] | `labels` [N], the numbers of their classes |
    | alpha, the residual ratio | `alpha`, 1.17 |
    | beta, the sharpness | `beta`, 1 |

    A key is the unit feature of one view of a training image; the original takes the mean of ten augmented views before
    the unit norm. It searches alpha and beta on validation images (on ImageNet on the test images) in ranges set by
    hand for each data set. Here both are those that its search begins with on ImageNet, for all data sets, unless
    `search` is asked for. Its literal 100 is 1/tau here.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        templates: a text with "{}" where the name goes, or a list of such.
        alpha: the cache's weight, 0 (zero-shot CLIP) or more.
        beta: how fast a vote falls with the distance, 0 or more.
        images: N, how many images the cache holds; `prepare` fills it, and says how many.
    """

    bound = "the cache holds images of those alone"
    betas: Sequence[float] = GRID
    alphas: Sequence[float] = GRID
    """What `search` tries, beta in the outer loop."""

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        templates: Sequence[str] = (PLAIN,),
        alpha: float = 1.17,
        beta: float = 1.0,
        images: int = 0,
    ) -> None:
        super().__init__(clip, class_names, templates)
        self.alpha, self.beta = expect_number("alpha", alpha), expect_number("beta", beta)
        if not isinstance(images, Integral) or isinstance(images, bool) or images < 0:
            raise InputError(f"images: expected a number of images, 0 or more; got {images!r}. Leave it out.")
        dtype = torch.promote_types(clip.dtype, torch.float32)
        keys = torch.zeros(int(images), clip.embed_dim, dtype=dtype, device=clip.device)
        self._fill(keys, torch.zeros(int(images), dtype=torch.int64, device=clip.device))

    def _fill(self, keys: Tensor, labels: Tensor) -> None:
        self.keys = nn.Parameter(keys, requires_grad=self.recipe is not None)
        self.labels = nn.Parameter(labels, requires_grad=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {**super().settings, "alpha": self.alpha, "beta": self.beta, "images": len(self.keys)}

    def prepare(self, image_features: Tensor, labels: Tensor) -> None:
        """Fill the cache with the training images' features [N, E] and classes [N]."""
        self._fill(image_features.detach().clone(), labels.clone())

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.expect_features(image_features)
        zero_shot = self.logits(image_features, self.text_features(image_features))
        return zero_shot + self.alpha * self.votes(image_features)

    def votes(self, image_features: Tensor) -> Tensor:
        """exp(-beta (1 - x F)) L of image features [B, E], [B, K]."""
        return (self.beta * (image_features @ self.keys.T - 1)).exp() @ self._values

    @property
    def _values(self) -> Tensor:
        """L, [N, K]."""
        classes = torch.arange(len(self.class_names), device=self.keys.device)
        return (self.labels[:, None] == classes).to(self.keys.dtype)

    @torch.no_grad()
    def search(self, image_features: Tensor, labels: Tensor) -> Searched:
        """Take those of `betas` and `alphas` with which most validation images are right; of equal ones the first.

        They stay as they are where none is better. The original's grids are linear, 200 x 20, up to numbers set by hand
        for each data set; `GRID` spans all of these.

        Args:
            image_features: [V, E], unit norm.
            labels: [V] their classes.
        """
        zero_shot = self.logits(image_features, self.text_features(image_features))
        near, values = image_features @ self.keys.T - 1, self._values

        def right(logits: Tensor) -> int:
            return int((logits.argmax(dim=-1) == labels).sum())

        before = most = right(self(image_features))
        for beta in self.betas:
            votes = (beta * near).exp() @ values
            for alpha in self.alphas:
                found = right(zero_shot + alpha * votes)
                if found > most:
                    most, self.beta, self.alpha = found, beta, alpha
        percent = 100 / len(labels)
        chosen = {"alpha": self.alpha, "beta": self.beta}
        return Searched(len(self.betas) * len(self.alphas), chosen, most * percent, before * percent)


class TipAdapterF(TipAdapter):
    """`TipAdapter` whose keys are learned by cross-entropy, from the training images' features.

    They are not made unit again. The learning rate falls to zero by a cosine, after every epoch, in the original after
    every step. The original searches alpha and beta again after the training, and of all epochs it takes that with the
    best accuracy on the test images; here the last epoch is taken, and alpha and beta stay, unless `search` is asked
    for. It trains 100 epochs on EuroSAT; here 20 on all data sets.
    """

    recipe: ClassVar[Recipe] = Recipe(
        epochs=20, batch_size=256, lr=0.001, weight_decay=0.01, optimizer="adamw", eps=1e-4, schedule="cosine"
    )
