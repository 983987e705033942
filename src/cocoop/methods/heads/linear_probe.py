"""The plain linear probe: logistic regression on image features, which knows nothing of the classes' names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cocoop.clip import CLIP
from cocoop.errors import InputError, expect_number
from cocoop.methods.base import Method
from cocoop.methods.heads.head import OWN_WEIGHTS

_ITERATIONS = 1000
_ABSENT = -1e4  # the logit of a class without an image: a probability of 0 in float32


class LinearProbe(Method):
    """Multinomial logistic regression (CLIP, arXiv 2103.00020, section 3.2 and appendix A.3; CoOp:lpclip).

    p(y=k|x) = softmax_k(w_k . x + b_k), which makes small C sum_n(-log p(y_n|x_n)) + sum_k |w_k|^2 / 2, by
    scikit-learn's `LogisticRegression` (L-BFGS, 1,000 iterations at most), all in `prepare`.

    | sources | here |
    |---|---|
    | weights, intercepts | w_k, `weight` [K, E]; b_k, `bias` [K] |
    | C, the inverse strength of L2 | `C`, 31.6 |

    Both sources search C on validation images, on features that are not made unit, whose length is about 10 for CLIP's
    ViTs. Here C is the same for all data sets: the 0.316 of CLIP's own example, times the square of that length, which
    has the same minimum on unit features. The features are of one view of each training image, not augmented.

    Args:
        clip: a frozen `CLIP`.
        class_names: [K] names; they are kept, and not read.
        C: above 0.
    """

    bound = OWN_WEIGHTS
    reads_names = False

    def __init__(self, clip: CLIP, class_names: Sequence[str], C: float = 31.6) -> None:
        super().__init__(clip, class_names)
        self.C = expect_number("C", C)
        if not self.C:
            raise InputError("C: expected a number above 0; got 0. Leave it out for 31.6.")
        dtype = torch.promote_types(clip.dtype, torch.float32)
        weight = torch.zeros(len(self.class_names), clip.embed_dim, dtype=dtype, device=clip.device)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(weight[:, 0].clone(), requires_grad=False)
        self.take_classes()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that build this method again."""
        return {"C": self.C}

    def take_classes(self) -> None:
        """Refuse names that no prompt could have, so that a list of classes is good for all methods or for none."""
        self.clip.encode_texts(self.class_names)

    def prepare(self, image_features: Tensor, labels: Tensor) -> None:
        """Fit the regression to the training images' features [N, E] and classes [N]."""
        present = labels.unique()
        weight, bias = torch.zeros_like(self.weight), torch.full_like(self.bias, _ABSENT)
        bias[present] = 0.0
        if len(present) > 1:
            weight[present], bias[present] = self._fitted(image_features, labels)
        self.weight.data.copy_(weight)
        self.bias.data.copy_(bias)

    def _fitted(self, image_features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [P, E] and intercepts [P] of the P classes that have images, in their order."""
        from sklearn.linear_model import LogisticRegression

        # Of two classes scikit-learn learns one vector, w_1 - w_0, on which the same penalty weighs twice as much.
        two = len(labels.unique()) == 2
        regression = LogisticRegression(C=2 * self.C if two else self.C, max_iter=_ITERATIONS)
        regression.fit(image_features.cpu().double().numpy(), labels.cpu().numpy())
        fitted = (torch.from_numpy(array).to(self.weight) for array in (regression.coef_, regression.intercept_))
        weight, bias = (torch.cat([-half, half]) / 2 for half in fitted) if two else fitted
        return weight, bias

    def forward(self, image_features: Tensor) -> Tensor:
        """Unit-norm image features [B, E] -> logits [B, K]."""
        self.expect_features(image_features)
        return image_features @ self.weight.T + self.bias
