"""Pixels of many images, in their order, by threads or processes that decode while the tower encodes those before."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader

from cocoop.child import end_with_parent, main_left_alone
from cocoop.clip import Preprocess
from cocoop.errors import CocoopError, RunError, reason
from cocoop.features.pixels import Decode, ImageToRead, MissingViews, Picture, ReadImages

_AHEAD = 2  # batches that are decoded while one is encoded
_IMAGES_PER_PROCESS = 1024  # 3 seconds of decoding photographs, which pay for 1.4 seconds of start (measured)
_FEWEST_PROCESSES = 3  # two threads decode as fast as two processes (measured); many wait for Python's lock


def read_pixels(
    images: Iterable[ImageToRead], preprocess: Preprocess, missing: MissingViews, batch_size: int, processes: int = 0
) -> Iterator[ReadImages]:
    """Open each image once, and make the views that are missing of it, in order, some images at a time.

    Args:
        images: consumed a few batches ahead. Open images must be loaded; see `load_open_images`.
        preprocess: the CLIP's.
        missing: the views to make.
        batch_size: views at a time, if there are no more of one image.
        processes: that decode, which `processes_for` knows; with 0 threads do.

    Raises:
        ImageError: an image file that does not decode; names it. RunError: a file has changed, or a process was killed.
    """
    decode, at_once = Decode(preprocess, missing), max(1, batch_size // len(missing.views))
    for outcome in (
        _by_processes(decode, images, at_once, processes) if processes else _by_threads(decode, images, at_once)
    ):
        if isinstance(outcome, CocoopError):
            raise outcome
        yield outcome


def processes_for(count: int, pictures: Sequence[Picture], preprocess: Preprocess, batch_size: int) -> int:
    """How many processes to decode `count` views of `pictures` with: 0 where threads do as well, or must.

    Threads must where images are open, which would have to be sent, and in a process that may start no others. Decoded
    batches pass through shared memory, which bounds the number.
    """
    batch = batch_size * 3 * preprocess.size**2 * 4  # bytes
    processes = min(_cpus(), count // _IMAGES_PER_PROCESS, _processes_with_room(batch))
    if processes < _FEWEST_PROCESSES or multiprocessing.current_process().daemon:
        return 0
    return 0 if any(isinstance(picture, Image.Image) for picture in pictures) else processes


def _collated(outcomes: Sequence[ReadImages | CocoopError]) -> ReadImages | CocoopError:
    contents: list[bytes] = []
    pixels = []
    for outcome in outcomes:
        if isinstance(outcome, CocoopError):
            return outcome
        contents += outcome.contents
        pixels.append(outcome.pixels)
    return ReadImages(contents, torch.cat(pixels))


def _by_threads(decode: Decode, images: Iterable[ImageToRead], at_once: int) -> Iterator[ReadImages | CocoopError]:
    """What `decode` gives for each image, by threads: Pillow lets them run side by side."""
    ahead = max(_AHEAD * at_once, _cpus())
    pool = ThreadPoolExecutor(_cpus())
    try:
        waiting: deque[Future[ReadImages | CocoopError]] = deque()
        for image in images:
            waiting.append(pool.submit(decode.__getitem__, image))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _by_processes(
    decode: Decode, images: Iterable[ImageToRead], at_once: int, processes: int
) -> Iterator[ReadImages | CocoopError]:
    """What `decode` gives for some images at a time, by processes."""
    rest = map(_sendable, images)
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
    with noticing_death(processes):
        with main_left_alone():
            outcomes = iter(loader)
        yield from outcomes


@contextmanager
def noticing_death(processes: int) -> Iterator[None]:
    """Raise one `RunError` where torch notices that a process is gone, or pixels cannot be taken from one.

    torch raises its own error from a signal handler, which may come while the first sign is looked at.
    """
    try:
        try:
            yield
        except (RuntimeError, EOFError, OSError) as error:
            raise _OneIsGone(reason(error)) from error
    except (_OneIsGone, RuntimeError) as error:
        raise RunError(
            f"images: expected {processes} processes to decode them; one is gone ({error}). Perhaps memory ran out: "
            "run the same again with less beside it."
        ) from error


class _OneIsGone(Exception):
    """Why torch thinks so."""


def _begin(number: int) -> None:
    # torch itself looks for the parent every five seconds, between two batches.
    end_with_parent()


def _sendable(image: ImageToRead) -> ImageToRead:
    """The image with its path as text, because a process does not know the path classes of the user's script."""
    picture = image.picture
    return image if isinstance(picture, Image.Image) else image._replace(picture=os.fspath(picture))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processes_with_room(batch: int) -> int:
    """How many processes may decode batches of so many bytes before shared memory is full; containers have little."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return _cpus()
    return (shutil.disk_usage(place).free // batch - 2) // _AHEAD  # 2: one is encoded while the next is taken
