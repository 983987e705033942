"""Images to features: each image is opened once, and its views encoded beside those of other images.

Matrix products of another shape may round otherwise (by 2e-7 in a unit-norm feature, measured), so batches are filled
up to one size: then a feature is the same to the bit whichever images were encoded beside it, and whether it was
computed now or came from a store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.features.ahead import processes_for, read_pixels
from cocoop.features.blocks import gone
from cocoop.features.pixels import ImageToRead, MissingViews, Picture, View, load_open_images
from cocoop.features.store import FeatureStore, StoredFeatures, check_finite
from cocoop.progress import counter
from cocoop.rgb import Exif

_AT_ONCE = {"cpu": 16}
_AT_ONCE_ELSEWHERE = 64

_BLOCK = 2048
"""Images whose features are written at once, 4 MB at E = 512."""

Row = tuple[bytes, int]
"""Whose feature or pixels a row of a tensor holds: the image's content hash and the number of its view."""


class Features(Protocol):
    """Image features [N, E], unit norm: a tensor, or what reads a part of them [n, E] from a disk when it is asked."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, part: slice, /) -> Tensor:
        """Some of them [n, E]."""


class Encoded(NamedTuple):
    """Images that were read and encoded.

    contents: [N] the content hashes of all images, see `ReadImages`.
    kept: the positions of the n images that were not left out.
    features: [n, E] of these, unit norm.
    """

    contents: NDArray[np.bytes_]
    kept: list[int]
    features: Tensor | StoredFeatures


def encode_pictures(
    clip: CLIP, pictures: Sequence[Picture], store: FeatureStore | None = None, exif: Exif = "apply"
) -> Tensor | StoredFeatures:
    """Un-augmented images -> image features [N, E], unit norm, with a progress bar.

    With a store those it holds are read, the others computed and kept, and all stay on disk until they are asked for.
    `exif` says how images become RGB, see `as_rgb`.

    Raises:
        InputError: an image that does not decode; names it. RunError: the disk refuses.
    """
    if store is not None:
        return read_pictures(clip, pictures, store, exif=exif).features
    load_open_images(pictures)
    return _joined(clip, _encode(clip, _to_read(pictures, exif), MissingViews(), [], fill=False))


def read_pictures(
    clip: CLIP,
    pictures: Sequence[Picture],
    store: FeatureStore | None = None,
    leave_out: Collection[bytes] = (),
    fill: bool = False,
    exif: Exif = "apply",
) -> Encoded:
    """`encode_pictures`, and the content hashes of the images. Those whose hash is in `leave_out` are not encoded.

    `fill` costs a little where the images are fewer than one batch, and gives them the bits that a store would have.
    """
    load_open_images(pictures)
    left_out = np.array(sorted(leave_out), dtype="S32")
    if store is None:
        read: list[bytes] = []
        features = _joined(clip, _encode(clip, _to_read(pictures, exif), MissingViews(there=(left_out,)), read, fill))
        contents = np.array(read, dtype="S32")
        return Encoded(contents, _positions_without(contents, left_out), features)
    store = store.opened(exif)
    contents = _fill_store(store, pictures, [None], leave_out=left_out)
    kept = _positions_without(contents, left_out)
    return Encoded(contents, kept, _whole(store, contents[kept], None) if kept else _joined(clip, ()))


def encode_views(
    clip: CLIP,
    pictures: Sequence[Picture],
    views: Sequence[View],
    store: FeatureStore | None = None,
    contents: NDArray[np.bytes_] | None = None,
    exif: Exif = "apply",
) -> tuple[NDArray[np.bytes_], Sequence[Tensor | StoredFeatures]]:
    """The content hashes [N] of images and, for each view, their features [N, E]. Open images must be loaded.

    `contents` are the hashes of an earlier reading: a file that has another one now is refused.

    Raises:
        ImageError: a file that does not decode; names it. RunError: a file has changed, or the disk refuses.
    """
    if store is not None:
        store = store.opened(exif)
        known = _fill_store(store, pictures, views, contents)
        return known, [_whole(store, known, view) for view in views]
    read: list[bytes] = []
    missing = MissingViews((*views,), (np.empty(0, dtype="S32"),) * len(views))
    features = _joined(clip, _encode(clip, _to_read(pictures, exif, contents), missing, read, fill=True))
    by_view = features.unflatten(0, (len(pictures), len(views))).transpose(0, 1).contiguous()
    return np.array(read, dtype="S32"), [*by_view]


def images_at_once(device: torch.device) -> int:
    """How many images a batch for the image tower holds."""
    return _AT_ONCE.get(device.type, _AT_ONCE_ELSEWHERE)


def fingerprints(pictures: Sequence[Picture], contents: NDArray[np.bytes_]) -> list[str]:
    """The `cocoop.data.fingerprint` of those of the pictures [N] that are files, from their content hashes [N]."""
    of_all = zip(pictures, _whole_hashes(contents), strict=True)
    return [content.hex() for picture, content in of_all if not isinstance(picture, Image.Image)]


def _to_read(pictures: Sequence[Picture], exif: Exif, contents: NDArray[np.bytes_] | None = None) -> list[ImageToRead]:
    known = [None] * len(pictures) if contents is None else _whole_hashes(contents)
    return [ImageToRead(picture, content, exif) for picture, content in zip(pictures, known, strict=True)]


def _whole_hashes(contents: NDArray[np.bytes_]) -> list[bytes]:
    return [contents[number : number + 1].tobytes() for number in range(len(contents))]  # with zeros at their ends


def _positions_without(contents: NDArray[np.bytes_], left_out: NDArray[np.bytes_]) -> list[int]:
    positions: list[int] = np.flatnonzero(~np.isin(contents, left_out)).tolist()
    return positions


def _joined(clip: CLIP, encoded: Iterable[tuple[list[Row], Tensor]]) -> Tensor:
    parts = [features for _, features in encoded]
    features = torch.cat(parts) if parts else torch.empty(0, clip.embed_dim, device=clip.device)
    check_finite(clip, features)
    return features


def _fill_store(
    store: FeatureStore,
    pictures: Sequence[Picture],
    views: Sequence[View | None],
    contents: NDArray[np.bytes_] | None = None,
    leave_out: NDArray[np.bytes_] | None = None,
) -> NDArray[np.bytes_]:
    """Compute and keep what a store lacks of some views of images; return the content hashes [N] of the images."""
    left_out = np.empty(0, dtype="S32") if leave_out is None else leave_out
    if contents is None:
        there = tuple(np.union1d(store.contents(view), left_out) for view in views)
        contents = _compute(store, _to_read(pictures, store.exif), MissingViews((*views,), there))
    # What is known to the store may be damaged, which shows only when it is read.
    distinct, first = np.unique(contents, return_index=True)
    there = tuple(np.union1d(distinct[store.find(distinct, view)[1]], left_out) for view in views)
    lacking = first[np.any([~np.isin(distinct, held) for held in there], axis=0)]
    if len(lacking):
        images = _to_read([pictures[number] for number in lacking], store.exif, contents[lacking])
        _compute(store, images, MissingViews((*views,), there))
    return contents


def _compute(store: FeatureStore, images: Sequence[ImageToRead], missing: MissingViews) -> NDArray[np.bytes_]:
    """Keep the missing views of images, of an image that occurs twice once; return the content hashes [N] of all."""
    read: list[bytes] = []
    encoded = _encode(store.clip, images, missing, read, fill=True, distinct=True)
    for rows, features in _regrouped(encoded, _BLOCK * len(missing.views)):
        for number, view in enumerate(missing.views):
            mine = sorted((content, row) for row, (content, of) in enumerate(rows) if of == number)
            if mine:
                kept = np.array([content for content, _ in mine], dtype="S32")
                store.add(kept, view, features[[row for _, row in mine]])
    return np.array(read, dtype="S32")


def _whole(store: FeatureStore, contents: NDArray[np.bytes_], view: View | None) -> StoredFeatures:
    features, is_there = store.find(contents, view)
    if not is_there.all():
        raise gone(store.folder)
    return features


def _encode(
    clip: CLIP,
    images: Sequence[ImageToRead],
    missing: MissingViews,
    read: list[bytes],
    fill: bool,
    distinct: bool = False,
) -> Iterator[tuple[list[Row], Tensor]]:
    """Features [n, E] of the missing views, in batches, and whose they are.

    `read` is given the content hash of every image, in order. `fill` fills up a single batch, too; where there are
    more, all have the same shape. `distinct` encodes no view of one content twice.
    """
    at_once = images_at_once(clip.device)
    pixels = _rows(clip, images, missing, read)
    for number, (rows, batch) in enumerate(_regrouped(_distinct(pixels) if distinct else pixels, at_once)):
        lacking = at_once - len(batch) if fill or number else 0
        filled = torch.cat([batch, batch[:1].expand(lacking, *batch.shape[1:])]) if lacking else batch
        yield rows, clip.encode_images(filled)[: len(batch)]


def _rows(
    clip: CLIP, images: Sequence[ImageToRead], missing: MissingViews, read: list[bytes]
) -> Iterator[tuple[list[Row], Tensor]]:
    """Pixels [n, 3, N, N] of the missing views, and whose they are, with a progress bar."""
    views, at_once = len(missing.views), images_at_once(clip.device)
    there = missing.there or (np.empty(0),) * views
    # What is there may be of these images or, in a store, of others.
    to_decode = max(len(images), sum(max(0, len(images) - len(held)) for held in there))
    processes = processes_for(to_decode, [image.picture for image in images], clip.preprocess, at_once)
    with counter("encoding images", len(images) * views, " images", delay=2) as bar:
        for contents, pixels in read_pixels(images, clip.preprocess, missing, at_once, processes, clip.device.type):
            read += contents
            yield [(content, number) for content in contents for number in missing.of(content)], pixels
            bar.update(len(contents) * views)


def _distinct(parts: Iterable[tuple[list[Row], Tensor]]) -> Iterator[tuple[list[Row], Tensor]]:
    """The parts without the rows that an earlier part, or the same one before, has had."""
    seen: set[Row] = set()
    for rows, tensor in parts:
        new = [place for place, row in enumerate(rows) if row not in seen and row not in rows[:place]]
        seen.update(rows)
        yield [rows[place] for place in new], tensor if len(new) == len(rows) else tensor[new]


def _regrouped(parts: Iterable[tuple[list[Row], Tensor]], size: int) -> Iterator[tuple[list[Row], Tensor]]:
    """All rows of the parts in their order, `size` of them at a time and what is left at the end."""
    rows: list[Row] = []
    tensors: list[Tensor] = []
    for more, tensor in parts:
        rows += more
        tensors.append(tensor)
        while len(rows) >= size:
            whole = torch.cat(tensors)
            yield rows[:size], whole[:size]
            rows, tensors = rows[size:], [whole[size:]]
    if rows:
        yield rows, torch.cat(tensors)
