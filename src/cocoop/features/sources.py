"""Image features for training and scoring: the frozen image tower runs ahead of the loop, in large batches.

The original encodes each training image inside its step, one at a time at batch size 1. The image tower is frozen,
so its outputs do not depend on the steps before: many views can be encoded at once, with the same features (up to
rounding), in batches of a size that suits the machine rather than the optimiser, and kept.

Matrix products of another shape may round otherwise (by 2e-7 in a unit-norm feature, measured), so batches are filled
up to one size: then a feature is the same to the bit whichever images were encoded beside it, and whether it was
computed now or came from a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.features.blocks import gone
from cocoop.features.pixels import Look, Picture, View, contents, load_open_images, pixel_batches, processes_for
from cocoop.features.store import FeatureStore, StoredFeatures
from cocoop.progress import counter

_AT_ONCE = {"cpu": 16}
_AT_ONCE_ELSEWHERE = 64

_GROUP = 2048
"""Features that are encoded ahead, written or gathered at once, 4 MB at E = 512."""


class Features(Protocol):
    """Image features [N, E], unit norm: a tensor, or what reads a part of them [n, E] from a disk when it is asked."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, part: slice, /) -> Tensor:
        """Some of them [n, E]."""


class FeatureSource(Protocol):
    """Where the training loop gets image features from."""

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """Features [<= batch_size, E] of the images `order`, as they look in this epoch."""


class FixedFeatures:
    """Features [N, E] that are the same in every epoch."""

    def __init__(self, features: Tensor | StoredFeatures) -> None:
        self.features = features

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`."""
        # Many batches at once: at each gathering a GPU and its host wait for each other, and a store opens its files.
        group = max(1, _GROUP // batch_size) * batch_size
        for start in range(0, len(order), group):
            yield from self.features[list(order[start : start + group])].split(batch_size)


class AugmentedFeatures:
    """Features of random views of every image (random resized crop and flip), epoch after epoch.

    Epoch e takes view e mod V of all images. What a `View` shows of an image depends on nothing else, so all that train
    on it with this seed see the same, and a store computes it once. Views are encoded ahead, all of an epoch at least,
    so that an image that does not decode is found before the first step.

    Args:
        clip: the frozen CLIP.
        pictures: [N] the images.
        seed: of the views.
        epochs: of the training; each of them is asked for once, in order.
        views: V; None takes a fresh view in every epoch, which is the papers' distribution.
        store: where to find and keep the features; None keeps in memory what a later epoch needs.

    Raises:
        InputError: an open image that does not decode, or with a store a file that cannot be read; names it. In
            `batches` a file that does not decode. RunError: in `batches` what a store raises.
    """

    def __init__(
        self,
        clip: CLIP,
        pictures: Sequence[Picture],
        seed: int,
        epochs: int,
        views: int | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        self.clip, self.pictures, self.seed, self.epochs, self.store = clip, pictures, seed, epochs, store
        self.views = min(views or epochs, epochs)
        load_open_images(pictures)
        self._contents = contents(pictures) if store else None
        self._ready: dict[int, Tensor | StoredFeatures] = {}

    def batches(self, epoch: int, order: Sequence[int], batch_size: int) -> Iterator[Tensor]:
        """See `FeatureSource`."""
        number = epoch % self.views
        if number not in self._ready:
            numbers = range(number, min(self.views, number + max(1, _GROUP // len(self.pictures))))
            views = [View(self.seed, one) for one in numbers]
            found = self._encoded(views)
            self._ready.update(zip(numbers, found, strict=True))
        yield from FixedFeatures(self._ready[number]).batches(epoch, order, batch_size)
        if epoch + self.views >= self.epochs:
            del self._ready[number]

    def _encoded(self, views: Sequence[View]) -> Sequence[Tensor | StoredFeatures]:
        if self.store is not None and self._contents is not None:
            return _stored(self.store, self.pictures, self._contents, views)
        looks = (Look(picture, view) for view in views for picture in self.pictures)
        batches = _encode(self.clip, looks, len(views) * len(self.pictures), self.pictures, fill=True)
        return list(torch.cat([*batches]).split(len(self.pictures)))


def encode_pictures(
    clip: CLIP, pictures: Sequence[Picture], store: FeatureStore | None = None, fill: bool = False
) -> Tensor | StoredFeatures:
    """Un-augmented images -> image features [N, E], unit norm, with a progress bar.

    With a store those it holds are read, the others computed and kept, and all stay on disk until they are asked for.
    `fill` costs a little where the images are fewer than one batch, and gives them the bits that a store would have.

    Raises:
        InputError: an image that does not decode; names it. RunError: the disk refuses, or a file changes meanwhile.
    """
    load_open_images(pictures)
    if store is not None:
        return _stored(store, pictures, contents(pictures), [None])[0]
    looks = (Look(picture, None) for picture in pictures)
    fill = fill or len(pictures) > _images_at_once(clip)
    return torch.cat([*_encode(clip, looks, len(pictures), pictures, fill)])


def _stored(
    store: FeatureStore, pictures: Sequence[Picture], known: NDArray[np.bytes_], views: Sequence[View | None]
) -> list[StoredFeatures]:
    """Features [N, E] of the pictures in each view, of contents `known` [N]; what the store lacks is computed first."""
    distinct, first = np.unique(known, return_index=True)  # an image that occurs twice is encoded once
    lacking = [first[~store.find(distinct, view)[1]] for view in views]
    looks = (
        Look(pictures[number], view, known[number : number + 1].tobytes())
        for view, numbers in zip(views, lacking, strict=True)
        for number in numbers.tolist()
    )
    encoded = _Taken(_encode(store.clip, looks, sum(map(len, lacking)), pictures, fill=True))
    for view, numbers in zip(views, lacking, strict=True):
        for start in range(0, len(numbers), _GROUP):
            part = known[numbers[start : start + _GROUP]]
            store.add(part, view, encoded.take(len(part)))
    return [_whole(store, known, view) for view in views]


def _whole(store: FeatureStore, known: NDArray[np.bytes_], view: View | None) -> StoredFeatures:
    features, found = store.find(known, view)
    if not found.all():
        raise gone(store.folder)
    return features


class _Taken:
    """Batches of features, taken in portions of any size."""

    def __init__(self, batches: Iterator[Tensor]) -> None:
        self.batches, self.rest = batches, torch.empty(0)

    def take(self, count: int) -> Tensor:
        """The next `count` features [count, E]."""
        parts = [self.rest] if len(self.rest) else []
        while sum(map(len, parts)) < count:
            parts.append(next(self.batches))
        whole = torch.cat(parts)
        self.rest = whole[count:]
        return whole[:count]


def _encode(clip: CLIP, looks: Iterable[Look], count: int, pictures: Sequence[Picture], fill: bool) -> Iterator[Tensor]:
    """Features of `count` looks at some of the `pictures`, in batches; `fill` gives all of these the same shape."""
    at_once = _images_at_once(clip)
    processes = processes_for(count, pictures, clip.preprocess, at_once)
    with counter("encoding images", count, " images", delay=2) as bar:
        for pixels in pixel_batches(looks, clip.preprocess, at_once, processes):
            lacking = at_once - len(pixels) if fill else 0
            filled = torch.cat([pixels, pixels[:1].expand(lacking, *pixels.shape[1:])]) if lacking else pixels
            yield clip.encode_images(filled)[: len(pixels)]
            bar.update(len(pixels))


def _images_at_once(clip: CLIP) -> int:
    return _AT_ONCE.get(clip.device.type, _AT_ONCE_ELSEWHERE)
