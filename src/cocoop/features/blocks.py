"""Blocks: files of some images' features. Written whole or not at all, and used only if their checksums agree.

A block is the number n of its images, in 8 bytes; its head, which is the SHA-256 of the features' bytes and the content
hashes of the images, n times 32 bytes; and the features [n, E], as numpy saves an array. Its name is the SHA-256 of its
place and its head. So what it holds is known from the head, and only a block that is wanted is read through.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cocoop.atomic import advice, write_whole
from cocoop.errors import RunError, plainly

_SUFFIX = ".features"

_read_through: set[tuple[Path, int, int]] = set()
"""Blocks that this process has checked and that are whole: path, bytes and time of change, in nanoseconds."""


class Block(NamedTuple):
    """Where the features [n, E] of a block that is whole lie. Holds no file open: a place may have any number."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Features [len(numbers), E] in memory. `RunError` where the file has gone or the disk refuses."""
        try:
            with _opened(self.path) as file:
                return np.memmap(file, self.dtype, "r", self.offset, self.shape)[numbers]
        except (FileNotFoundError, ValueError) as error:  # no file any more, or a shorter one
            raise gone(self.path.parent) from error


def gone(place: Path) -> RunError:
    """The error for features that were there a moment ago."""
    return RunError(
        f"{place}: expected image features that were there just now; some are gone. Let nothing remove files there "
        "during a run."
    )


def blocks_of(place: Path) -> list[Path]:
    """The files of a folder that may be blocks, by name. `RunError` where the disk refuses."""
    try:
        return sorted(place / name for name in os.listdir(place) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(place, error) from error


def contents_of(path: Path) -> NDArray[np.bytes_]:
    """The content hashes [n] of a block's images; none where there is no block, or a damaged one."""
    try:
        with _opened(path) as file:
            version, head = _version(file), _head(file)
    except FileNotFoundError:
        return np.empty(0, dtype="S32")
    if head and _name(path.parent, head) == path.name:
        return np.frombuffer(head, dtype="S32")[1:]
    _remove(path, version)
    return np.empty(0, dtype="S32")


def open_block(path: Path) -> Block | None:
    """The block of this path, of which `contents_of` has read the beginning; None if it is damaged, and removed."""
    try:
        with _opened(path) as file:
            version = _version(file)
            if _is_whole(path, file):
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                return Block(path, file.tell(), shape, dtype)
    except FileNotFoundError:
        return None
    _remove(path, version)
    return None


def write_block(place: Path, contents: NDArray[np.bytes_], features: NDArray[Any]) -> None:
    """Keep the features [n, E] of images with these content hashes [n] as a block of a folder, made if need be.

    Raises:
        RunError: the disk refuses.
    """
    rest = io.BytesIO()
    np.save(rest, features, allow_pickle=False)
    head = sha256(rest.getbuffer()).digest() + contents.astype("S32").tobytes()
    content = b"".join([len(contents).to_bytes(8, "little"), head, rest.getbuffer()])
    # Not flushed to the disk: a block that a power cut tears is known by its checksums.
    write_whole(place / _name(place, head), content, "image features", flush=False)


def _name(place: Path, head: bytes) -> str:
    return sha256("/".join(place.parts[-2:]).encode() + head).hexdigest() + _SUFFIX


def _head(file: BinaryIO) -> bytes:
    """A block's head; empty bytes where the file is too short to hold a head and features behind it."""
    size = 32 * (int.from_bytes(file.read(8), "little") + 1)
    return file.read(size) if size < os.fstat(file.fileno()).st_size else b""


def _is_whole(path: Path, file: BinaryIO) -> bool:
    """Whether the features of a block are what was written. Leaves the file where they begin."""
    state = os.fstat(file.fileno())
    seen = path, state.st_size, state.st_mtime_ns
    head, start = _head(file), file.tell()
    if seen in _read_through:
        return True
    content = file.read()
    if sha256(content).digest() != head[:32] or not _is_sound(content, len(head) // 32 - 1):
        return False
    _read_through.add(seen)
    file.seek(start)
    return True


def _is_sound(content: bytes, count: int) -> bool:
    """Whether these are so many features, and finite: those of a damaged CLIP, NaN, were once kept like others."""
    try:
        features = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:  # what a stranger made has its checksum, too, and NumPy raises many kinds for it
        return False
    return (
        getattr(features, "ndim", 0) == 2
        and (len(features), features.dtype.kind) == (count, "f")
        and bool(np.isfinite(features).all())
    )


def _version(file: BinaryIO | Path) -> tuple[int, int, int]:
    """What tells a file from one that was written in its place."""
    state = os.stat(file if isinstance(file, Path) else file.fileno())
    return state.st_ino, state.st_size, state.st_mtime_ns


def _remove(path: Path, version: tuple[int, int, int]) -> None:
    """Remove a damaged block, unless another process has written it anew since it was read."""
    with suppress(OSError):
        if _version(path) == version:
            path.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """An open file. `RunError` where the disk refuses, `FileNotFoundError` where another process removed it."""
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RunError:
    told = advice(error, "Check its rights, or remove it.")
    return RunError(f"{path}: expected to read image features; got {plainly(error)}. {told}")
