"""How many threads torch takes for a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cocoop.clip.sources.load import BUNDLED


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch take `count` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(clip: str, jobs: int = 1) -> int:
    """How many threads each of `jobs` processes gets, with the CLIP of this name: together as many as one would have.

    The bundled CLIP is so small that a second thread gains little, and on busy cores it waits for many times as long: a
    training of 191 seconds took 14 with one (measured, beside other work on two cores).
    """
    return 1 if clip in BUNDLED else max(1, torch.get_num_threads() // jobs)
