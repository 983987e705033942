"""CLIP-Adapter: a small network that moves image features towards the text features of their classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.clip import CLIP
from cocoop.errors import expect_number
from cocoop.methods.base import Recipe
from cocoop.methods.heads.head import Head
from cocoop.methods.template import PLAIN

_BOTTLENECK = 4  # the hidden layer is E // 4 wide


class CLIPAdapter(Head):
    """A feature adapter on the image side (Gao et al., IJCV 2024, arXiv 2110.04544; CLIP-Adapter:clip_adapter.py).

    p(y=k|x) = softmax_k(cos(ratio * A(x) + (1 - ratio) * x, t_k) / tau), with A(x) = ReLU(W2 ReLU(W1 x)).

    | paper | here |
    |---|---|
    | f, the image feature | x; unit or not makes no difference, since A has no biases |
    | A_v | `adapter`: E -> E // 4 -> E, `linear1` and `linear2` |
    | alpha, the residual ratio | `ratio`, 0.2 |
    | W, the text features | t_k, `prototypes` [K, E] |

    The learned network is the same for all classes, so it takes new ones; the paper does not try that. The original is
    trained as CoOp is. The paper's adapter on the text side, and its search for a ratio on each data set, are left out.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; "_" counts as a space.
        template: a text with "{}" where the class name goes.
        ratio: the adapter's share, 0 to 1.
    """

    recipe: ClassVar[Recipe] = Recipe(epochs=200, batch_size=32)

    def __init__(self, clip: CLIP, class_names: Sequence[str], template: str = PLAIN, ratio: float = 0.2) -> None:
        super().__init__(clip, class_names, template)
        self.ratio = expect_number("ratio", ratio, most=1.0)
        width, hidden = clip.embed_dim, max(1, clip.embed_dim // _BOTTLENECK)
        layers = OrderedDict(
            linear1=nn.Linear(width, hidden, bias=False),
            relu1=nn.ReLU(),
            linear2=nn.Linear(hidden, width, bias=False),
            relu2=nn.ReLU(),
        )
        self.adapter = nn.Sequential(layers).to(self.prototypes.device, self.prototypes.dtype)

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {**super().settings, "ratio": self.ratio}

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.expect_features(image_features)
        adapted = self.ratio * self.adapter(image_features) + (1 - self.ratio) * image_features
        return self.logits(F.normalize(adapted, dim=-1), self.prototypes)
