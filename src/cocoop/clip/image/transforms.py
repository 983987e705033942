"""Pillow image -> pixels [3, N, N]: a CLIP's own test transform, and the papers' training transform.

Written with Pillow alone. torchvision's functions, which the original uses, do the same arithmetic on Pillow
images; transformers' CLIP image processor does not (its centre crop is one pixel off on odd margins).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cocoop.errors import expect_choice
from cocoop.framing import INTERPOLATIONS, RESIZE_MODES, framed
from cocoop.rgb import as_rgb

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

_CROP_AREA = (0.08, 1.0)
_CROP_ASPECT = (3 / 4, 4 / 3)
_CROP_TRIES = 10


@dataclass(frozen=True)
class Preprocess:
    """A CLIP's test transform: resize, scale to 0..1, normalise. The defaults are OpenAI's.

    Sources: openai/CLIP clip.py `_transform`; for the others, open_clip transform.py. The image becomes RGB first, as
    in the CoOp code (Dassl:dassl/data/data_manager.py), and by `as_rgb(image, "ignore")`; OpenAI's code converts after
    the crop, which differs only for palettes, transparency and more than 8 bits. What is resized and cropped how says
    `cocoop.framing.framed`.

    Args:
        size: N, pixels.
        mean, std: of the three channels, of values in 0..1.
        resize_mode: "shortest" makes the shorter side N and crops the centre; "squash" makes both sides N.
        interpolation: "bicubic" or "bilinear", Pillow's.

    Raises:
        InputError: another resize mode or interpolation.
    """

    size: int
    mean: Sequence[float] = OPENAI_MEAN
    std: Sequence[float] = OPENAI_STD
    resize_mode: str = "shortest"
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        expect_choice("resize_mode", self.resize_mode, RESIZE_MODES)
        expect_choice("interpolation", self.interpolation, INTERPOLATIONS)

    def __call__(self, image: Image.Image) -> Tensor:
        """A Pillow image of any mode and size -> pixels [3, size, size] float32."""
        image = as_rgb(image, "ignore")
        return self.normalise(framed(image, self.size, self.resize_mode, self.interpolation))

    def resize(self, image: Image.Image, width: int, height: int) -> Image.Image:
        """An RGB image in another size, pixels, by this transform's interpolation."""
        return image.resize((width, height), INTERPOLATIONS[self.interpolation])

    def normalise(self, image: Image.Image) -> Tensor:
        """A Pillow image as float32 pixels [3, H, W], channel-wise (x / 255 - mean) / std."""
        pixels = torch.from_numpy(np.array(as_rgb(image, "original"))).permute(2, 0, 1).float().div_(255)
        mean, std = self._channels
        return pixels.sub_(mean).div_(std)

    def restored(self, pixels: Tensor) -> Image.Image:
        """The RGB image that `normalise` made these pixels [3, H, W] of."""
        mean, std = self._channels
        values = (255 * (pixels * std + mean)).round().clamp(0, 255).to(torch.uint8)
        return Image.fromarray(np.ascontiguousarray(values.permute(1, 2, 0).numpy()))

    @cached_property
    def _channels(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, [3, 1, 1] each."""
        return torch.tensor(self.mean)[:, None, None], torch.tensor(self.std)[:, None, None]


def augment(image: Image.Image, preprocess: Preprocess, rng: random.Random) -> Tensor:
    """The papers' training transform: random resized crop (area 0.08-1), then a flip half of the time.

    Same distribution as Dassl's `random_resized_crop` + `random_flip`, drawn from `rng` alone, so a view is a pure
    function of the image and the generator's state. As there, one interpolation serves training and test (bicubic in
    the papers). Returns [3, N, N] float32.
    """
    box = _random_box(*image.size, rng)
    # Crop first, then resize: interpolation must not see pixels outside the crop.
    view = preprocess.resize(as_rgb(image, "original").crop(box), preprocess.size, preprocess.size)
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return preprocess.normalise(view)


def _random_box(width: int, height: int, rng: random.Random) -> tuple[int, int, int, int]:
    """A crop box of random area and log-uniform aspect; after ten misfits the largest centred box allowed."""
    for _ in range(_CROP_TRIES):
        area = width * height * rng.uniform(*_CROP_AREA)
        aspect = math.exp(rng.uniform(math.log(_CROP_ASPECT[0]), math.log(_CROP_ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            return left, top, left + w, top + h
    aspect = min(max(width / height, _CROP_ASPECT[0]), _CROP_ASPECT[1])
    w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
