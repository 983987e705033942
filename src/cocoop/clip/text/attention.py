"""Attention of many short sequences that begin with the same positions: batched products over dense heads.

For sequences of some ten positions this is faster on a CPU than torch's fused attention. The prefix's keys and
values are laid before those of every row of suffixes, once for the few classes in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class KeysValues(NamedTuple):
    """Keys and values of S positions, each [..., H, S, D/H]."""

    keys: Tensor
    values: Tensor

    def then(self, later: KeysValues) -> KeysValues:
        """These positions followed by others. Leading axes of length 1 are expanded to those of the others."""
        many = later.keys.shape[:-3]
        both = zip(self, later, strict=True)
        return KeysValues(*(torch.cat([a.expand(*many, -1, -1, -1), b], dim=-2) for a, b in both))

    def per_row(self) -> KeysValues:
        """[G, H, S, D/H] -> [G, 1, H, S, D/H], which broadcasts over the rows of a group."""
        return KeysValues(self.keys.unsqueeze(1), self.values.unsqueeze(1))


@dataclass(frozen=True, eq=False)
class Layout:
    """Which of a group's N rows see which: M prefix positions, then R rows of C suffix slots, M + R * C = N.

    Attributes:
        heads: H. new: M. rows: R. slots: C.
        causal: [M, F + M] bias of the prefix positions, where F more come before them.
        bias: [R, 1, C, F + M + C] bias of the suffix slots.
    """

    heads: int
    new: int
    rows: int
    slots: int
    causal: Tensor
    bias: Tensor

    def divide(self, x: Tensor, parts: int = 1) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Rows [G, N, parts * D] -> each part's prefix [G, H, M, D/H] and suffixes [G, R, H, C, D/H], as views."""
        prefix, suffixes = x.split([self.new, self.rows * self.slots], dim=1)
        return heads(prefix, self.heads, parts), heads(
            suffixes.unflatten(1, (self.rows, self.slots)), self.heads, parts
        )


def heads(x: Tensor, number: int, parts: int) -> tuple[Tensor, ...]:
    """Queries, keys and values side by side, [..., S, parts * D] -> each of them [..., H, S, D/H], as views."""
    return tuple(part.transpose(-3, -2) for part in x.unflatten(-1, (parts, number, -1)).unbind(-3))


def bias_of(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask, True where a query may look -> what to add to the scores: 0 there and -inf elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, float("-inf"))


def attend(queries: Tensor, seen: KeysValues, bias: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(D/H) + bias) v, and the weights before v.

    Args:
        queries: [..., H, C, D/H].
        seen: keys and values [..., H, S, D/H], the same leading axes.
        bias: 0 where a query may look and -inf elsewhere; broadcasts to [..., H, C, S].

    Returns:
        [..., H, C, D/H], and the weights [..., H, C, S].
    """
    scores = _products(queries, seen.keys.mT)
    # alpha, because scaling the scores with the bias is one pass over them instead of two.
    weights = torch.add(bias, scores, alpha=queries.shape[-1] ** -0.5).softmax(dim=-1)
    return _products(weights, seen.values), weights


def attend_all(qkv: Tensor, known: KeysValues, layout: Layout) -> tuple[Tensor, KeysValues]:
    """An inner layer's attention: prefix positions see the prefix so far, suffix tokens the prefix and their own.

    Args:
        qkv: [G, N, 3 D] queries, keys and values of all rows.
        known: keys and values of the F positions before, [G or 1, H, F, D/H].
        layout: of the N rows.

    Returns:
        [G, N, D], and the keys and values of the whole prefix [G, H, F + M, D/H].
    """
    attended, keys, values = _AttendAll.apply(qkv, *known, layout)  # type: ignore[no-untyped-call]
    return attended, KeysValues(keys, values)


class _AttendAll(Function):
    """`attend_all` with its derivative by hand: gradients go straight to their places among the N rows."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """The attention of both kinds of rows."""
        (prefix_query, *own_prefix), (query, *own) = layout.divide(qkv, 3)
        prefix_query, query = prefix_query.contiguous(), query.contiguous()
        seen = KeysValues(keys, values).then(KeysValues(*own_prefix))
        row_seen = seen.per_row().then(KeysValues(*own))
        of_prefix, prefix_weights = attend(prefix_query, seen, layout.causal)
        of_suffixes, weights = attend(query, row_seen, layout.bias)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(prefix_query, prefix_weights, *seen, query, weights, *row_seen)
            ctx.layout, ctx.known = layout, keys.shape
        attended = qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)
        _put(attended, layout, (of_prefix,), (of_suffixes,))
        return attended, *seen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *to_seen: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the rows, and of the keys and values that were known before."""
        prefix_query, prefix_weights, *seen, query, weights, keys, values = ctx.saved_tensors
        layout: Layout = ctx.layout
        (to_prefix,), (to_suffixes,) = layout.divide(gradient)
        to_query, *to_row = _derivative(to_suffixes, query, KeysValues(keys, values), weights)
        to_prefix_query, *to_own = _derivative(to_prefix, prefix_query, KeysValues(*seen), prefix_weights)
        length = seen[0].shape[-2]
        for own, row, later in zip(to_own, to_row, to_seen, strict=True):
            own += later
            own += row[..., :length, :].sum(dim=1)
        before = ctx.known[-2]
        to_qkv = gradient.new_empty(*gradient.shape[:2], 3 * gradient.shape[2])
        _put(
            to_qkv,
            layout,
            (to_prefix_query, *(own[..., before:, :] for own in to_own)),
            (to_query, *(row[..., length:, :] for row in to_row)),
        )
        to_known = [own[..., :before, :].sum_to_size(ctx.known) for own in to_own]
        return to_qkv, *to_known, None


def _put(rows: Tensor, layout: Layout, prefix: tuple[Tensor, ...], suffixes: tuple[Tensor, ...]) -> None:
    """The inverse of `Layout.divide`, into `rows`."""
    into_prefix, into_suffixes = layout.divide(rows, len(prefix))
    for target, part in zip((*into_prefix, *into_suffixes), (*prefix, *suffixes), strict=True):
        target.copy_(part)


def _derivative(gradient: Tensor, queries: Tensor, seen: KeysValues, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `attend`'s queries, keys and values, given that of its result [..., H, C, D/H]."""
    gradient = gradient.contiguous()
    to_weights = _products(gradient, seen.values.mT)
    to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, weights.dtype)
    to_scores *= queries.shape[-1] ** -0.5
    return _products(to_scores, seen.keys), _products(to_scores.mT, queries), _products(weights.mT, gradient)


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products over all leading axes."""
    products = torch.bmm(a.flatten(0, -3), b.flatten(0, -3))
    return products.view(*a.shape[:-1], b.shape[-1])
