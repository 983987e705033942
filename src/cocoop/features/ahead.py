"""Pixels of many images, in their order, by threads or processes.

They decode while the tower encodes those before, unless it computes on the CPU, too: then they take turns.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from cocoop.child import end_with_parent, main_left_alone
from cocoop.clip import Preprocess
from cocoop.errors import CocoopError, RunError, reason
from cocoop.features.pixels import Decode, ImageToRead, MissingViews, Picture, ReadImages
from cocoop.ranks import ranks_here

AHEAD = 2
"""Batches that are decoded while one is encoded, or before it is."""

_IMAGES_PER_PROCESS = 1024  # 3 seconds of decoding photographs, which pay for 1.4 seconds of start (measured)
FEWEST_PROCESSES = 3  # two threads decode as fast as two processes (measured); many wait for Python's lock

SHARED_MEMORY = Path("/dev/shm")

T = TypeVar("T")
R = TypeVar("R")


def read_pixels(
    images: Iterable[ImageToRead],
    preprocess: Preprocess,
    missing: MissingViews,
    batch_size: int,
    processes: int = 0,
    device: str = "cpu",
) -> Iterator[ReadImages]:
    """Open each image once, and make the views that are missing of it, in order, some images at a time.

    Args:
        images: consumed a few batches ahead. Open images must be loaded; see `load_open_images`.
        preprocess: the CLIP's.
        missing: the views to make.
        batch_size: views at a time, if there are no more of one image.
        processes: that decode, which `processes_for` knows; with 0 threads do.
        device: the type of that which the tower computes on.

    Raises:
        ImageError: an image file that does not decode; names it. RunError: a file has changed, or a process was killed.
    """
    decode, at_once = Decode(preprocess, missing), max(1, batch_size // len(missing.views))
    outcomes: Generator[ReadImages | CocoopError]
    if processes:
        outcomes = from_processes(decode, map(_sendable, images), at_once, processes, _collated)
    else:
        outcomes = by_threads(decode.__getitem__, images, AHEAD * at_once, usable_cpus(), device)
    with closing(outcomes):  # an error keeps hold of the generator, whose processes are to end now
        for outcome in outcomes:
            if isinstance(outcome, CocoopError):
                raise outcome
            yield outcome


def processes_for(count: int, pictures: Sequence[Picture], preprocess: Preprocess, batch_size: int) -> int:
    """How many processes to decode `count` views of `pictures` with: 0 where threads do as well, or must.

    Threads must where images are open, which would have to be sent, and in a process that may start no others. Decoded
    batches pass through shared memory, which bounds the number.
    """
    batch = batch_size * 3 * preprocess.size**2 * 4  # bytes
    processes = min(usable_cpus(), count // _IMAGES_PER_PROCESS, processes_with_room(batch))
    if processes < FEWEST_PROCESSES or multiprocessing.current_process().daemon:
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


def by_threads(function: Callable[[T], R], items: Iterable[T], count: int, threads: int, device: str) -> Generator[R]:
    """`function` of each item, in order, `count` at a time: ahead of a tower on a GPU, in turns with one on the CPU."""
    return (in_turns if device == "cpu" else from_threads)(function, items, count, threads)


def from_threads(function: Callable[[T], R], items: Iterable[T], ahead: int, threads: int) -> Generator[R]:
    """`function` of each item, in order, `ahead` of them beforehand: Pillow lets threads decode side by side.

    For a tower on a GPU; beside one on the CPU see `in_turns`.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[list[R]]] = deque()
    share = _share(ahead, threads)
    try:
        for some in _batched(items, share):
            waiting.append(pool.submit(_each, function, some))
            if len(waiting) * share > max(ahead, threads):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # Not `pool.shutdown`, which takes locks and joins threads: after an error this may be the garbage collector at
        # work, in any thread, within the same locks. The pool's threads end when the pool is collected.
        for future in waiting:
            future.cancel()


def in_turns(function: Callable[[T], R], items: Iterable[T], at_once: int, threads: int) -> Generator[R]:
    """`function` of each item, in order, by threads; of `at_once` items when the first is asked for, and then of none.

    So a tower on the CPU has all cores while it computes. Its threads wait for each other, and threads that decode
    beside them would make all of them wait: with the bundled CLIP photos took a third longer (measured).
    """
    if threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads)
    for some in _batched(items, at_once):
        shares = _batched(some, _share(len(some), threads))
        yield from [result for share in pool.map(partial(_each, function), shares) for result in share]


def _share(count: int, threads: int) -> int:
    """How many of so many items a thread is given at once: giving small pictures singly takes half of their time."""
    return max(1, count // (4 * threads))


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]


def from_processes(
    items: Dataset[Any], keys: Iterator[Any], at_once: int, processes: int, collate: Callable[[list[Any]], Any]
) -> Generator[Any]:
    """`collate` of the items of `at_once` keys at a time, in order, by processes that work a few batches ahead.

    `RunError` where a process is gone.
    """
    loader = DataLoader(
        items,
        batch_sampler=iter(lambda: list(islice(keys, at_once)), []),
        num_workers=processes,
        prefetch_factor=AHEAD,
        collate_fn=collate,
        worker_init_fn=_begin,
        multiprocessing_context="spawn",  # a forked process would inherit locks of torch's threads
        generator=torch.Generator(),  # torch would draw a seed for the processes from the global one
    )
    with _noticing_death(processes):
        with main_left_alone():
            batches = iter(loader)
        yield from batches


@contextmanager
def _noticing_death(processes: int) -> Iterator[None]:
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


def usable_cpus() -> int:
    """How many CPUs this process may run on; of those of ranks, or of joblib's processes (`n_jobs`), its share."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if type(multiprocessing.current_process()).__name__ == "LokyProcess":
        return min(cpus, torch.get_num_threads())  # joblib tells its processes their share by OMP_NUM_THREADS
    return max(1, cpus // ranks_here())


def processes_with_room(batch: int) -> int:
    """How many processes may decode batches of so many bytes before shared memory is full; containers have little."""
    if not SHARED_MEMORY.is_dir():
        return 0 if sys.platform == "linux" else usable_cpus()  # other systems have none by that name
    return (shutil.disk_usage(SHARED_MEMORY).free // batch - 2) // AHEAD  # 2: one is encoded, the next is taken
