"""Pictures in any of the forms that people have them in, to image features."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from cocoop.data import ImageError, read_bytes
from cocoop.errors import InputError, reason
from cocoop.features import EncodedRow, Encoder, FeatureStore, encode_stream, processes_beside, usable_cpus
from cocoop.rgb import Exif, image_of
from cocoop.serving.tables import Named

FORMS = "a path, a file's bytes, an array [H, W, 3] of uint8, or a Pillow image"
"""What a picture may be."""


def encode(
    clip: Encoder,
    pictures: Iterable[Named],
    store: FeatureStore | None = None,
    workers: int | None = None,
    processes: int | None = None,
    exif: Exif = "apply",
    distinct: bool = False,
) -> Iterator[list[EncodedRow[str]]]:
    """The image features of pictures, or their errors, in batches as they come, decoded by `workers` threads.

    `processes` take over from the thousandth picture on; None is as many as there are CPUs beside a GPU, else none.
    `exif` says how pictures become RGB, see `cocoop.rgb.as_rgb`; `distinct` encodes those of one content once, see
    `encode_stream`.
    """
    processes = processes_beside(clip) if processes is None else processes
    return encode_stream(clip, _loaded(pictures), load, workers or usable_cpus(), processes, store, exif, distinct)


def load(picture: Any) -> bytes | Image.Image:
    """The bytes of a picture's file, or the open image.

    Args:
        picture: one of `FORMS`, or {"bytes": ..., "path": ...} as Hugging Face's data sets have it undecoded.

    Raises:
        ImageError: none of these, a file that cannot be read or is no regular one; or the picture, if it is an error.
    """
    if isinstance(picture, Mapping):
        picture = picture.get("path") if picture.get("bytes") is None else picture["bytes"]
    if isinstance(picture, Image.Image | bytes):
        return picture
    if isinstance(picture, bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, str | os.PathLike):
        return read_bytes(picture)
    if isinstance(picture, np.ndarray):
        return _of_array(picture)
    if isinstance(picture, ImageError):
        raise picture
    raise ImageError(f"picture: expected {FORMS}; got {type(picture).__name__}.")


def _of_array(array: np.ndarray[Any, Any]) -> Image.Image:
    try:
        return image_of(array)
    except InputError as error:
        raise ImageError(f"picture: {error}") from error


def _loaded(pictures: Iterable[Named]) -> Iterator[Named]:
    """Open images with their pixels, before threads see them: they may lie in one file."""
    for named in pictures:
        if isinstance(named.picture, Image.Image):
            try:
                named.picture.load()
            except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
                told = f"{named.key}: expected an open image that Pillow can decode; got {reason(error)}. Replace it."
                yield Named(named.key, ImageError(told))
                continue
        yield named
