"""Pictures of an explanation: what the model sees, and where in it the evidence lies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor

from cocoop.clip import CLIP, Preprocess
from cocoop.data import open_image
from cocoop.reports.page.style import jpeg
from cocoop.rgb import Exif, as_rgb
from cocoop.serving import Named
from cocoop.serving.encode import load

_SIDE = 160  # pixels of a picture on the page
_INK = (235, 110, 0)
_OPACITY = 0.8  # of the ink where there is the most evidence


class Seen(NamedTuple):
    """JPEG files of `_SIDE` pixels: the picture as the model sees it, and that in grey under its evidence."""

    picture: bytes
    evidence: bytes


def pixels_of(clip: CLIP, named: Named, exif: Exif) -> Tensor:
    """What the image tower gets of a picture, [3, N, N] float32. `ImageError` where it cannot be read."""
    loaded = load(named.picture)
    image = open_image(named.key, loaded, exif) if isinstance(loaded, bytes) else as_rgb(loaded, exif)
    return clip.preprocess(image)


def seen(preprocess: Preprocess, pixels: Tensor, cells: Tensor) -> Seen:
    """The pictures of pixels [3, N, N] with evidence [G, G], 0 or more."""
    picture = preprocess.restored(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    weights = (255 * _OPACITY * cells / cells.max().clamp(min=1e-12)).round().to(torch.uint8).numpy()
    mask = Image.fromarray(weights).resize(picture.size, Image.Resampling.BILINEAR)
    grey = ImageOps.grayscale(picture).convert("RGB")
    return Seen(jpeg(picture), jpeg(Image.composite(Image.new("RGB", picture.size, _INK), grey, mask)))
