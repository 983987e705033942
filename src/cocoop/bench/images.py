"""The image tower against its floor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from cocoop.bench.clock import best_seconds, timed
from cocoop.bench.floor import BesideFloor, ImageFloor
from cocoop.clip import CLIP


@dataclass(frozen=True)
class ImageCell(BesideFloor):
    """Image features of B images in one pass. Times are milliseconds per image.

    Attributes:
        images: B. ours_ms: pixels to features. floor_ms: the matrix products alone; see `cocoop.bench.floor`.
        floor_multiply_adds: of these products, per image.
    """

    images: int
    ours_ms: float
    floor_ms: float
    floor_multiply_adds: int

    @property
    def images_per_second(self) -> float:
        """How many are encoded in a second."""
        return 1000 / self.ours_ms


def measure_images(clip: CLIP, images: int, rounds: int) -> ImageCell:
    """Measure `ImageCell` for B images at a time; tower and floor take turns."""
    size = clip.preprocess.size
    pixels = torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(0)).to(clip.device, clip.dtype)
    floor = ImageFloor(clip, images)
    works = {
        "ours": timed(partial(clip.encode_images, pixels), clip.device),
        "floor": timed(floor.forward, clip.device),
    }
    seconds = best_seconds(works, rounds)
    return ImageCell(
        images=images,
        ours_ms=1000 * seconds["ours"] / images,
        floor_ms=1000 * seconds["floor"] / images,
        floor_multiply_adds=floor.multiply_adds // images,
    )
