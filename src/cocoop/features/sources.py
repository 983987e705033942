"""Image features for training and scoring: the frozen image tower runs ahead of the loop, in large batches.

The original encodes each training image inside its step, one at a time at batch size 1. The image tower is frozen,
so its outputs do not depend on the steps before: many views can be encoded at once, with the same features (up to
rounding), in batches of a size that suits the machine rather than the optimiser, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.features.encode import encode_views, images_at_once
from cocoop.features.pixels import Picture, View, load_open_images
from cocoop.features.store import FeatureStore, StoredFeatures
from cocoop.rgb import Exif

_GATHERED = 2048
"""Features that are gathered at once, 4 MB at E = 512."""

_AHEAD = 32_768
"""Features of random views that are encoded ahead of the epochs that need them, 64 MB at E = 512."""


class FeatureSource(Protocol):
    """Where the training loop gets image features from."""

    def __len__(self) -> int:
        """The number of images, N."""

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """Features [<= batch_size, E] of the images `order`, as they look in this epoch."""


class FixedFeatures:
    """Features [N, E] that are the same in every epoch, and the content hashes [N] of their images, where known."""

    def __init__(self, features: Tensor | StoredFeatures, contents: NDArray[np.bytes_] | None = None) -> None:
        self.features = features
        self.contents = np.empty(0, dtype="S32") if contents is None else contents

    def __len__(self) -> int:
        """See `FeatureSource`."""
        return len(self.features)

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`."""
        # Many batches at once: at each gathering a GPU and its host wait for each other, and a store opens its files.
        group = max(1, _GATHERED // batch_size) * batch_size
        for start in range(0, len(order), group):
            yield from self.features[list(order[start : start + group])].split(batch_size)


class AugmentedFeatures:
    """Features of random views of every image (random resized crop and flip), epoch after epoch.

    Epoch e takes view e mod V of all images. What a `View` shows of an image depends on nothing else, so all that train
    on it with this seed see the same, and a store computes it once. Views are encoded ahead, several of each image
    while it is open and all of an epoch at least, so that an image that does not decode is found before the first step.

    Args:
        clip: the frozen CLIP.
        pictures: [N] the images.
        seed: of the views.
        epochs: of the training; they are asked for in order.
        views: V; None takes a fresh view in every epoch, which is the papers' distribution.
        store: where to find and keep the features; None keeps in memory what a later epoch needs.
        exif: how images become RGB, see `cocoop.rgb.as_rgb`.

    Raises:
        InputError: an open image that does not decode; names it. In `contents` and `batches` an `ImageError` for a file
            that does not decode, and a `RunError` for one that has changed meanwhile, or what a store raises.
    """

    def __init__(
        self,
        clip: CLIP,
        pictures: Sequence[Picture],
        seed: int,
        epochs: int,
        views: int | None = None,
        store: FeatureStore | None = None,
        exif: Exif = "apply",
    ) -> None:
        self.clip, self.pictures, self.seed, self.epochs, self.store = clip, pictures, seed, epochs, store
        self.exif: Exif = exif
        self.views = min(views or epochs, epochs)
        load_open_images(pictures)
        self._contents: NDArray[np.bytes_] | None = None
        self._ready: dict[int, Tensor | StoredFeatures] = {}

    def __len__(self) -> int:
        """See `FeatureSource`."""
        return len(self.pictures)

    @property
    def contents(self) -> NDArray[np.bytes_]:
        """The content hashes [N] of the images; waits until the views of the first epoch are encoded."""
        return self._encode(0) if self._contents is None else self._contents

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`."""
        number = epoch % self.views
        if number not in self._ready:
            self._encode(number)
        # Not that of this epoch, which may be asked for again: a method may look at the first before it is trained.
        self._ready = {view: features for view, features in self._ready.items() if self._last_epoch(view) >= epoch}
        yield from FixedFeatures(self._ready[number]).batches(epoch, order, batch_size)

    def _last_epoch(self, number: int) -> int:
        return number + (self.epochs - 1 - number) // self.views * self.views

    def _encode(self, first: int) -> NDArray[np.bytes_]:
        """Encode some views from number `first` on. No more at once of an image than one batch holds."""
        count = max(1, min(images_at_once(self.clip.device), _AHEAD // len(self.pictures)))
        numbers = range(first, min(self.views, first + count))
        views = [View(self.seed, number) for number in numbers]
        self._contents, features = encode_views(self.clip, self.pictures, views, self.store, self._contents, self.exif)
        self._ready.update(zip(numbers, features, strict=True))
        return self._contents
