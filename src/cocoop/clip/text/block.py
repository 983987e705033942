"""One residual layer of the text transformer, arranged for speed: few passes over memory besides the products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cocoop.clip.activations import ACTIVATIONS, Activation
from cocoop.errors import expect_choice


class Block(nn.Module):
    """x + out(attention(qkv(ln_1 x))), then x + proj(act(fc(ln_2 x))): pre-norm, frozen.

    Attention is left to the caller, between `queries_keys_values` and `finish`, because it is the one step in which the
    plain and the packed path differ. All methods take rows [N, D], whatever sequences they belong to.
    """

    def __init__(self, width: int, heads: int, hidden: int, eps: float, activation: str) -> None:
        super().__init__()
        expect_choice("text activation", activation, list(ACTIVATIONS))
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width, eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width, eps)
        self.fc = nn.Linear(width, hidden)
        self.proj = nn.Linear(hidden, width)
        self.activation_name = activation

    @property
    def activation(self) -> Activation:
        """Looked up by name, because torch's overloads cannot be pickled."""
        return ACTIVATIONS[self.activation_name]

    def queries_keys_values(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, 3 D]: query, key and value, each H heads side by side."""
        qkv: Tensor = self.qkv(self.ln_1(x))
        return qkv

    def queries(self, normed: Tensor) -> Tensor:
        """`ln_1` of rows, [N, D] -> their queries alone [N, D]."""
        width = normed.shape[-1]
        return functional.linear(normed, self.qkv.weight[:width], self.qkv.bias[:width])

    def keys_values(self, normed: Tensor) -> Tensor:
        """`ln_1` of rows, [N, D] -> their keys and values alone [N, 2 D]."""
        width = normed.shape[-1]
        return functional.linear(normed, self.qkv.weight[width:], self.qkv.bias[width:])

    def finish_plainly(self, x: Tensor, attended: Tensor) -> Tensor:
        """`finish` as the original computes it, operation by operation: equal up to rounding."""
        x = x + self.out(attended)
        y: Tensor = x + self.proj(self.activation.defined(self.fc(self.ln_2(x))))
        return y

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add the attention result and the MLP to the residual stream. x, attended: [N, D]."""
        y: Tensor = _Finish.apply(x, attended, self)  # type: ignore[no-untyped-call]
        return y


class _Finish(Function):
    """`Block.finish` with its derivative by hand: saves the MLP's input once, and works in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, attended: Tensor, block: Block) -> Tensor:
        """The residual stream after attention and MLP, [N, D]."""
        scale, norm = block.activation.scale, block.ln_2
        x = (x + block.out.bias).addmm_(attended, block.out.weight.t())
        normed, mean, rstd = torch.native_layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        hidden = torch.addmm(block.fc.bias * scale, normed, block.fc.weight.t(), alpha=scale)
        needed = any(ctx.needs_input_grad)
        active = block.activation.base(hidden, out=torch.empty_like(hidden) if needed else hidden)
        if needed:
            ctx.save_for_backward(x, mean, rstd, hidden)
            ctx.block = block
        return (x + block.proj.bias).addmm_(active, block.proj.weight.t(), alpha=1 / scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """The transposed products in reverse order. The weights are frozen: only the rows have gradients."""
        x, mean, rstd, hidden = ctx.saved_tensors
        block: Block = ctx.block
        norm = block.ln_2
        to_hidden = gradient @ block.proj.weight
        # The factor 1 / scale of `proj` and the factor scale of `fc` cancel.
        block.activation.derivative(to_hidden, hidden, grad_input=to_hidden)
        to_x: Tensor = torch.ops.aten.native_layer_norm_backward(
            to_hidden @ block.fc.weight,
            x,
            norm.normalized_shape,
            mean,
            rstd,
            norm.weight,
            norm.bias,
            [True, False, False],
        )[0]
        to_x += gradient
        return to_x, to_x @ block.out.weight, None
