"""CoCoOp: context vectors that are learned, and shifted for every image by what the image shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from cocoop.clip import CLIP
from cocoop.errors import expect_choice
from cocoop.methods.base import Recipe
from cocoop.methods.prompt_method import ConditionalPrompts

META_NETS = ("shared", "per-token")
"""One Meta-Net for all context tokens, or one for each."""

_BOTTLENECK = 16  # the Meta-Net's hidden layer is E // 16 wide


class CoCoOp(ConditionalPrompts):
    """Conditional Context Optimization (Zhou et al., CVPR 2022, arXiv 2203.05557; CoOp:trainers/cocoop.py).

    p(y=i|x) = softmax_i(cos(x, g(t_i(x))) / tau), with t_i(x) = [SOS, v_1 + pi .. v_M + pi, name_i, ".", EOT] and
    pi = h_theta(x).

    | paper | here |
    |---|---|
    | v_1 .. v_M | `ctx` [M, D] |
    | h_theta, Linear-ReLU-Linear | `meta_net`: E -> E // 16 -> D |
    | the hidden layer of h_theta | `code(x)` [B, E // 16] |
    | pi | `conditional_token(x)` [B, D] |
    | v_m + pi | `context(x)` [B, M, D] |
    | t_i(x) through g | `text_features(x)` [B, K, E] |

    The paper's section 3.2 begins with the costly variant, M Meta-Nets that make one token each, and then shares one to
    save parameters: `meta_nets="per-token"` is that variant, v_m + h_m(x), with `meta_nets.0` .. `meta_nets.{M-1}`. At
    ViT-B/16's size with M = 4 it learns 135,296 numbers instead of 35,360; a step takes the same time, which is
    the text tower's (within 8 %, the noise of `benchmarks/variants.py`).

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        context: words to start from, or None for random vectors.
        context_length: M; needed with `context=None`.
        meta_nets: "shared" (the paper's CoCoOp) or "per-token".
        similarity: "cosine" (the paper's), "dot" or "euclidean"; see `PromptMethod`.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=10, batch_size=1)

    def __init__(
        self,
        clip: CLIP,
        class_names: Sequence[str],
        context: str | None = "a photo of a",
        context_length: int | None = None,
        meta_nets: str = "shared",
        similarity: str = "cosine",
    ) -> None:
        super().__init__(clip, class_names, context, context_length, similarity)
        expect_choice("meta_nets", meta_nets, META_NETS)
        self._per_token = meta_nets == "per-token"
        if self._per_token:
            self.meta_nets = nn.ModuleList(self._meta_net() for _ in self.ctx)
        else:
            self.meta_net = self._meta_net()

    def _meta_net(self) -> nn.Sequential:
        hidden = max(1, self.clip.embed_dim // _BOTTLENECK)
        layers = OrderedDict(
            linear1=nn.Linear(self.clip.embed_dim, hidden),
            relu=nn.ReLU(),
            linear2=nn.Linear(hidden, self.clip.text.width),
        )
        return nn.Sequential(layers).to(self.ctx.device, self.ctx.dtype)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {**super().settings, "meta_nets": "per-token" if self._per_token else "shared"}

    @property
    def _nets(self) -> list[nn.Sequential]:
        return cast("list[nn.Sequential]", list(self.meta_nets) if self._per_token else [self.meta_net])

    def code(self, image_features: Tensor) -> Tensor:
        """The hidden layer ReLU(W1 x + b1) of each Meta-Net, side by side: [B, E] -> [B, H], or [B, M * H]."""
        return torch.cat([net[1](net[0](image_features)) for net in self._nets], dim=1)

    def code_layer(self) -> tuple[Tensor, Tensor]:
        """The first layers of the Meta-Nets, side by side: W [H, E] and b [H], with code(x) = ReLU(W x + b)."""
        first = [cast(nn.Linear, net[0]) for net in self._nets]
        return torch.cat([layer.weight for layer in first]), torch.cat([layer.bias for layer in first])

    def conditional_token(self, image_features: Tensor) -> Tensor:
        """Pi = h_theta(x): unit-norm image features [B, E] -> [B, D], or [B, M, D] with a Meta-Net for each token."""
        return self._token(self.code(image_features))

    def context(self, image_features: Tensor) -> Tensor:
        """The shifted context vectors v_m + pi of each image, [B, M, D]."""
        return self._shifted(self.conditional_token(image_features))

    def context_of(self, code: Tensor) -> Tensor:
        """The shifted context vectors of a code, [B, M, D]."""
        return self._shifted(self._token(code))

    def _token(self, code: Tensor) -> Tensor:
        parts = code.chunk(len(self._nets), dim=1)
        tokens = [net[2](part.contiguous()) for net, part in zip(self._nets, parts, strict=True)]
        return torch.stack(tokens, dim=1) if self._per_token else tokens[0]

    def _shifted(self, token: Tensor) -> Tensor:
        return self.ctx + (token if self._per_token else token[:, None])
