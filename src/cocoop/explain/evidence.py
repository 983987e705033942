"""Where in a picture the evidence for its class lies: one gradient method on the image tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.methods import Method

METHOD = "HiResCAM"
"""Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
arXiv 2011.08891, 2020."""

ABOUT = (
    f"{METHOD} (Draelos and Carin, arXiv 2011.08891): gradient times activation of the cells that the image feature is "
    "pooled from, for the class's logit above the mean of all; what is against it counts 0"
)

_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")


@dataclass(frozen=True)
class Region:
    """A ninth of a picture, such as "top left", and its share of the evidence, percent."""

    name: str
    share: float


def evidence(model: Method, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """How much each cell of a picture speaks for a class, as a share of all that does.

    With A [C, D] the cells that the image feature x is pooled from, z(x) the logits and k the class,

        e_c = sum_d A_cd dm / dA_cd        m = z_k - mean_i z_i,

    of which what is below 0 counts 0. The cells are a ResNet's before its attention pool, and a vision transformer's
    patches behind the norm of its last layer, where the class token reads them and nothing else does. (Before the norm
    e_c would be nearly 0, since a norm takes away what scales a cell.) The logits follow from x in every way: where
    prompts depend on the image, through them, too. The mean is subtracted because what all logits share changes no
    probability.

    Args:
        model: any method; a classifier's `model_`.
        pixels: [B, 3, N, N].
        classes: [B] of each picture the class k that evidence is looked for.

    Returns:
        [B, G, G] float64 on the CPU, rows from top to bottom. Each sums to 1, or is 0 where nothing speaks for the
        class. Cells see all of the picture through the layers before them, so this is where the evidence was gathered.
    """
    tower, clip, held = model.clip.image_tower, model.clip, list[Tensor]()

    def hold(tokens: Tensor) -> Tensor:
        held.append(tokens.detach().requires_grad_())
        return held[0]

    with torch.enable_grad(), clip.products():  # the towers are frozen: nothing is recorded before the tokens
        features = tower(pixels.to(clip.device, clip.dtype), hold)
        logits = model(F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1))
        margins = logits[torch.arange(len(logits)), classes] - logits.mean(dim=1)
        [gradient] = torch.autograd.grad(margins.sum(), held)
    products = (held[0].detach().cpu().double() * gradient.cpu().double()).sum(dim=-1)
    cells = products[:, -(tower.grid**2) :].clamp(min=0)  # a transformer's class token comes first
    shares: Tensor = cells / cells.sum(dim=1, keepdim=True).clamp(min=torch.finfo(cells.dtype).tiny)
    return shares.view(-1, tower.grid, tower.grid)


def strongest(cells: Tensor) -> Region | None:
    """The ninth of a picture that has the most of its evidence [G, G]; None where there is none.

    A cell that lies in several ninths counts for each by its area there.
    """
    if not cells.any():
        return None
    overlaps = _overlaps(len(cells))
    shares = overlaps @ cells @ overlaps.T
    row, column = divmod(int(shares.argmax()), 3)
    name = "middle" if row == column == 1 else " ".join(dict.fromkeys((_ROWS[row], _COLUMNS[column])))
    return Region(name, 100 * float(shares[row, column]))


def _overlaps(grid: int) -> Tensor:
    """How much of each of G cells in a row lies in each third of it, [3, G] float64."""
    cells, thirds = (torch.linspace(0, grid, parts + 1, dtype=torch.float64) for parts in (grid, 3))
    inside = torch.minimum(cells[1:], thirds[1:, None]) - torch.maximum(cells[:-1], thirds[:-1, None])
    return inside.clamp(min=0)
