"""Image features on disk: computed once, found again by what decides them, never believed when damaged."""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.clip import CLIP
from cocoop.errors import InputError, RunError
from cocoop.training.views import View

_VERSION = 1
"""Counts up whenever a transform or the layout of a block changes, so that no older block is read."""

_ABANDONED = 3600.0  # seconds after which an unfinished file is that of a process that was killed


class Block(NamedTuple):
    """Some images' features in one view: their contents [n], in memory, and the features [n, E], on disk."""

    contents: NDArray[np.bytes_]
    features: NDArray[Any]


class StoredFeatures:
    """Image features [N, E], unit norm, that stay on disk until they are asked for.

    `features[numbers]` or `features[start:stop]` is a tensor [n, E] on the CLIP's device; `len(features)` is N.

    Args:
        blocks: that hold them.
        block, row: [N] in which block, and in which row of it, each feature is.
        device: of what is asked for.
    """

    def __init__(
        self, blocks: Sequence[Block], block: NDArray[np.int64], row: NDArray[np.int64], device: torch.device
    ) -> None:
        self.blocks, self.block, self.row, self.device = blocks, block, row, device

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: slice | Sequence[int]) -> Tensor:
        where = which if isinstance(which, slice) else np.asarray(which, dtype=np.int64)
        block, row = self.block[where], self.row[where]
        first = self.blocks[0].features
        found = np.empty((len(row), first.shape[1]), dtype=first.dtype)
        for number in np.unique(block):
            of_it = block == number
            found[of_it] = self.blocks[number].features[row[of_it]]
        return torch.from_numpy(found).to(self.device)


class FeatureStore:
    """A folder of image features of one CLIP, or of several beside each other.

    A block is a file of some images' features in one view. Its folder is named by all that decides a feature beside
    the image: the CLIP's weights, precision and kind of device, the transform with Pillow's version, and the view. Its
    name is the SHA-256 of these and of its bytes, so that one that is torn, altered or moved is known, removed and
    computed again. Any number of processes may use a folder at once: each writes files of its own, whole or not at all.

    Args:
        folder: made when the first block is written.
        clip: whose features they are.

    Raises:
        InputError: `folder` is a file.
    """

    def __init__(self, folder: str | PathLike[str], clip: CLIP) -> None:
        self.folder, self.clip = Path(folder), clip
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{folder}: expected a folder for image features; it is a file. Choose another.")
        self._open: dict[Path, Block] = {}

    def find(self, contents: NDArray[np.bytes_], view: View | None) -> tuple[StoredFeatures, NDArray[np.bool_]]:
        """Features of the images [N] in a view, and of which [N] there are any; those of the others mean nothing."""
        blocks = self._blocks(self._place(view))
        if not blocks:
            nowhere = np.zeros(len(contents), dtype=np.int64)
            return StoredFeatures([], nowhere, nowhere, self.clip.device), nowhere.astype(bool)
        held = np.concatenate([block.contents for block in blocks])
        order = np.argsort(held, kind="stable")
        place = order[np.searchsorted(held, contents, sorter=order).clip(max=len(held) - 1)]
        starts = np.cumsum([0, *(len(block.contents) for block in blocks)])
        block = np.searchsorted(starts, place, side="right") - 1
        return StoredFeatures(blocks, block, place - starts[block], self.clip.device), held[place] == contents

    def add(self, contents: NDArray[np.bytes_], view: View | None, features: Tensor) -> None:
        """Keep the features [n, E] of images [n] in a view, as one block. `RunError` where the disk refuses."""
        values = features.cpu().numpy()
        block = np.empty(len(values), dtype=[("content", "S32"), ("feature", values.dtype, values.shape[1:])])
        block["content"], block["feature"] = contents, values
        file = io.BytesIO()
        np.save(file, block, allow_pickle=False)
        place = self._place(view)
        # Not flushed to the disk: a block that a power cut tears is known by its name.
        _write_whole(place / f"{_digest(place, file.getbuffer())}.npy", file.getbuffer())

    def _place(self, view: View | None) -> Path:
        transform = self.clip.preprocess
        key = {
            "version": _VERSION,
            "clip": self.clip.fingerprint,
            "precision": self.clip.precision.name,
            "device": self.clip.device.type,
            "transform": [transform.size, [*transform.mean], [*transform.std]],
            "pillow": PIL.__version__,
        }
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        return self.folder / name / ("test" if view is None else f"seed-{view.seed}-view-{view.number}")

    def _blocks(self, place: Path) -> list[Block]:
        """The blocks of a place that are whole; each is read through once in the life of this object."""
        blocks = []
        for path in sorted(place.glob("*.npy")):
            if path not in self._open:
                if not _is_whole(path):
                    continue
                rows = np.load(path, mmap_mode="r", allow_pickle=False)
                self._open[path] = Block(np.ascontiguousarray(rows["content"]), rows["feature"])
            blocks.append(self._open[path])
        return blocks


def _is_whole(path: Path) -> bool:
    """Whether a block is what it was when it was written. One that is not is removed."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if _digest(path.parent, content) == path.stem:
                return True
    except FileNotFoundError:  # another process has removed it just now
        return False
    except ValueError:  # no bytes at all
        pass
    except OSError as error:
        raise RunError(f"{path}: expected to read image features; got {error}. Remove the file.") from error
    with suppress(OSError):
        path.unlink()
    return False


def _digest(place: Path, content: Any) -> str:
    digest = hashlib.sha256("/".join(place.parts[-2:]).encode())
    digest.update(content)
    return digest.hexdigest()


def _write_whole(path: Path, content: memoryview) -> None:
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(path.parent)
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{path.parent}: expected to write image features; got {error}. Check the folder's rights and free space, "
            "or choose another folder."
        ) from error


def _clear_abandoned(place: Path) -> None:
    for path in place.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # finished or cleared by another process
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
