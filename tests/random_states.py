"""Small random CLIPs in OpenAI's parameter names whose image tower is a ResNet. `golden_clip` has a vision transformer.

Every tensor is a pure function of its name, shape and seed, as the golden ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from golden_clip import weights
from torch import Tensor


def random_resnet_state(
    layers: Sequence[int] = (1, 2, 1, 1), width: int = 8, grid: int = 2, joint: int = 32, seed: int = 0
) -> dict[str, Tensor]:
    """A ModifiedResNet ("visual.*") with statistics as after training: float32, but for the counts of steps.

    width: even. Images have 32 * grid pixels a side; heads are width // 2.
    """
    convolutions = _stem(width)
    for stage, blocks in enumerate(layers):
        convolutions += _stage(f"visual.layer{stage + 1}", width * 2**stage, blocks, first_stage=stage == 0)
    state = {}
    for convolution, norm, shape in convolutions:
        state[f"{convolution}.weight"] = _normal(
            f"{convolution}.weight", shape, seed, math.sqrt(2 / np.prod(shape[1:]))
        )
        state |= _norm(norm, shape[0], seed)
    return state | _attention_pool(32 * width, grid, joint, seed)


def random_text_state(
    joint: int = 32,
    width: int = 64,
    layers: int = 2,
    vocabulary: int = 2125,
    context_length: int = 77,
    seed: int = 0,
) -> dict[str, Tensor]:
    """A text tower and `logit_scale` = ln 100; heads are width // 64. The vocabulary is the bundled CLIP's."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (vocabulary, width),
        "positional_embedding": (context_length, width),
        "text_projection": (width, joint),
    }
    state = {"logit_scale": torch.tensor(math.log(100)), **_layer_norm("ln_final", width, seed)}
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        for name, size in (
            ("attn.in_proj_", (3 * width, width)),
            ("attn.out_proj.", (width, width)),
            ("mlp.c_fc.", (4 * width, width)),
            ("mlp.c_proj.", (width, 4 * width)),
        ):
            shapes |= {f"{block}.{name}weight": size, f"{block}.{name}bias": size[:1]}
        for norm in ("ln_1", "ln_2"):
            state |= _layer_norm(f"{block}.{norm}", width, seed)
    return state | {name: _normal(name, shape, seed, shape[-1] ** -0.5) for name, shape in shapes.items()}


def random_clip_state(seed: int = 0) -> dict[str, Tensor]:
    """A whole CLIP with a ResNet: images of 64 pixels, E = 32, the bundled CLIP's vocabulary."""
    return random_resnet_state(seed=seed) | random_text_state(seed=seed)


_Convolution = tuple[str, str, tuple[int, ...]]
"""Its name, its norm's, and the shape of its weight."""


def _stem(width: int) -> list[_Convolution]:
    channels = (3, width // 2, width // 2, width)
    return [(f"visual.conv{i}", f"visual.bn{i}", (channels[i], channels[i - 1], 3, 3)) for i in (1, 2, 3)]


def _stage(name: str, planes: int, blocks: int, first_stage: bool) -> list[_Convolution]:
    convolutions: list[_Convolution] = []
    before = planes if first_stage else 2 * planes
    for i in range(blocks):
        block, channels = f"{name}.{i}", before if i == 0 else 4 * planes
        for number, shape in enumerate(
            [(planes, channels, 1, 1), (planes, planes, 3, 3), (4 * planes, planes, 1, 1)], start=1
        ):
            convolutions.append((f"{block}.conv{number}", f"{block}.bn{number}", shape))
        if i == 0:
            convolutions.append((f"{block}.downsample.0", f"{block}.downsample.1", (4 * planes, channels, 1, 1)))
    return convolutions


def _norm(name: str, width: int, seed: int) -> dict[str, Tensor]:
    """A batch norm whose weights are of either sign, and whose variances lie in 0.1..3."""
    noise = {kind: weights.seeded(f"{name}.{kind}", (width,), seed) for kind in ("weight", "bias", "mean", "var")}
    return {
        f"{name}.weight": torch.from_numpy(np.sign(noise["weight"]) * (0.4 + 0.3 * abs(noise["weight"]))),
        f"{name}.bias": torch.from_numpy(0.3 * noise["bias"]),
        f"{name}.running_mean": torch.from_numpy(0.5 * noise["mean"]),
        f"{name}.running_var": torch.from_numpy(np.clip(np.exp(noise["var"]), 0.1, 3.0)),
        f"{name}.num_batches_tracked": torch.tensor(1000),
    }


def _attention_pool(width: int, grid: int, joint: int, seed: int) -> dict[str, Tensor]:
    name = "visual.attnpool."
    state = {f"{name}positional_embedding": _normal(f"{name}positional_embedding", (grid * grid + 1, width), seed, 0.3)}
    for letter, out in zip("qkvc", (width, width, width, joint), strict=True):
        # Larger than at the start of training, so that the attention is far from uniform.
        state[f"{name}{letter}_proj.weight"] = _normal(
            f"{name}{letter}_proj.weight", (out, width), seed, 1.5 * width**-0.5
        )
        state[f"{name}{letter}_proj.bias"] = _normal(f"{name}{letter}_proj.bias", (out,), seed, 0.3)
    return state


def _layer_norm(name: str, width: int, seed: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": 1 + _normal(f"{name}.weight", (width,), seed, 0.1),
        f"{name}.bias": _normal(f"{name}.bias", (width,), seed, 0.1),
    }


def _normal(name: str, shape: Sequence[int], seed: int, scale: float) -> Tensor:
    return torch.from_numpy(weights.seeded(name, tuple(shape), seed)) * scale
