"""Pixels of images, as tests see them or in a random view: decoded while the tower encodes those before."""

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
from cocoop.data import fingerprint, open_image, read_bytes
from cocoop.errors import CocoopError, InputError, RunError
from cocoop.progress import progress

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


class Look(NamedTuple):
    """One image in one view; None is the test view.

    `content` is what the file is known by (see `contents`): if it has another by now, it is refused. None takes any.
    """

    picture: Picture
    view: View | None
    content: bytes | None = None


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


def contents(pictures: Sequence[Picture]) -> NDArray[np.bytes_]:
    """What a store tells images by: SHA-256, [N] of 32 bytes, of a file's bytes or an open image's size and RGB pixels.

    Open images must be loaded; see `load_open_images`.

    Raises:
        InputError: a file that cannot be read; names it.
    """
    with ThreadPoolExecutor(_cpus()) as pool:
        found = progress(pool.map(_content, pictures), "reading images", len(pictures), unit=" images")
        return np.fromiter(found, dtype="S32", count=len(pictures))


def pixel_batches(
    looks: Iterable[Look], preprocess: Preprocess, batch_size: int, processes: int = 0
) -> Iterator[Tensor]:
    """Pixels [<= batch_size, 3, N, N] float32 of the looks, in their order.

    Args:
        looks: consumed a few batches ahead. Open images must be loaded; see `load_open_images`.
        preprocess: the CLIP's.
        batch_size: images at a time.
        processes: that decode, which `processes_for` knows; with 0 threads do.

    Raises:
        InputError: an image file that does not decode; names it. RunError: a file has changed, or a process was killed.
    """
    rest = iter(looks)
    batches = iter(lambda: list(islice(rest, batch_size)), [])
    decode = _Decode(preprocess)
    for found in _by_processes(decode, batches, processes) if processes else _by_threads(decode, batches):
        if isinstance(found, CocoopError):
            raise found
        yield found


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


class _Decode(Dataset[Tensor | CocoopError]):
    """Looks to pixels [3, N, N]; in place of an image that does not decode the error, which has to reach the parent."""

    def __init__(self, preprocess: Preprocess) -> None:
        self.preprocess = preprocess

    def __getitem__(self, wanted: Look) -> Tensor | CocoopError:
        try:
            image = _image(wanted)
        except CocoopError as error:
            return error
        if wanted.view is None:
            return self.preprocess(image)
        image = image.convert("RGB")
        return augment(image, self.preprocess, wanted.view.generator(image))


def _image(wanted: Look) -> Image.Image:
    picture = wanted.picture
    if isinstance(picture, Image.Image):
        return picture
    if wanted.content is None:
        return open_image(picture)
    file = read_bytes(picture)  # once: what is decoded is what was checked
    if hashlib.sha256(file).digest() != wanted.content:
        raise RunError(
            f"{os.fspath(picture)}: expected the image file that was there when this began; it has changed since. Run "
            "the same again, and let nothing write there meanwhile."
        )
    return open_image(picture, file)


def _collated(found: Sequence[Tensor | CocoopError]) -> Tensor | CocoopError:
    pixels = []
    for one in found:
        if isinstance(one, CocoopError):
            return one
        pixels.append(one)
    return torch.stack(pixels)


def _by_threads(decode: _Decode, batches: Iterable[list[Look]]) -> Iterator[Tensor | CocoopError]:
    """Pillow lets threads run side by side while it decodes and resizes."""
    pool = ThreadPoolExecutor(_cpus())
    try:
        waiting: deque[list[Future[Tensor | CocoopError]]] = deque()
        for batch in batches:
            waiting.append([pool.submit(decode.__getitem__, wanted) for wanted in batch])
            if len(waiting) > _AHEAD:
                yield _collated([one.result() for one in waiting.popleft()])
        while waiting:
            yield _collated([one.result() for one in waiting.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)


def _by_processes(decode: _Decode, batches: Iterable[list[Look]], processes: int) -> Iterator[Tensor | CocoopError]:
    loader = DataLoader(
        decode,
        batch_sampler=([_sendable(wanted) for wanted in batch] for batch in batches),
        num_workers=processes,
        prefetch_factor=_AHEAD,
        collate_fn=_collated,
        worker_init_fn=_begin,
        multiprocessing_context="spawn",  # a forked process would inherit locks of torch's threads
        generator=torch.Generator(),  # torch would draw a seed for the processes from the global one
    )
    try:
        with main_left_alone():
            found = iter(loader)
        yield from found
    except (RuntimeError, EOFError, OSError) as error:  # as torch notices that one is gone, or while it takes pixels
        reason = " ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise RunError(
            f"images: expected {processes} processes to decode them; one is gone ({reason}). Perhaps memory ran out: "
            "run the same again with less beside it."
        ) from error


def _begin(number: int) -> None:
    # torch looks for the parent every five seconds, between two batches
    end_with_parent()


def _sendable(wanted: Look) -> Look:
    """With a plain path: a class of the user's script is not known in a process that does not import it."""
    picture = wanted.picture
    return wanted if isinstance(picture, Image.Image) else wanted._replace(picture=os.fspath(picture))


def _content(picture: Picture) -> bytes:
    if not isinstance(picture, Image.Image):
        return bytes.fromhex(fingerprint(picture))
    digest = hashlib.sha256(f"RGB {picture.size}".encode())
    digest.update(picture.convert("RGB").tobytes())
    return digest.digest()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processes_with_room(batch: int) -> int:
    """How many processes may decode batches of so many bytes before shared memory is full; containers have little."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return _cpus()
    return (shutil.disk_usage(place).free // batch - 2) // _AHEAD  # 2: one is encoded while the next is taken
