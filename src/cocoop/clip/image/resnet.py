"""OpenAI's ResNet image towers (RN50, RN101, RN50x4, RN50x16, RN50x64), frozen.

As nothing here is trained, every batch norm is an affine map of its convolution's result, and part of that convolution:
its weight is gamma / sqrt(var + eps) times the checkpoint's, its bias beta - mean * gamma / sqrt(var + eps).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cocoop.errors import InputError

_HEAD_WIDTH = 64  # of the attention pool: OpenAI's code has 32 * width // 64 heads
_EPS = 1e-5  # of torch's batch norm
_NORM = ("weight", "bias", "running_mean", "running_var")
_IGNORED = ".num_batches_tracked"  # counts training steps
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST_BLOCKS = 256  # in a stage (published: 36); bounds what is built before the tensors are looked at
_TELLING = ("conv3.weight", "attnpool.positional_embedding", "attnpool.c_proj.weight")  # what all sizes follow from
_REMEDY = "Take the model's whole state dict, or download the file again."
_SHOWN = 3  # names in a message


class Bottleneck(nn.Module):
    """A residual block, [B, C, H, W] -> [B, 4 planes, H / stride, W / stride].

    Strides are average pools, before the last convolution and before the shortcut's, so that every cell counts.
    """

    def __init__(self, channels: int, planes: int, stride: int, resized: bool) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels, planes, 1)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1)
        # In checkpoints its convolution is downsample.0, and downsample.1 the norm.
        self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * planes, 1)) if resized else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        hidden = self.conv1(x).relu_()
        hidden = self.conv2(hidden).relu_()
        hidden = self.conv3(self._pool(hidden))
        return cast(Tensor, hidden.add_(self.downsample(self._pool(x))).relu_())

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    """[B, C, G, G] -> [B, E]: the mean of all cells attends to itself and to the cells, H heads of 64.

    `positional_embedding` [G * G + 1, C] is added to [mean, cells] first. Source: clip/model.py AttentionPool2d.
    """

    def __init__(self, grid: int, width: int, joint_width: int) -> None:
        super().__init__()
        self.heads = width // _HEAD_WIDTH
        self.positional_embedding = nn.Parameter(torch.empty(grid * grid + 1, width))
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, joint_width)

    def forward(self, x: Tensor, observe: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Image features before the unit norm."""
        cells = x.flatten(2).mT
        if observe is not None:
            cells = observe(cells)
        states = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1) + self.positional_embedding
        parts = (self.q_proj(states[:, :1]), self.k_proj(states), self.v_proj(states))
        pooled = F.scaled_dot_product_attention(
            *(part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        )
        return cast(Tensor, self.c_proj(pooled.flatten(1)))


class ResNetTower(nn.Module):
    """f(.): pixels [B, 3, N, N] -> image features [B, E] before the unit norm; build one with `from_openai`.

    A stem of three 3x3 convolutions and an average pool, to a quarter of N; four stages of bottlenecks, to N / 32 = G;
    attention pooling. Source: arXiv 2103.00020, section 2.4; openai/CLIP clip/model.py ModifiedResNet.

    Args:
        layers: blocks of the four stages.
        width: w, channels behind the stem, even. The last stage has 32 w.
        grid: G. joint_width: E.

    Attributes:
        image_size: N = 32 G, pixels. grid: G.
    """

    def __init__(self, layers: Sequence[int], width: int, grid: int, joint_width: int) -> None:
        super().__init__()
        self.grid, self.image_size = grid, 32 * grid
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1)
        self.layer1 = _stage(width, width, layers[0], stride=1)
        self.layer2 = _stage(4 * width, 2 * width, layers[1], stride=2)
        self.layer3 = _stage(8 * width, 4 * width, layers[2], stride=2)
        self.layer4 = _stage(16 * width, 8 * width, layers[3], stride=2)
        self.attnpool = AttentionPool(grid, 32 * width, joint_width)

    @classmethod
    def from_openai(cls, state: Mapping[str, Tensor]) -> ResNetTower:
        """The tower of these tensors, frozen, in float32, or in float64 if one of them is.

        Args:
            state: tensors of a `ModifiedResNet` in OpenAI's names, without "visual."; all sizes are theirs.

        Raises:
            InputError: a tensor is missing, unknown, of another shape than the others ask for, or not floating-point;
                or a variance is negative.
        """
        state = {name: tensor for name, tensor in state.items() if not name.endswith(_IGNORED)}
        layers, *sizes = _sizes(state)
        with torch.device("meta"):
            tower = cls(layers, *sizes)
        _check(tower, state)
        dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in state.values()) else torch.float32
        weights = {name: tensor.to(dtype) for name, tensor in state.items() if name.startswith("attnpool.")}
        for name, _ in _convolutions(tower):
            weights[f"{name}.weight"], weights[f"{name}.bias"] = _fold(state, name, dtype)
        tower.load_state_dict(weights, assign=True)
        return tower.requires_grad_(False)

    def forward(self, pixels: Tensor, observe: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Image features before the unit norm.

        `observe` is given the cells that are pooled, [B, G * G, 32 w], row by row, and what it returns takes their
        place.
        """
        x = self.conv1(pixels).relu_()
        x = self.conv2(x).relu_()
        x = F.avg_pool2d(self.conv3(x).relu_(), 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast(Tensor, self.attnpool(x, observe))

    @property
    def formula(self) -> dict[str, Any]:
        """The settings that the tensors do not show, by transformers' names: heads and activation."""
        return {"num_attention_heads": self.attnpool.heads, "hidden_act": "relu"}

    def describe(self) -> dict[str, str | int | list[int]]:
        """Its kind and sizes, by name."""
        return {
            "kind": "ResNet",
            "layers": [len(stage) for stage in (self.layer1, self.layer2, self.layer3, self.layer4)],
            "width": self.conv3.out_channels,
            "heads": self.attnpool.heads,
            "image_size": self.image_size,
            "joint_width": self.attnpool.c_proj.out_features,
        }


def _stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, planes, stride, resized=True)
    return nn.Sequential(first, *(Bottleneck(4 * planes, planes, 1, resized=False) for _ in range(1, blocks)))


def _convolutions(tower: ResNetTower) -> Iterator[tuple[str, nn.Conv2d]]:
    return ((name, module) for name, module in tower.named_modules() if isinstance(module, nn.Conv2d))


def _norm_of(convolution: str) -> str:
    """The checkpoint's name of the batch norm behind a convolution."""
    return convolution.replace("downsample.0", "downsample.1").replace("conv", "bn")


def _sizes(state: Mapping[str, Tensor]) -> tuple[list[int], int, int, int]:
    """Blocks of the stages, width, grid and joint width; no larger than three tensors that fit each other are."""
    _refuse("missing", [name for name in _TELLING if name not in state])
    shapes = [tuple(state[name].shape) for name in _TELLING]
    width, positions, joint_width = (shape[0] if shape else 0 for shape in shapes)
    grid = math.isqrt(max(positions - 1, 0))
    fitting = [(width, width // 2, 3, 3), (grid * grid + 1, 32 * width), (joint_width, 32 * width)]
    if shapes != fitting or width < 2 or width % 2 or grid < 1 or joint_width < 1:
        raise InputError(
            f"ResNet image tower: expected {', '.join(_TELLING)} of shapes [w, w / 2, 3, 3], [G * G + 1, 32 w], "
            f"[E, 32 w] with an even w; got {', '.join(str(list(shape)) for shape in shapes)}. {_REMEDY}"
        )
    return [_count_blocks(state, f"layer{stage}.") for stage in (1, 2, 3, 4)], width, grid, joint_width


def _count_blocks(state: Mapping[str, Tensor], stage: str) -> int:
    """How many blocks a stage has names of; whether they are 0, 1, 2, ... shows in the names."""
    numbers = {name.removeprefix(stage).partition(".")[0] for name in state if name.startswith(stage)}
    return min(max(len(numbers), 1), _MOST_BLOCKS)


def _check(tower: ResNetTower, state: Mapping[str, Tensor]) -> None:
    """Raise `InputError` unless the state holds the tensors of the tower and of its batch norms, and nothing else."""
    expected = {f"attnpool.{name}": tensor.shape for name, tensor in tower.attnpool.named_parameters()}
    for name, convolution in _convolutions(tower):
        expected[f"{name}.weight"] = convolution.weight.shape
        expected |= {f"{_norm_of(name)}.{kind}": torch.Size([convolution.out_channels]) for kind in _NORM}
    _refuse("missing", [name for name in expected if name not in state])
    _refuse("unknown", [name for name in state if name not in expected])
    misshapen = {name: shape for name, shape in expected.items() if state[name].shape != shape}
    _refuse("misshapen", [f"{name} {list(state[name].shape)} for {list(size)}" for name, size in misshapen.items()])
    odd = {name: tensor.dtype for name, tensor in state.items() if tensor.dtype not in _DTYPES}
    _refuse("of another dtype than float16 to float64", [f"{name} ({dtype})" for name, dtype in odd.items()])


def _refuse(what: str, names: Sequence[str]) -> None:
    if names:
        raise InputError(
            "ResNet image tower: expected every tensor of OpenAI's ModifiedResNet, in matching shapes, and no others; "
            f"got {len(names)} {what}, such as {', '.join(names[:_SHOWN])}. {_REMEDY}"
        )


def _fold(state: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch norm behind it; the norm's statistics go through float64."""
    norm = _norm_of(name)
    gamma, beta, mean, variance = (state[f"{norm}.{kind}"].double() for kind in _NORM)
    if not (variance >= 0).all():  # nor may it be NaN
        _refuse("with a negative variance", [f"{norm}.running_var"])
    scale = gamma / (variance + _EPS).sqrt()
    weight = state[f"{name}.weight"]
    # Channels last: a tenth faster on a CPU, whatever the layout of the pixels.
    folded = torch.empty_like(weight, dtype=dtype, memory_format=torch.channels_last)
    return torch.mul(weight, scale.to(dtype)[:, None, None, None], out=folded), (beta - mean * scale).to(dtype)
