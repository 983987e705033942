"""Pixels of images, in the test view or in random ones. Images are decoded while the tower encodes those before."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cocoop.child import end_with_parent, main_left_alone
from cocoop.clip import Preprocess, augment
from cocoop.data import open_image, read_bytes
from cocoop.errors import CocoopError, InputError, RunError

Picture = str | os.PathLike[str] | Image.Image
"""An image file, or an image that is already open."""

_AHEAD = 2  # batches that are decoded while one is encoded
_IMAGES_PER_PROCESS = 1024  # 3 seconds of decoding photographs, which pay for 1.4 seconds of start (measured)
_FEWEST_PROCESSES = 3  # two threads decode as fast as two processes (measured); many wait for Python's lock


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


class Wanted(NamedTuple):
    """Which views of an image are to be made: those that are not there yet.

    views: any number of random views; None is the test view.
    there: for each view, the sorted contents [n] of 32 bytes of the images that need it no more. None makes every view
        of every image and computes no contents.
    """

    views: tuple[View | None, ...] = (None,)
    there: tuple[NDArray[np.bytes_], ...] | None = None

    def of(self, content: bytes) -> list[int]:
        """The numbers of the views that are wanted of an image of this content."""
        if self.there is None:
            return list(range(len(self.views)))
        return [number for number, there in enumerate(self.there) if not _holds(there, content)]


class Look(NamedTuple):
    """One image to read. `content` is what an earlier reading gave (see `Read`): another one now is refused."""

    picture: Picture
    content: bytes | None = None


class Read(NamedTuple):
    """What came of some images, each of which was opened once.

    contents: for each image the SHA-256 of the file's bytes, or of an open image's size and RGB pixels; empty bytes
        where `Wanted.there` is None.
    pixels: [n, 3, N, N] of the views that are wanted of the first image, in order, then those of the second, ...
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
            picture.load()
            picture.crop((0, 0, 1, 1)).convert("RGB")  # whether it can be, at no cost
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            name = getattr(picture, "filename", "") or f"image {number} of {len(pictures)}"
            raise InputError(
                f"{name}: expected an open image that Pillow can decode; got {type(error).__name__}: "
                f"{' '.join(str(error).split())}. Replace it, or leave it out."
            ) from error


def read_pixels(
    looks: Iterable[Look], preprocess: Preprocess, wanted: Wanted, batch_size: int, processes: int = 0
) -> Iterator[Read]:
    """Open each image once, and make the views that are wanted of it, in order, some images at a time.

    Args:
        looks: consumed a few batches ahead. Open images must be loaded; see `load_open_images`.
        preprocess: the CLIP's.
        wanted: the views.
        batch_size: views at a time, if there are no more of one image.
        processes: that decode, which `processes_for` knows; with 0 threads do.

    Raises:
        ImageError: an image file that does not decode; names it. RunError: a file has changed, or a process was killed.
    """
    decode, at_once = _Decode(preprocess, wanted), max(1, batch_size // len(wanted.views))
    for outcome in (
        _by_processes(decode, looks, at_once, processes) if processes else _by_threads(decode, looks, at_once)
    ):
        if isinstance(outcome, CocoopError):
            raise outcome
        yield outcome


def processes_for(count: int, pictures: Sequence[Picture], preprocess: Preprocess, batch_size: int) -> int:
    """How many processes to decode `count` looks at `pictures` with: 0 where threads do as well, or must.

    Open images would have to be sent; a process of `benchmark --jobs` may start none; decoded batches pass through
    shared memory.
    """
    batch = batch_size * 3 * preprocess.size**2 * 4  # bytes
    processes = min(_cpus(), count // _IMAGES_PER_PROCESS, _processes_with_room(batch))
    if processes < _FEWEST_PROCESSES or multiprocessing.current_process().daemon:
        return 0
    return 0 if any(isinstance(picture, Image.Image) for picture in pictures) else processes


class _Decode(Dataset[Read | CocoopError]):
    """Reads one image; gives the error in place of one that does not decode, which has to reach the parent."""

    def __init__(self, preprocess: Preprocess, wanted: Wanted) -> None:
        self.preprocess, self.wanted = preprocess, wanted

    def __getitem__(self, look: Look) -> Read | CocoopError:
        try:
            return self._read(look)
        except CocoopError as error:
            return error

    def _read(self, look: Look) -> Read:
        content, file = self._told(look)
        views = [self.wanted.views[number] for number in self.wanted.of(content)]
        if not views:
            return Read([content], torch.empty(0, 3, self.preprocess.size, self.preprocess.size))
        image = look.picture if isinstance(look.picture, Image.Image) else open_image(look.picture, file)
        return Read([content], torch.stack([self._view(image, view) for view in views]))

    def _told(self, look: Look) -> tuple[bytes, bytes]:
        """What an image is told by, and the bytes of its file if it is one."""
        told = self.wanted.there is not None
        if isinstance(look.picture, Image.Image):
            return (look.content or _content_of_open(look.picture)) if told else b"", b""
        file = read_bytes(look.picture)  # once: what is decoded is what is told
        content = hashlib.sha256(file).digest() if told else b""
        if look.content is not None and content != look.content:
            raise RunError(
                f"{os.fspath(look.picture)}: expected the image file that was there when this began; it has changed "
                "since. Run the same again, and let nothing write there meanwhile."
            )
        return content, file

    def _view(self, image: Image.Image, view: View | None) -> Tensor:
        if view is None:
            return self.preprocess(image)
        image = image.convert("RGB")
        return augment(image, self.preprocess, view.generator(image))


def _collated(outcomes: Sequence[Read | CocoopError]) -> Read | CocoopError:
    contents: list[bytes] = []
    pixels = []
    for outcome in outcomes:
        if isinstance(outcome, CocoopError):
            return outcome
        contents += outcome.contents
        pixels.append(outcome.pixels)
    return Read(contents, torch.cat(pixels))


def _by_threads(decode: _Decode, looks: Iterable[Look], at_once: int) -> Iterator[Read | CocoopError]:
    """Pillow lets threads run side by side while it decodes and resizes."""
    ahead = max(_AHEAD * at_once, _cpus())
    pool = ThreadPoolExecutor(_cpus())
    try:
        waiting: deque[Future[Read | CocoopError]] = deque()
        for look in looks:
            waiting.append(pool.submit(decode.__getitem__, look))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _by_processes(decode: _Decode, looks: Iterable[Look], at_once: int, processes: int) -> Iterator[Read | CocoopError]:
    rest = map(_sendable, looks)
    loader = DataLoader(
        decode,
        batch_sampler=iter(lambda: list(islice(rest, at_once)), []),
        num_workers=processes,
        prefetch_factor=_AHEAD,
        collate_fn=_collated,
        worker_init_fn=_begin,
        multiprocessing_context="spawn",  # a forked process would inherit locks of torch's threads
        generator=torch.Generator(),  # torch would draw a seed for the processes from the global one
    )
    try:
        with main_left_alone():
            outcomes = iter(loader)
        yield from outcomes
    except (RuntimeError, EOFError, OSError) as error:  # as torch notices that one is gone, or while it takes pixels
        reason = " ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise RunError(
            f"images: expected {processes} processes to decode them; one is gone ({reason}). Perhaps memory ran out: "
            "run the same again with less beside it."
        ) from error


def _begin(number: int) -> None:
    # torch looks for the parent every five seconds, between two batches
    end_with_parent()


def _sendable(look: Look) -> Look:
    """With a plain path: a class of the user's script is not known in a process that does not import it."""
    picture = look.picture
    return look if isinstance(picture, Image.Image) else look._replace(picture=os.fspath(picture))


def _content_of_open(image: Image.Image) -> bytes:
    digest = hashlib.sha256(f"RGB {image.size}".encode())
    digest.update(image.convert("RGB").tobytes())
    return digest.digest()


def _holds(contents: NDArray[np.bytes_], content: bytes) -> bool:
    place = contents.searchsorted(np.array(content, dtype=contents.dtype))
    # numpy leaves out the zeros at the end of an element
    return bool(place < len(contents) and contents[place] == content.rstrip(b"\0"))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processes_with_room(batch: int) -> int:
    """How many processes may decode batches of so many bytes before shared memory is full; containers have little."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return _cpus()
    return (shutil.disk_usage(place).free // batch - 2) // _AHEAD  # 2: one is encoded while the next is taken
