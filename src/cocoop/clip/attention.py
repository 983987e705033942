"""Attention of many short sequences at once: batched products over dense heads, and a bias that masks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class KeysValues(NamedTuple):
    """Keys and values of S positions, each [..., H, S, D/H]."""

    keys: Tensor
    values: Tensor

    def then(self, later: KeysValues) -> KeysValues:
        """These positions, then others. Leading axes of length 1 stand for all of the others'."""
        many = later.keys.shape[:-3]
        both = zip(self, later, strict=True)
        return KeysValues(*(torch.cat([a.expand(*many, -1, -1, -1), b], dim=-2) for a, b in both))

    def per_row(self) -> KeysValues:
        """[G, H, S, D/H] -> [G, 1, H, S, D/H], for all rows of a group."""
        return KeysValues(self.keys.unsqueeze(1), self.values.unsqueeze(1))


def heads(x: Tensor, number: int, parts: int) -> tuple[Tensor, ...]:
    """[..., S, parts * D], such as queries, keys and values side by side -> each part [..., H, S, D/H], H = `number`."""
    return tuple(part.transpose(-3, -2) for part in x.unflatten(-1, (parts, number, -1)).unbind(-3))


def attend(queries: Tensor, seen: KeysValues, bias: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D/H) + bias) v.

    For sequences of some ten positions this is twice as fast on a CPU as torch's fused attention.

    Args:
        queries: [..., H, C, D/H].
        seen: keys and values [..., H, S, D/H], the same leading axes.
        bias: 0 where a query may look and -inf elsewhere; broadcasts to [..., H, C, S].

    Returns:
        [..., C, D], the heads joined again.
    """
    *many, length, width = queries.shape
    scores = queries.flatten(0, -3) @ seen.keys.flatten(0, -3).mT
    # alpha, because scaling the scores with the bias is one pass over them instead of two.
    weights = torch.add(bias, scores.view(*many, length, seen.keys.shape[-2]), alpha=width**-0.5).softmax(dim=-1)
    joined = (weights.flatten(0, -3) @ seen.values.flatten(0, -3)).view(*many, length, width)
    return joined.transpose(-3, -2).flatten(-2)


def bias_of(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask, True where a query may look -> what to add to the scores: 0 there and -inf elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, float("-inf"))
