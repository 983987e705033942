"""Image features for training and scoring: the frozen image tower runs ahead of the loop, in large batches.

The original encodes each training image inside its step, one at a time at batch size 1. The image tower is frozen,
so its outputs do not depend on the steps before: many views can be encoded at once, with the same features (up to
rounding), in batches of a size that suits the machine rather than the optimiser.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from cocoop.clip import CLIP, Preprocess, augment
from cocoop.data import open_image
from cocoop.progress import progress

Picture = str | os.PathLike[str] | Image.Image
"""An image file, or an image that is already open."""

_AT_ONCE = 64


class FeatureSource(Protocol):
    """Where the training loop gets image features from."""

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """Features [<= batch_size, E] of the images `order`, as they look in this epoch."""


class FixedFeatures:
    """Features [N, E] that are the same in every epoch."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`."""
        yield from self.features[list(order)].split(batch_size)


class AugmentedFeatures:
    """Features of a fresh random view of every image in every epoch (random resized crop and flip).

    A view is a pure function of (seed, epoch, image), whatever the batch size.
    """

    def __init__(self, clip: CLIP, pictures: Sequence[Picture], seed: int) -> None:
        self.clip = clip
        self.pictures = pictures
        self.seed = seed

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`."""
        views = _Views(self.pictures, self.clip.preprocess, order, f"{self.seed}:{epoch}")
        at_once = batch_size * max(1, _AT_ONCE // batch_size)
        for pixels in views.batches(at_once):
            yield from self.clip.encode_images(pixels).split(batch_size)


def encode_pictures(clip: CLIP, pictures: Sequence[Picture]) -> Tensor:
    """Un-augmented images -> image features [N, E], unit norm, with a progress bar.

    Raises:
        InputError: an image that does not decode; names it.
    """
    views = _Views(pictures, clip.preprocess, range(len(pictures)), None)
    batches = progress(views.batches(_AT_ONCE), "encoding images", -(-len(pictures) // _AT_ONCE))
    return torch.cat([clip.encode_images(pixels) for pixels in batches])


class _Views:
    """Pixels [3, N, N] of the pictures in the given order; random views if there is a `key`, else the test view."""

    def __init__(
        self, pictures: Sequence[Picture], preprocess: Preprocess, order: Sequence[int], key: str | None
    ) -> None:
        self.pictures, self.preprocess, self.order, self.key = pictures, preprocess, order, key

    def batches(self, batch_size: int) -> Iterator[Tensor]:
        """[<= batch_size, 3, N, N] at a time. Threads, because Pillow lets them run side by side."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self.order), batch_size):
                yield torch.stack(list(pool.map(self._view, self.order[start : start + batch_size])))

    def _view(self, number: int) -> Tensor:
        picture = self.pictures[number]
        image = picture if isinstance(picture, Image.Image) else open_image(Path(picture))
        if self.key is None:
            return self.preprocess(image)
        return augment(image, self.preprocess, Random(f"{self.key}:{number}"))
