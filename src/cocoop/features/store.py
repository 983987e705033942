"""Image features on disk: computed once, under a key of all that decides them, and computed again when damaged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from cocoop.clip import CLIP, Preprocess
from cocoop.errors import InputError, RunError
from cocoop.features.blocks import Block, blocks_of, contents_of, open_block, write_block
from cocoop.features.parquet import ParquetBlock, contents_in, files_of
from cocoop.features.pixels import View
from cocoop.rgb import Exif

_VERSION = 3
"""Counts up when a transform, the arithmetic of a tower or the layout of a block changes: no older block is read."""


AnyBlock = Block | ParquetBlock


class StoredFeatures:
    """Image features [N, E], unit norm, that stay on disk until they are asked for.

    `features[numbers]` or `features[start:stop]` is a tensor [n, E] on the CLIP's device, and a `RunError` where they
    are gone; `len(features)` is N.

    Args:
        blocks: that hold them.
        block, row: [N] in which block, and in which row of it, each feature is.
        device: of what is asked for.
    """

    def __init__(
        self,
        blocks: Sequence[AnyBlock],
        block: NDArray[np.int64],
        row: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self.blocks, self.block, self.row, self.device = blocks, block, row, device

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: slice | Sequence[int]) -> Tensor:
        where = which if isinstance(which, slice) else np.asarray(which, dtype=np.int64)
        block, row = self.block[where], self.row[where]
        first = self.blocks[0]
        features = np.empty((len(row), first.shape[1]), dtype=first.dtype)
        for number in np.unique(block):
            in_block = block == number
            features[in_block] = self.blocks[number].rows(row[in_block])
        return torch.from_numpy(features).to(self.device)


class FeatureStore:
    """A folder of image features of one CLIP, or of several beside each other.

    A block's folder is named by all that decides a feature beside the image: what the CLIP computes, its precision and
    kind of device, the transform with Pillow's version, how images are opened (`opened`), and the view. A block that is
    torn, altered or moved is known (see `blocks.py`), removed and computed again. Any number of processes may use a
    folder at once: each writes files of its own, whole or not at all. Where `cocoop embed --shards` filled the folder,
    the features in its Parquet files are found, too, in the test view.

    Args:
        folder: made when the first block is written.
        clip: whose features they are.

    Raises:
        InputError: `folder` is a file.
    """

    def __init__(self, folder: str | PathLike[str], clip: CLIP) -> None:
        self.folder, self.clip = Path(folder).absolute(), clip
        self.exif: Exif = "apply"
        if os.path.exists(self.folder) and not os.path.isdir(self.folder):
            raise InputError(f"{folder}: expected a folder for image features; it is a file. Choose another.")

    def opened(self, exif: Exif) -> FeatureStore:
        """The same folder, for images that are opened in this way; see `cocoop.rgb.as_rgb`."""
        store = copy(self)
        store.exif = exif
        return store

    def contents(self, view: View | None) -> NDArray[np.bytes_]:
        """The content hashes [n], sorted, of the images whose features in a view are there, as the blocks' heads say.

        Their features may yet be damaged, which `find` notices.
        """
        held = [held for held, _ in self._held(view)]
        contents = np.unique(np.concatenate(held)) if held else np.empty(0, dtype="S32")
        return np.delete(contents, np.flatnonzero(contents == b""))

    def find(self, contents: NDArray[np.bytes_], view: View | None) -> tuple[StoredFeatures, NDArray[np.bool_]]:
        """Features in a view of the images with these content hashes [N], and of which [N] there are any.

        The features of the others mean nothing.
        """
        distinct, back = np.unique(contents, return_inverse=True)
        block, row = np.full((2, len(distinct)), -1)
        blocks: list[AnyBlock] = []
        for held, open_it in self._held(view) if len(distinct) else ():
            which = np.searchsorted(distinct, held).clip(max=len(distinct) - 1)
            rows = np.flatnonzero((distinct[which] == held) & (block[which] < 0))
            opened = open_it() if len(rows) else None
            if opened is not None and opened.shape[1] == (blocks[0] if blocks else opened).shape[1]:
                block[which[rows]], row[which[rows]] = len(blocks), rows
                blocks.append(opened)
        return StoredFeatures(blocks, block[back], row[back], self.clip.device), (block >= 0)[back]

    def add(self, contents: NDArray[np.bytes_], view: View | None, features: Tensor) -> None:
        """Keep the features [n, E], in a view, of images with these content hashes [n], as one block.

        `RunError` where the disk refuses, or a feature is not finite.
        """
        check_finite(self.clip, features)
        write_block(self._place(view), contents, features.cpu().numpy())

    def _held(self, view: View | None) -> Iterator[tuple[NDArray[np.bytes_], Callable[[], AnyBlock | None]]]:
        """The content hashes [n] of each file of features in a view, and what opens it."""
        for path in blocks_of(self._place(view)):
            yield contents_of(path), partial(open_block, path)
        for path in files_of(self.folder, features_key(self.clip, self.exif)) if view is None else ():
            contents = contents_in(path)
            yield contents, partial(ParquetBlock, path, (len(contents), self.clip.embed_dim))

    def _place(self, view: View | None) -> Path:
        name = "test" if view is None else f"seed-{view.seed}-view-{view.number}"
        return self.folder / features_key(self.clip, self.exif) / name


def features_key(clip: CLIP, exif: Exif) -> str:
    """SHA-256 of all that decides a feature beside the image and its view."""
    transform = clip.preprocess
    key = {
        "version": _VERSION,
        "clip": clip.fingerprint,
        "precision": clip.precision.name,
        "device": clip.device.type,
        "transform": [transform.size, [*transform.mean], [*transform.std], *_other_resizing(transform)],
        "pillow": PIL.__version__,
        **_other_opening(exif),
    }
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def check_finite(clip: CLIP, features: Tensor) -> None:
    """`RunError` unless all image features [N, E] are finite; nothing that comes of others means anything."""
    if not features.isfinite().all():
        raise RunError(
            f"image features: expected finite numbers; got NaN or infinity from the CLIP {clip.name}, computing in "
            f"{clip.precision.name}. Take float32 (--dtype float32); if they are no better, its weights are damaged: "
            "download it again."
        )


def _other_opening(exif: Exif) -> dict[str, str]:
    """The part of a key that says how images are opened; empty for the original's way, as in `_other_resizing`."""
    return {} if exif == "original" else {"exif": exif}


def _other_resizing(transform: Preprocess) -> list[str]:
    """The part of a key that says how a transform resizes.

    It is empty for OpenAI's way, because the first blocks were written when there was no other, and they stay valid.
    """
    resizing = [transform.resize_mode, transform.interpolation]
    return [] if resizing == ["shortest", "bicubic"] else resizing
