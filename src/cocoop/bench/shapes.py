"""CLIPs of the published sizes with random weights: all that a measurement needs, without a download."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cocoop.bench.words import WordTokenizer
from cocoop.clip import CLIP
from cocoop.clip.describe import describe
from cocoop.errors import InputError, expect_choice


@dataclass(frozen=True)
class Shape:
    """The sizes that make a CLIP; heads are 64 wide and MLPs four times as wide as their tower in all of them.

    Attributes:
        joint_width: E. text_width: D. text_layers: L.
        image_size, patch: of the image tower, in pixels. image_width, image_layers: its D and L.
        vocabulary: token ids. context_length: positions of a text.
    """

    joint_width: int
    text_width: int
    text_layers: int
    image_size: int
    patch: int
    image_width: int
    image_layers: int
    vocabulary: int = 49_408
    context_length: int = 77


SHAPES = {
    "tiny": Shape(128, 128, 3, 32, 8, 192, 4, vocabulary=2125),
    "ViT-B/32": Shape(512, 512, 12, 224, 32, 768, 12),
    "ViT-B/16": Shape(512, 512, 12, 224, 16, 768, 12),
    "ViT-L/14": Shape(768, 768, 12, 224, 14, 1024, 24),
    "ViT-L/14@336": Shape(768, 768, 12, 336, 14, 1024, 24),
}
"""Name -> sizes; "tiny" is the bundled CLIP's. CLIP (arXiv 2103.00020), tables 19 and 20."""


def random_clip(shape: str | Shape, device: str = "cpu", dtype: str = "float32", seed: int = 0) -> CLIP:
    """A CLIP with random weights, QuickGELU and a `WordTokenizer`.

    Args:
        shape: a name of `SHAPES`, or other sizes.
        device: as `CLIP.load` takes it.
        dtype: as `CLIP.load` takes it.
        seed: of the weights.

    Raises:
        InputError: an unknown shape, device or dtype.
    """
    sizes = named_shape(shape) if isinstance(shape, str) else shape
    return CLIP.load(random_state(sizes, seed), tokenizer=WordTokenizer(sizes.vocabulary), device=device, dtype=dtype)


def named_shape(name: str) -> Shape:
    """The sizes of a name; `InputError` lists the names for any other."""
    expect_choice("shape", name, SHAPES)
    return SHAPES[name]


def shape_of(clip: CLIP) -> Shape:
    """The sizes of a CLIP. `InputError` unless its image tower is a vision transformer."""
    told: dict[str, Any] = describe(clip, ())
    text, image = told["text_tower"], told["image_tower"]
    if "patch" not in image:
        raise InputError(f"{clip.name}: expected an image tower that is a vision transformer; got a {image['kind']}.")
    return Shape(
        joint_width=told["joint_width"],
        text_width=text["width"],
        text_layers=text["layers"],
        image_size=image["image_size"],
        patch=image["patch"],
        image_width=image["width"],
        image_layers=image["layers"],
        vocabulary=text["vocabulary"],
        context_length=text["context_length"],
    )


def random_state(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of both towers, float32, in OpenAI's parameter names.

    Weights are normal with the deviations that CLIP itself starts from (openai/CLIP clip/model.py,
    `initialize_parameters`; the image tower's layers, which it leaves to torch, start as the text tower's do).
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(std: float, *size: int) -> Tensor:
        return torch.randn(size, generator=generator).mul_(std)

    positions = (shape.image_size // shape.patch) ** 2 + 1
    text, image, joint = shape.text_width, shape.image_width, shape.joint_width
    return {
        "logit_scale": torch.tensor(math.log(1 / 0.07)),
        "token_embedding.weight": draw(0.02, shape.vocabulary, text),
        "positional_embedding": draw(0.01, shape.context_length, text),
        "text_projection": draw(text**-0.5, text, joint),
        "visual.class_embedding": draw(image**-0.5, image),
        "visual.positional_embedding": draw(image**-0.5, positions, image),
        "visual.conv1.weight": draw((3 * shape.patch**2) ** -0.5, image, 3, shape.patch, shape.patch),
        "visual.proj": draw(image**-0.5, image, joint),
        **_norm("ln_final", text),
        **_norm("visual.ln_pre", image),
        **_norm("visual.ln_post", image),
        **_layers("transformer", text, shape.text_layers, draw),
        **_layers("visual.transformer", image, shape.image_layers, draw),
    }


def _layers(prefix: str, width: int, layers: int, draw: Callable[..., Tensor]) -> dict[str, Tensor]:
    """The residual layers of one tower. Matrices that write into the residual stream start smaller."""
    std, into_stream = width**-0.5, width**-0.5 * (2 * layers) ** -0.5
    state: dict[str, Tensor] = {}
    for i in range(layers):
        block = f"{prefix}.resblocks.{i}"
        state |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
        state |= {
            f"{block}.attn.in_proj_weight": draw(std, 3 * width, width),
            f"{block}.attn.in_proj_bias": torch.zeros(3 * width),
            f"{block}.attn.out_proj.weight": draw(into_stream, width, width),
            f"{block}.attn.out_proj.bias": torch.zeros(width),
            f"{block}.mlp.c_fc.weight": draw((2 * width) ** -0.5, 4 * width, width),
            f"{block}.mlp.c_fc.bias": torch.zeros(4 * width),
            f"{block}.mlp.c_proj.weight": draw(into_stream, width, 4 * width),
            f"{block}.mlp.c_proj.bias": torch.zeros(width),
        }
    return state


def _norm(name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}
