"""The head of a conditional prompt: its first-order expansion as tensors, and how far that agrees with the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.errors import RunError
from cocoop.methods import ConditionalPrompts, Expansion, codes_of, expansions, tried_of
from cocoop.progress import progress
from cocoop.serving.exported.description import TangentFigures

_LEAST = 95.0  # percent of them with the same class, below which nothing is exported

_TANGENT = (
    "code_weight",
    "code_bias",
    "anchors",
    "metric",
    "features",
    "slopes",
    "squares",
    "lines",
    "curves",
)


class TangentHead(nn.Module):
    """Tangent prompts without refinement: image features [B, E] -> probabilities [B, K].

    With a = ReLU(W x + b), the nearest anchor a_0 by how far the context moves, d^T M d, and d = a - a_0,

        products = x . g + (x^T J) d        squares = |g|^2 + 2 (J^T g) . d + d^T (J^T J) d

    and p = softmax(products / sqrt(squares)), or without `unit` (of the other similarities) softmax(products -
    squares); see `Expansion`. A anchors; scales and temperature are in the tensors:

    | tensor | |
    |---|---|
    | `code_weight` [H, E], `code_bias` [H] | W, b |
    | `anchors` [A, H], `metric` [A, H, H] | a_0, M |
    | `features` [A, E, K], `slopes` [A, E, K, H] | g, J |
    | `squares` [A, K], `lines` [A, H, K], `curves` [A, H, H, K] | g . g, 2 J^T g, J^T J |
    """

    code_weight: Tensor
    code_bias: Tensor
    anchors: Tensor
    metric: Tensor
    features: Tensor
    slopes: Tensor
    squares: Tensor
    lines: Tensor
    curves: Tensor

    def __init__(self, unit: bool, **tensors: Tensor) -> None:
        super().__init__()
        self.unit = unit
        for name in _TANGENT:
            self.register_buffer(name, tensors.pop(name).float().contiguous())
        if tensors:
            raise TypeError(f"no tensor of a head is called {', '.join(tensors)}")

    @classmethod
    @torch.no_grad()
    def of(cls, model: ConditionalPrompts, expansions: Sequence[Expansion], temperature: float) -> TangentHead:
        """The head of a conditional method that declares its `code_layer`, which may raise `InputError`."""
        weight, bias = model.code_layer()
        scale, penalty = _scales(model, temperature)
        size = len(bias)
        return cls(
            model.similarity == "cosine",
            code_weight=weight,
            code_bias=bias,
            anchors=torch.stack([one.code for one in expansions]),
            metric=torch.stack([one.moves @ one.moves.T for one in expansions]),
            features=scale * torch.stack([one.features for one in expansions]),
            slopes=scale * torch.stack([one.slopes.unflatten(1, (-1, size)) for one in expansions]),
            squares=penalty * torch.stack([one.squares for one in expansions]),
            lines=penalty * torch.stack([one.lines for one in expansions]),
            curves=penalty * torch.stack([one.curves.unflatten(0, (size, size)) for one in expansions]),
        )

    @property
    def kind(self) -> Literal["tangent", "tangent-plain"]:
        """Its name in a `Description`."""
        return "tangent" if self.unit else "tangent-plain"

    def forward(self, image_features: Tensor) -> Tensor:
        """[B, E] -> [B, K]."""
        code = F.relu(F.linear(image_features, self.code_weight, self.code_bias))
        moved = code[:, None] - self.anchors
        logits = torch.stack([self._logits(n, image_features, moved[:, n]) for n in range(len(self.anchors))], dim=1)
        distances = torch.einsum("bah,ahi,bai->ba", moved, self.metric, moved)
        nearest = distances.argmin(dim=1)[:, None, None].expand(-1, -1, logits.shape[2])
        return logits.gather(1, nearest)[:, 0].softmax(dim=-1)

    def _logits(self, n: int, image_features: Tensor, moved: Tensor) -> Tensor:
        along = (image_features @ self.slopes[n].flatten(1)).unflatten(1, self.slopes.shape[2:])
        products = image_features @ self.features[n] + torch.einsum("bkh,bh->bk", along, moved)
        pairs = (moved[:, :, None] * moved[:, None]).flatten(1)
        squares = self.squares[n] + moved @ self.lines[n] + pairs @ self.curves[n].flatten(0, 1)
        if not self.unit:
            return products - squares
        return products * squares.clamp(min=torch.finfo(squares.dtype).tiny).rsqrt()


def _scales(model: ConditionalPrompts, temperature: float) -> tuple[float, float]:
    """What products and squares are multiplied by in the logits, as the method's own formula has it."""
    image = F.normalize(torch.ones(1, model.clip.embed_dim), dim=-1)

    def logit(product: float, square: float) -> float:
        return float(model.logits_of_products(image, torch.tensor([[product]]), torch.tensor([[square]]))) / temperature

    if model.similarity == "cosine":
        return logit(1, 1), 1.0
    return logit(1, 0) - logit(0, 0), logit(0, 0) - logit(0, 1)


@torch.no_grad()
def verified_head(model: ConditionalPrompts, sample: Tensor, temperature: float) -> tuple[TangentHead, TangentFigures]:
    """The head of a conditional method, and its figures on some of a sample of image features [N, E].

    Around as few anchors as agree with exact inference as a tangent prompt should, or as many as there can be.

    Raises:
        InputError: as `code_layer`, `codes_of` and `Expansion`. RunError: fewer than 95 % of the images have the same
            class as by exact inference.
    """
    codes, tried = codes_of(model, sample), tried_of(sample)
    parts = progress(tried.split(1), "classifying exactly", unit=" images")
    exact = (torch.cat([model(part) for part in parts]) / temperature).softmax(dim=1)
    for expanded in expansions(model, codes):
        head = TangentHead.of(model, expanded, temperature)
        expanded.clear()
        figures = _compared(head(tried), exact, len(head.anchors))
        if figures.passed:
            break
    if figures.agreement < _LEAST:
        raise RunError(
            f"export: expected an expansion of the prompts that gives the class of exact inference for {_LEAST:g} % of "
            f"the training images or more; got {figures.agreement:.4g} % of {figures.images}. Predict with the run."
        )
    return head, figures


def _compared(probabilities: Tensor, exact: Tensor, anchors: int) -> TangentFigures:
    """The figures of probabilities [B, K] beside the exact ones."""
    top = exact.argmax(dim=1)
    differences = (probabilities - exact).abs()
    return TangentFigures(
        images=len(exact),
        anchors=anchors,
        agreement=100 * float((probabilities.argmax(dim=1) == top).double().mean()),
        largest_difference=float(differences.max()),
        mean_difference=float(differences.gather(1, top[:, None]).mean()),
    )
