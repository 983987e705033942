"""The activations of released CLIPs, as both towers compute them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_aten = torch.ops.aten


class Activation(NamedTuple):
    """An activation as defined, and as base(scale z) / scale: torch has `base` and its derivative as one operation.

    base: its forward overload with `out=`. in_place: the same in place of its argument, which it returns.
    derivative: its backward overload with `grad_input=`.
    """

    defined: Callable[[Tensor], Tensor]
    base: Any
    in_place: Any
    derivative: Any
    scale: float


def _quick_gelu(z: Tensor) -> Tensor:
    return z * torch.sigmoid(1.702 * z)


ACTIVATIONS = {
    # z sigmoid(1.702 z) is silu(1.702 z) / 1.702. The matrix products before and after take in the two factors.
    "quick_gelu": Activation(_quick_gelu, _aten.silu.out, _aten.silu_.default, _aten.silu_backward.grad_input, 1.702),
    "gelu": Activation(functional.gelu, _aten.gelu.out, _aten.gelu_.default, _aten.gelu_backward.grad_input, 1.0),
}
"""Transformers' name -> activation."""
