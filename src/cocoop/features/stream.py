"""Image features of a stream of any length: decoded ahead of the tower, with an error in a damaged image's place."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from cocoop.clip import Preprocess
from cocoop.data import ImageError, open_image
from cocoop.errors import InputError, reason
from cocoop.features.ahead import AHEAD, by_threads, from_processes, usable_cpus
from cocoop.features.encode import images_at_once
from cocoop.features.pixels import content_of_open
from cocoop.features.store import FeatureStore
from cocoop.rgb import Exif, as_rgb

_BY_THREADS = 1024  # images after which processes take over: they take a second and a half to start
_ROWS = 256  # images that are given at once, where none of them has to be encoded
_BLOCK = 2048  # features that are kept at once

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

Load = Callable[[Any], "bytes | Image.Image"]
"""Makes of a picture in any form an image file's bytes or an open image. Raises `ImageError`."""


class Encoder(Protocol):
    """What takes the pixels of pictures: a CLIP; or an exported model, which gives probabilities for features."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def preprocess(self) -> Preprocess:
        """Pillow image -> pixels [3, N, N]."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, N, N] -> image features [B, E]."""


class EncodedRow(NamedTuple, Generic[K]):
    """One image of a stream: its key, and its unit-norm feature [E] or why there is none.

    content: the content hash of an image that has a feature, b"" if nobody asked for it.
    """

    key: K
    feature: Tensor | None
    error: ImageError | None
    content: bytes = b""


class _Decoded(NamedTuple):
    """The content hash, b"" if nobody asked; the pixels [3, N, N], None where a store has the feature."""

    content: bytes
    pixels: Tensor | None


def encode_stream(
    clip: Encoder,
    pictures: Iterable[tuple[K, Any]],
    load: Load,
    threads: int,
    processes: int = 0,
    store: FeatureStore | None = None,
    exif: Exif = "apply",
    distinct: bool = False,
) -> Iterator[list[EncodedRow[K]]]:
    """Features of pictures, in order and a batch at a time: memory does not grow with their number.

    To the bit the features that `encode_pictures` has of those that decode.

    Args:
        clip: encodes.
        pictures: (key, picture) pairs, consumed a few batches ahead.
        load: opens a picture; where processes decode it must be one that can be sent.
        threads: that decode: ahead of a tower on a GPU, in turns with one on the CPU.
        processes: that take over from the threads where a thousand images came and there are more.
        store: gives the features that it has, and gets the others.
        exif: how pictures become RGB, see `cocoop.rgb.as_rgb`.
        distinct: without a store, encodes images of one content once; their features stay in memory until the end.

    Raises:
        RunError: a process was killed, or the disk refuses.
    """
    at_once, kept = images_at_once(clip.device), _memory(store, exif, distinct)
    read = _Read(clip.preprocess, load, None if kept is None else kept.known, exif)
    rows: list[tuple[K, _Decoded | ImageError]] = []
    # As `encode_pictures`: one batch alone is not filled up, unless its features may stand beside those of others.
    to_encode, full = 0, kept is not None
    try:
        for key, read_one in ahead(read, pictures, at_once, threads, processes, clip.device.type):
            outcome = read_one if kept is None else kept.once(read_one)
            rows.append((key, outcome))
            to_encode += isinstance(outcome, _Decoded) and outcome.pixels is not None
            if to_encode == at_once or (len(rows) >= _ROWS and (full or not to_encode)):
                full = full or to_encode > 0
                yield _encoded(clip, rows, kept, at_once if full else 0)
                rows, to_encode = [], 0
        if rows:
            yield _encoded(clip, rows, kept, at_once if full else 0)
    finally:
        if kept is not None:
            kept.write()


def processes_beside(clip: Encoder) -> int:
    """How many processes to decode with, where there are many images: none beside a tower that computes on the CPU."""
    many = usable_cpus() >= 3 and not multiprocessing.current_process().daemon
    return usable_cpus() if many and clip.device.type != "cpu" else 0


def ahead(
    function: Callable[[T], R],
    items: Iterable[T],
    at_once: int,
    threads: int,
    processes: int,
    device: str = "cpu",
) -> Iterator[R]:
    """`function` of each item, in order, some batches at a time: by threads, see `by_threads`, and then processes."""
    rest = iter(items)
    first = islice(rest, _BY_THREADS) if processes else rest
    yield from by_threads(function, first, AHEAD * at_once, threads, device)
    for more in islice(rest, 1):
        yield from _by_processes(function, chain([more], rest), at_once, processes)


class _Mapped(Dataset[Any]):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __getitem__(self, item: Any) -> Any:
        return self.function(item)


def _by_processes(function: Callable[[T], R], items: Iterator[T], at_once: int, processes: int) -> Iterator[R]:
    yield from chain.from_iterable(from_processes(_Mapped(function), items, at_once, processes, list))


class _Read:
    """Opens, decodes and transforms one picture, in a thread or a process."""

    def __init__(self, preprocess: Preprocess, load: Load, known: Container[bytes] | None, exif: Exif) -> None:
        self.preprocess, self.load, self.known, self.exif = preprocess, load, known, exif

    def __call__(self, keyed: tuple[K, Any]) -> tuple[K, _Decoded | ImageError]:
        key, picture = keyed
        try:
            return key, self._decoded(key, self.load(picture))
        except ImageError as error:
            return key, error
        except InputError as error:
            return key, ImageError(f"{key}: {error}")
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            told = f"{key}: expected an image that Pillow can decode; got {reason(error)}. Replace it."
            return key, ImageError(told)

    def _decoded(self, key: K, loaded: bytes | Image.Image) -> _Decoded:
        content = b""
        if self.known is not None:
            if isinstance(loaded, bytes):
                content = hashlib.sha256(loaded).digest()
            else:
                content = content_of_open(loaded, self.exif)
            if content in self.known:
                return _Decoded(content, None)
        image = open_image(str(key), loaded, self.exif) if isinstance(loaded, bytes) else as_rgb(loaded, self.exif)
        return _Decoded(content, self.preprocess(image))


class _Seen:
    """The features of a stream's own images, for those of the same content that come later."""

    def __init__(self) -> None:
        self.known: dict[bytes, Tensor | None] = {}  # None: it is about to be encoded

    def once(self, outcome: _Decoded | ImageError) -> _Decoded | ImageError:
        """Without pixels, where the same came before. Only this decides, so threads' timing decides nothing."""
        if isinstance(outcome, ImageError) or outcome.pixels is None:
            return outcome
        if outcome.content in self.known:
            return _Decoded(outcome.content, None)
        self.known[outcome.content] = None
        return outcome

    def features(self, contents: list[bytes]) -> list[Tensor]:
        return [feature for content in contents if (feature := self.known[content]) is not None]

    def add(self, contents: list[bytes], features: Tensor) -> None:
        self.known.update(zip(contents, features, strict=True))

    def write(self) -> None:
        pass


class _Kept:
    """What a store held when a stream began, read through once, and what it is to get."""

    def __init__(self, store: FeatureStore) -> None:
        contents = store.contents(None)
        self.store, (self.stored, whole) = store, store.find(contents, None)
        self.rows = {
            contents[row : row + 1].tobytes(): row for row in np.flatnonzero(whole).tolist()
        }  # with zeros at their ends
        self.known, self.new = frozenset(self.rows), dict[bytes, Tensor]()

    def once(self, outcome: _Decoded | ImageError) -> _Decoded | ImageError:
        return outcome

    def features(self, contents: list[bytes]) -> Tensor:
        return self.stored[[self.rows[content] for content in contents]]

    def add(self, contents: list[bytes], features: Tensor) -> None:
        self.new.update(zip(contents, features, strict=True))
        if len(self.new) >= _BLOCK:
            self.write()

    def write(self) -> None:
        if self.new:
            contents = sorted(self.new)
            self.store.add(np.array(contents, dtype="S32"), None, torch.stack([self.new[c] for c in contents]))
            self.new.clear()


def _memory(store: FeatureStore | None, exif: Exif, distinct: bool) -> _Kept | _Seen | None:
    if store is not None:
        return _Kept(store.opened(exif))
    return _Seen() if distinct else None


def _encoded(
    clip: Encoder, rows: list[tuple[K, _Decoded | ImageError]], kept: _Kept | _Seen | None, size: int
) -> list[EncodedRow[K]]:
    """The features of a batch, which is filled up to `size`: products of another shape may round otherwise."""
    decoded = [outcome for _, outcome in rows if isinstance(outcome, _Decoded)]
    new = [(one.content, one.pixels) for one in decoded if one.pixels is not None]
    features: list[Tensor] = []
    if new:
        pixels = torch.stack([pixels for _, pixels in new])
        lacking = max(0, size - len(pixels))
        filled = torch.cat([pixels, pixels[:1].expand(lacking, *pixels.shape[1:])]) if lacking else pixels
        encoded = clip.encode_images(filled)[: len(pixels)]
        features = list(encoded)
        if kept is not None:
            kept.add([content for content, _ in new], encoded)
    known = [one.content for one in decoded if one.pixels is None]
    of_new, of_known = iter(features), iter(kept.features(known) if kept is not None and known else ())
    return [
        EncodedRow(key, None, outcome)
        if isinstance(outcome, ImageError)
        else EncodedRow(key, next(of_known if outcome.pixels is None else of_new), None, outcome.content)
        for key, outcome in rows
    ]
