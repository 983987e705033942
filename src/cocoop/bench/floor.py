"""The floor: the time of exactly those matrix products that no exact method can do without.

The text tower, for G images, K classes, M context slots and T suffix tokens, with N = G (M + T) rows: SOS is the same
for all images and the suffixes' query, key and value in layer 0 do not depend on the image, so neither counts; after
the last attention only the EOT rows, G K, are read.

| layer | query, key, value | output, MLP |
|---|---|---|
| 0 | G M rows | N rows |
| 1 .. L - 2 | N rows | N rows |
| L - 1 | key and value: N rows; query: G K rows | G K rows |

and the projection of G K rows. The weights are frozen, so the backward pass is the same products transposed.

The vision transformer, for B images of P patches: the embedding of B P patches, all products of B (P + 1) rows in every
layer but the last, where only the class token is read: B rows of each, because one query needs no token's own key and
value; and the projection of B rows.

Left out, which makes the floor stricter: attention's own products, norms, activations, biases, residuals, all copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.clip.image.vit import ImageTower
from cocoop.clip.text.tower import TextTower
from cocoop.errors import InputError

ROWS_AT_ONCE = 8192
"""More rows than this go through the tower in parts of about equal size."""


def gflops(multiply_adds: int, milliseconds: float) -> float:
    """A matrix rate: 10^9 operations (two per multiply-add) per second."""
    return 2 * multiply_adds / milliseconds / 1e6


class BesideFloor:
    """A measured time beside that of the floor's products; what both have in milliseconds."""

    ours_ms: float
    floor_ms: float
    floor_multiply_adds: int

    @property
    def times_floor(self) -> float:
        """Ours as a multiple of the floor."""
        return self.ours_ms / self.floor_ms

    @property
    def floor_gflops(self) -> float:
        """The matrix rate that the floor reached; see `gflops`."""
        return gflops(self.floor_multiply_adds, self.floor_ms)


class Product(NamedTuple):
    """[rows, in] times the transpose of `weight` [out, in]."""

    rows: int
    weight: Tensor


class Products:
    """Matrix products, ready to run on random inputs into buffers allocated before.

    Args:
        clip: whose device, dtype and precision to compute in.
        parts: the products of each part, in their order.
    """

    def __init__(self, clip: CLIP, parts: Sequence[Sequence[Product]]) -> None:
        self.parts = parts
        most: dict[int, int] = {}
        for rows, weight in (product for part in parts for product in part):
            for width in weight.shape:
                most[width] = max(rows, most.get(width, 0))
        self._precision = clip.products
        like = clip.text.positions
        generator = torch.Generator().manual_seed(0)
        self._inputs = {
            width: torch.randn(n, width, generator=generator).to(like.device, like.dtype) for width, n in most.items()
        }
        self._outputs = {width: torch.empty_like(values) for width, values in self._inputs.items()}

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the forward pass; the backward pass has as many again."""
        return sum(rows * weight.numel() for part in self.parts for rows, weight in part)

    @torch.no_grad()
    def forward(self) -> None:
        """All products once."""
        with self._precision():
            for part in self.parts:
                self._forward(part)

    @torch.no_grad()
    def forward_and_backward(self) -> None:
        """All products, and the gradients of their inputs: gradient [rows, out] times weight [out, in]."""
        with self._precision():
            for part in self.parts:
                self._forward(part)
                self._backward(part)

    def _forward(self, part: Sequence[Product]) -> None:
        for rows, weight in part:
            width_out, width_in = weight.shape
            torch.mm(self._inputs[width_in][:rows], weight.T, out=self._outputs[width_out][:rows])

    def _backward(self, part: Sequence[Product]) -> None:
        for rows, weight in reversed(part):
            width_out, width_in = weight.shape
            torch.mm(self._inputs[width_out][:rows], weight, out=self._outputs[width_in][:rows])


class Floor(Products):
    """The products of a text tower.

    Args:
        clip: whose text tower's weights to multiply with, in their order. At least two layers.
        images: G.
        classes: K.
        tokens: T, the suffix tokens of all classes together.
        context_length: M.
    """

    def __init__(self, clip: CLIP, images: int, classes: int, tokens: int, context_length: int) -> None:
        rows = images * (context_length + tokens)
        count = -(-rows // ROWS_AT_ONCE)
        split = zip(
            _evenly(rows, count),
            _evenly(images * context_length, count),
            _evenly(images * classes, count),
            strict=True,
        )
        super().__init__(clip, [list(_products(clip.text, *sizes)) for sizes in split])


class ImageFloor(Products):
    """The products of a vision transformer.

    Args:
        clip: whose image tower's weights to multiply with, in their order.
        images: B.
    """

    def __init__(self, clip: CLIP, images: int) -> None:
        tower = clip.image_tower
        if not isinstance(tower, ImageTower):
            raise InputError("image floor: expected a vision transformer; got a ResNet.")
        count = -(-images * (tower.image_size // tower.patch) ** 2 // ROWS_AT_ONCE)
        super().__init__(clip, [list(_image_products(tower, some)) for some in _evenly(images, min(count, images))])


def _products(tower: TextTower, rows: int, prefix_rows: int, eot_rows: int) -> Iterator[Product]:
    """The products over this many rows of each kind, first to last."""
    *inner, last = tower.layers
    for number, block in enumerate(inner):
        yield Product(rows if number else prefix_rows, block.qkv.weight)
        for linear in (block.out, block.fc, block.proj):
            yield Product(rows, linear.weight)
    yield Product(rows, last.qkv.weight[tower.width :])
    yield Product(eot_rows, last.qkv.weight[: tower.width])
    for linear in (last.out, last.fc, last.proj, tower.projection):
        yield Product(eot_rows, linear.weight)


def _image_products(tower: ImageTower, images: int) -> Iterator[Product]:
    """The products over this many images, first to last."""
    model: Any = tower.vision_model
    kernel = model["embeddings"].patch_embedding.weight.flatten(1)
    patches = images * (tower.image_size // tower.patch) ** 2
    yield Product(patches, kernel)
    *inner, last = model["encoder"]["layers"]
    for rows, layer in [*((images + patches, layer) for layer in inner), (images, last)]:
        for linear in (*(layer.self_attn[f"{name}_proj"] for name in ("q", "k", "v", "out")), *layer.mlp.values()):
            yield Product(rows, linear.weight)
    yield Product(images, tower.projection.weight)


def _evenly(total: int, parts: int) -> list[int]:
    """`total` as a sum of `parts` numbers that differ by at most one."""
    return [total // parts + (number < total % parts) for number in range(parts)]
