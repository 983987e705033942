"""What is asked of a request before anything is computed, and how much of all requests is in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cocoop.data import ImageError, undecoded
from cocoop.errors import InputError

PICTURES = 64
"""Of one request: decoded for a CLIP of 224 pixels they take 40 MB."""

TABLE = 2**22
"""Bytes of one table of rows, some ten thousand; as Python's objects they can take sixty times as much (measured)."""

TRAINING_PICTURES = 8
"""Pictures as large as one may be that one training has decoded at a time: 1.2 GB at 50 megapixels."""

_AT_A_TIME = 4  # uploads as large as one may be, of all requests together
_PICTURES_AT_A_TIME = 4 * PICTURES
_LEAST = 2**16  # bytes that a request counts for


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    upload: bytes. pixels: of each picture. classes: of a list. seconds: until it is answered. learning: seconds of one
    training. learned: how many trained runs are kept, of which the oldest gives way.
    """

    upload: int = 64 * 10**6
    pixels: int = 50_000_000
    classes: int = 1000
    seconds: float = 60
    learning: float = 600
    learned: int = 4


class Budget:
    """An amount that is shared: who asks for more than is left waits."""

    def __init__(self, amount: int) -> None:
        self.amount = self.left = amount
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, amount: int) -> AsyncIterator[None]:
        """A context that has so much of it, or all there is."""
        amount = min(amount, self.amount)
        async with self._freed:
            await self._freed.wait_for(lambda: self.left >= amount)
            self.left -= amount
        try:
            yield
        finally:
            self.left += amount  # at once: a task that is being cancelled may not wait
            await asyncio.shield(self._tell())

    async def _tell(self) -> None:
        async with self._freed:
            self._freed.notify_all()


class Budgets:
    """How much of all requests is held at a time, so that memory does not grow with their number."""

    def __init__(self, limits: Limits) -> None:
        self.uploads, self.pictures = Budget(_AT_A_TIME * limits.upload), Budget(_PICTURES_AT_A_TIME)
        self.table = asyncio.Lock()
        self._limits = limits

    def of_upload(self, declared: int | None) -> int:
        """Bytes that a request of this declared size counts for; None is as many as it may have."""
        return self._limits.upload if declared is None else max(declared, _LEAST)


def check_pixels(name: str, content: bytes, most: int) -> None:
    """Raise `ImageError` for a picture of more pixels than `most`, by what its file says, before it is decoded.

    What cannot be read passes: who decodes it says why.
    """
    width, height = _size(content)
    if width * height > most:
        raise ImageError(
            f"{name}: expected a picture of at most {most:,} pixels; got {width:,} x {height:,} of them. Make it "
            "smaller, or start the server with a larger --max-pixels."
        )


def check_training(pictures: Sequence[tuple[str, bytes]], most: int) -> None:
    """Raise `InputError` for pictures of more than `TRAINING_PICTURES` * `most` pixels together, before decoding."""
    pixels = sum(width * height for width, height in (_size(content) for _, content in pictures))
    if pixels > TRAINING_PICTURES * most:
        raise InputError(
            f"image: expected pictures of at most {TRAINING_PICTURES * most:,} pixels together to learn from; got "
            f"{pixels:,} of them. Label fewer pictures, or make them smaller."
        )


def _size(content: bytes) -> tuple[int, int]:
    """The width and height that a picture's file says; (0, 0) of one that cannot be read."""
    try:
        with undecoded(content) as image:
            return image.size
    except Exception:  # Pillow raises nearly anything on damaged bytes
        return 0, 0
