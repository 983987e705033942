"""Image files and open images to pixels, in the test view or in random ones, each image opened once."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from cocoop.clip import Preprocess, augment
from cocoop.data import open_image, read_bytes
from cocoop.errors import CocoopError, InputError, RunError
from cocoop.rgb import Exif, as_rgb, is_deep

Picture = str | os.PathLike[str] | Image.Image
"""An image file, or an image that is already open."""


class View(NamedTuple):
    """One random crop and flip of every image: number `number` of `seed`.

    A pure function of both and the image's pixels, so that an image shows the same views in every run, as a file or
    open, wherever it lies and whatever it is learned with.
    """

    seed: int
    number: int

    def generator(self, image: Image.Image) -> Random:
        """What the crop and flip of an RGB image are drawn from."""
        # Two images with one checksum would share their draws, which harms nothing.
        return Random(f"{self.seed}:{self.number}:{image.size}:{zlib.crc32(image.tobytes())}")


class MissingViews(NamedTuple):
    """Which views of an image are to be made: those that are not there yet.

    views: any number of random views; None is the test view.
    there: for each view, the sorted content hashes [n] of 32 bytes of the images that need it no more. None makes every
        view of every image and computes no content hashes.
    """

    views: tuple[View | None, ...] = (None,)
    there: tuple[NDArray[np.bytes_], ...] | None = None

    def of(self, content: bytes) -> list[int]:
        """The numbers of the views that are missing of an image with this content hash."""
        if self.there is None:
            return list(range(len(self.views)))
        return [number for number, there in enumerate(self.there) if not _holds(there, content)]


class ImageToRead(NamedTuple):
    """One image to read.

    content: its content hash from an earlier reading; a file with another one is refused. exif: how it becomes RGB.
    """

    picture: Picture
    content: bytes | None = None
    exif: Exif = "apply"


class ReadImages(NamedTuple):
    """Some images that were read, each of them opened once.

    contents: the content hash of each image, the SHA-256 of the file's bytes, or of an open image's size and RGB
        pixels; empty bytes where `MissingViews.there` is None.
    pixels: [n, 3, N, N] of the views that are missing of the first image, in order, then those of the second, ...
    """

    contents: list[bytes]
    pixels: Tensor


def load_open_images(pictures: Sequence[Picture]) -> None:
    """Load the pixels of those pictures that are open images; `Image.open` leaves them in their file.

    To be done before threads see the images, which may be one object several times, or lie in one file (an archive).

    Raises:
        InputError: an image that does not decode, or of which RGB cannot be made; names its file or its number.
    """
    for number, picture in enumerate(pictures, 1):
        if not isinstance(picture, Image.Image):
            continue
        try:
            # Whether it can be, which one pixel tells at no cost, unless its values have to be looked at.
            picture.load()
            as_rgb(picture if is_deep(picture) or 0 in picture.size else picture.crop((0, 0, 1, 1)))
        except InputError as error:
            raise InputError(f"{_name(picture, number, len(pictures))}: {error}") from error
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            raise InputError(
                f"{_name(picture, number, len(pictures))}: expected an open image that Pillow can decode; got "
                f"{type(error).__name__}: {' '.join(str(error).split())}. Replace it, or leave it out."
            ) from error


def _name(picture: Image.Image, number: int, of: int) -> str:
    return getattr(picture, "filename", "") or f"image {number} of {of}"


class Decode(Dataset[ReadImages | CocoopError]):
    """Reads one image; gives the error in place of one that does not decode, which has to reach the parent."""

    def __init__(self, preprocess: Preprocess, missing: MissingViews) -> None:
        self.preprocess, self.missing = preprocess, missing

    def __getitem__(self, image: ImageToRead) -> ReadImages | CocoopError:
        try:
            return self._read(image)
        except CocoopError as error:
            return error

    def _read(self, image: ImageToRead) -> ReadImages:
        content, file = self._content(image)
        views = [self.missing.views[number] for number in self.missing.of(content)]
        if not views:
            return ReadImages([content], torch.empty(0, 3, self.preprocess.size, self.preprocess.size))
        picture, _, exif = image
        opened = as_rgb(picture, exif) if isinstance(picture, Image.Image) else open_image(picture, file, exif)
        return ReadImages([content], torch.stack([self._view(opened, view) for view in views]))

    def _content(self, image: ImageToRead) -> tuple[bytes, bytes]:
        """The content hash of an image, if it is asked for, and the bytes of its file if it is one."""
        hashed = self.missing.there is not None
        if isinstance(image.picture, Image.Image):
            return (image.content or content_of_open(image.picture, image.exif)) if hashed else b"", b""
        file = read_bytes(image.picture)  # read once, so that the bytes that are hashed are those that are decoded
        content = hashlib.sha256(file).digest() if hashed else b""
        if image.content is not None and content != image.content:
            raise RunError(
                f"{os.fspath(image.picture)}: expected the image file that was there when this began; it has changed "
                "since. Run the same again, and let nothing write there meanwhile."
            )
        return content, file

    def _view(self, image: Image.Image, view: View | None) -> Tensor:
        return self.preprocess(image) if view is None else augment(image, self.preprocess, view.generator(image))


def content_of_open(image: Image.Image, exif: Exif) -> bytes:
    """The content hash of an open image: of its size and pixels as the model sees them."""
    image = as_rgb(image, exif)
    digest = hashlib.sha256(f"RGB {image.size}".encode())
    digest.update(image.tobytes())
    return digest.digest()


def _holds(contents: NDArray[np.bytes_], content: bytes) -> bool:
    place = contents.searchsorted(np.array(content, dtype=contents.dtype))
    # numpy leaves out the zeros at the end of an element
    return bool(place < len(contents) and contents[place] == content.rstrip(b"\0"))
