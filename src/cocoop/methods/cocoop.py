"""CoCoOp: context vectors that are learned, and shifted for every image by what the image shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cocoop.class_names import prompt_name
from cocoop.clip import CLIP, Prompts, slot
from cocoop.methods.base import PromptMethod
from cocoop.methods.context import initial_context

_BOTTLENECK = 16  # the Meta-Net's hidden layer is E // 16 wide


class CoCoOp(PromptMethod):
    """Conditional Context Optimization (Zhou et al., CVPR 2022, arXiv 2203.05557; CoOp:trainers/cocoop.py).

    p(y=i|x) = softmax_i(cos(x, g(t_i(x))) / tau), with t_i(x) = [SOS, v_1 + pi .. v_M + pi, name_i, ".", EOT] and
    pi = h_theta(x).

    | paper | here |
    |---|---|
    | v_1 .. v_M | `ctx` [M, D] |
    | h_theta, Linear-ReLU-Linear | `meta_net`: E -> E // 16 -> D |
    | pi | `conditional_token(x)` [B, D] |
    | t_i(x) through g | `text_features(x)` [B, K, E] |

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        context: words to start from, or None for random vectors.
        context_length: M; needed with `context=None`.
    """

    paper_epochs: ClassVar[int] = 10
    paper_batch_size: ClassVar[int] = 1

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = "a photo of a",
        context_length: int | None = None,
    ) -> None:
        super().__init__(clip, class_names)
        self.context = context
        self.ctx = nn.Parameter(initial_context(clip, context, context_length))
        hidden = max(1, clip.embed_dim // _BOTTLENECK)
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(clip.embed_dim, hidden),
                relu=nn.ReLU(),
                linear2=nn.Linear(hidden, clip.text.width),
            )
        ).to(clip.device, self.ctx.dtype)
        self._write_prompts()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {"context": self.context, "context_length": len(self.ctx)}

    def _write_prompts(self) -> None:
        context = [slot(m) for m in range(len(self.ctx))]
        names = [self.clip.token_ids(prompt_name(name) + ".") for name in self.class_names]
        prompts = [self.clip.prompt([*context, *name]) for name in names]
        self._prompts = Prompts(self.clip.text, self.class_names, prompts)

    def conditional_token(self, image_features: Tensor) -> Tensor:
        """Pi = h_theta(x): unit-norm image features [B, E] -> [B, D]."""
        token: Tensor = self.meta_net(image_features)
        return token

    def text_features(self, image_features: Tensor) -> Tensor:
        """Each image's own text features, [B, K, E]."""
        return self._prompts.encode(self._context(image_features))

    def _context(self, image_features: Tensor) -> Tensor:
        """The shifted context vectors v_m + pi of each image, [B, M, D]."""
        return self.ctx + self.conditional_token(image_features)[:, None]

    def text_features_of(self, image_features: Tensor, classes: Sequence[int]) -> Tensor:
        """`text_features` of some classes only, at their cost: numbers of k classes -> [B, k, E]."""
        return self._prompts.select(classes).encode(self._context(image_features))

    @torch.no_grad()
    def unconditional_text_features(self) -> Tensor:
        """Text features [K, E] of the prompts without pi, the same for every image. Unit norm; takes no gradient."""
        return self._prompts.encode(self.ctx[None])[0]
