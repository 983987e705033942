"""The text features of a conditional prompt as a first-order function of the image's code, around one code."""

from __future__ import annotations

import torch
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.errors import InputError
from cocoop.methods.at_once import images_at_once
from cocoop.methods.prompt_method import ConditionalPrompts
from cocoop.progress import progress

_BENDS = 10  # times the spread of codes: over such a way the text features are no longer straight
_DIRECTIONS = 8  # that are taken at once: more makes it no faster, and progress is told after each part
_CLASSES = 512  # whose products of slopes with slopes are taken at once: 34 MB at E = 512 and H = 32


class Expansion:
    """G_i(a) = g_i(a_0) + J_i (a - a_0): text features of class i, before the unit norm, for codes a near a_0.

    For an image that is K x E x H multiply-adds and no text tower: with d = a - a_0,

        x . G_i = x . g_i + (x^T J_i) d        |G_i|^2 = |g_i|^2 + 2 (J_i^T g_i) . d + d^T (J_i^T J_i) d

    The norm is taken after the expansion. That is the more exact order where the condition is strong, and as exact
    elsewhere (benchmarks/results/tangent.md): the length of g_i moves, too.

    The H columns of J are central differences of the text tower, two passes each: the packed path and its division to
    the memory budget serve as they are. A step of eps^(1/3) times the way over which g bends, some ten times the spread
    of the codes, makes errors of rounding, eps / step, and of third order, step^2, about equally small: 6e-4 of J in
    float32, measured, where a step a tenth as long leaves 6e-3.

    Args:
        model: a conditional method that declares its code.
        code: a_0 [H].
        spread: how far the codes of images are from a_0, which the step is measured by.

    Attributes:
        code: a_0 [H].
        features: g [E, K]. squares: |g|^2 [K].
        slopes: J [E, K * H]. lines: 2 J^T g [H, K]. curves: J^T J [H * H, K].
        moves: how the context follows the code, [H, M * D].

    Raises:
        InputError: J does not fit into the memory budget.
    """

    def __init__(self, model: ConditionalPrompts, code: Tensor, spread: float) -> None:
        classes, width, size = len(model.class_names), model.clip.embed_dim, len(code)
        _check_room(model.clip, classes * width * size * 4)
        self.code = code
        step = _BENDS * spread * _epsilon(model.clip) ** (1 / 3)
        offsets = step * torch.eye(size, dtype=code.dtype, device=code.device)
        self._context = model.context_of(code[None]).flatten()
        self.moves = (model.context_of(code + offsets) - model.context_of(code - offsets)).flatten(1) / (2 * step)
        features = model.raw_text_features(code[None])[0]
        slopes = features.new_empty(width, classes, size)
        pairs = max(1, min(_DIRECTIONS, images_at_once(model) // 2))
        for part in progress(torch.arange(size).split(pairs), "expanding the prompts", unit=" parts"):
            ahead, behind = (model.raw_text_features(code + sign * offsets[part]) for sign in (1, -1))
            slopes[:, :, part] = ((ahead - behind) / (2 * step)).permute(2, 1, 0)
        self.features, self.squares = features.T.contiguous(), features.square().sum(dim=1)
        self.slopes = slopes.flatten(1)
        parts = zip(slopes.split(_CLASSES, dim=1), features.split(_CLASSES), strict=True)
        lines, curves = zip(*(_products(some, own) for some, own in parts), strict=True)
        self.lines, self.curves = torch.cat(lines, dim=1), torch.cat(curves, dim=1)

    def logits(self, model: ConditionalPrompts, image_features: Tensor, codes: Tensor) -> Tensor:
        """Image features [B, E] and their codes [B, H] -> logits [B, K]."""
        moved = codes - self.code
        along = (image_features @ self.slopes).unflatten(1, (-1, len(self.code)))
        products = image_features @ self.features + torch.einsum("bkh,bh->bk", along, moved)
        pairs = (moved[:, :, None] * moved[:, None]).flatten(1)
        squares = self.squares + moved @ self.lines + pairs @ self.curves
        smallest = torch.finfo(squares.dtype).tiny  # far from a_0 rounding may leave less than nothing
        return model.logits_of_products(image_features, products, squares.clamp(min=smallest))

    def distances(self, model: ConditionalPrompts, codes: Tensor) -> Tensor:
        """How far codes [B, H] move the context from that of a_0, [B]: the unit in which the error is a square.

        The larger of what the context does and what its first order says: where both are small, the expansion holds.
        """
        moved = (model.context_of(codes).flatten(1) - self._context).norm(dim=1)
        return torch.maximum(moved, ((codes - self.code) @ self.moves).norm(dim=1))


def _products(slopes: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """J [E, K, H] and g [K, E] -> 2 J^T g [H, K] and J^T J [H * H, K]."""
    by_class = slopes.permute(1, 2, 0)
    lines = 2 * torch.einsum("khe,ke->hk", by_class, features)
    return lines, (by_class @ by_class.mT).flatten(1).T


def _epsilon(clip: CLIP) -> float:
    """The relative rounding of what the text tower computes."""
    return 2.0**-10 if clip.precision.tf32 else torch.finfo(clip.dtype).eps


def _check_room(clip: CLIP, needed: int) -> None:
    budget = clip.text.memory_budget
    if budget is not None and needed > budget:
        raise InputError(
            f"memory_budget: expected at least {needed / 1e6:,.0f} MB for the tangent prompts of these classes; got "
            f"{budget / 1e6:,.0f} MB. Give more, or take exact inference."
        )
