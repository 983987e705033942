"""What a picture takes on this machine until it has a feature and a class: decoded, encoded, classified, written."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cocoop.bench.clock import best_seconds, timed
from cocoop.bench.floor import Floor, ImageFloor
from cocoop.bench.images import measure_images
from cocoop.bench.inference import measure_inference
from cocoop.clip import CLIP
from cocoop.clip.text.typical import CONTEXT_LENGTH, suffix_lengths
from cocoop.data import open_image
from cocoop.errors import InputError, RunError, plainly

WAYS = ("features", "zero-shot", "exact", "tangent")
"""What is done with a picture: its feature is written; it is classified by prompts that are the same for all; by
CoCoOp's exact prompts; by its tangent prompts."""

_IMAGES_AT_ONCE = {"cpu": 16}  # as predictions take them
_IMAGES_AT_ONCE_ELSEWHERE = 64
_SAMPLE = 32  # pictures that are decoded in a turn
_WRITTEN = 32 * 2**20  # bytes
_PHOTOGRAPH = (500, 375)  # pixels: a typical one of ImageNet's


@dataclass(frozen=True)
class Rates:
    """What one picture takes until it has a feature that is written; `ms` are milliseconds.

    Attributes:
        device, dtype, threads: of the tower.
        decode_ms: to decode and transform a file that is read, on one core.
        tower_ms: the image tower, on the device or all `threads`.
        tower_gflop: 10^9 operations of its matrix products; see `cocoop.bench.floor`.
        picture_bytes: the mean file. row_bytes: a float16 feature.
        write_mb_s: MB of 10^6 bytes that the disk takes in a second.
    """

    device: str
    dtype: str
    threads: int
    decode_ms: float
    tower_ms: float
    tower_gflop: float
    picture_bytes: float
    row_bytes: int
    write_mb_s: float


@dataclass(frozen=True)
class TextSide:
    """What a feature takes until it has a class.

    Attributes:
        way: one of `WAYS`. classes: K; 0 where a feature gets none.
        ms: milliseconds on the device, or all threads.
        gflop: 10^9 operations of its matrix products.
        making_s: seconds that are spent once, on tangent prompts.
    """

    way: str
    classes: int
    ms: float
    gflop: float
    making_s: float = 0.0


def measure_rates(clip: CLIP, pictures: Sequence[bytes], folder: Path = Path(), rounds: int = 3) -> Rates:
    """Measure `Rates`.

    Args:
        clip: with random weights or others, a vision transformer; see `random_clip`.
        pictures: files that stand for all, as they are read.
        folder: where results would be written; a file is written there and removed.
        rounds: turns of every work; the best counts.

    Raises:
        InputError: a picture that does not decode, or a ResNet. RunError: the disk refuses.
    """
    at_once = _IMAGES_AT_ONCE.get(clip.device.type, _IMAGES_AT_ONCE_ELSEWHERE)
    some = list(pictures[:_SAMPLE])
    decoding = timed(partial(_decode, clip, some), torch.device("cpu"))
    return Rates(
        device=str(clip.device),
        dtype=clip.precision.name,
        threads=torch.get_num_threads(),
        decode_ms=1000 * best_seconds({"decode": decoding}, rounds)["decode"] / len(some),
        tower_ms=measure_images(clip, at_once, rounds).ours_ms,
        tower_gflop=2e-9 * ImageFloor(clip, 1).multiply_adds,
        picture_bytes=sum(map(len, pictures)) / len(pictures),
        row_bytes=2 * clip.embed_dim,
        write_mb_s=_writing(folder),
    )


def measure_text(clip: CLIP, ways: Sequence[str], classes: int, rounds: int = 3) -> list[TextSide]:
    """Measure a `TextSide` for each of these `WAYS`, with K classes."""
    sides = {"features": TextSide("features", 0, 0.0, 0.0)}
    if "zero-shot" in ways:
        sides["zero-shot"] = _same_for_all(clip, classes, rounds)
    if {"exact", "tangent"} & {*ways}:
        cell = measure_inference(clip, classes, rounds)
        exact = Floor(clip, 1, classes, sum(suffix_lengths(classes)), CONTEXT_LENGTH)
        sides["exact"] = TextSide("exact", classes, cell.exact_ms, 2e-9 * exact.multiply_adds)
        # As if it were the tower that takes as long here: there is no other measure of it on a device that is not here.
        gflop = cell.tangent_of_tower * 2e-9 * ImageFloor(clip, 1).multiply_adds
        sides["tangent"] = TextSide("tangent", classes, cell.tangent_ms, gflop, cell.making_s)
    return [sides[way] for way in ways]


def photographs(count: int = _SAMPLE) -> list[bytes]:
    """JPEG files of 500 x 375 pixels that are drawn here, for want of others: smooth colours with some grain."""
    generator = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(_PHOTOGRAPH, Image.Resampling.BICUBIC), dtype=np.float32)
        grain = generator.normal(0, 8, smooth.shape[:2])[..., None]
        file = io.BytesIO()
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _decode(clip: CLIP, files: Sequence[bytes]) -> None:
    for number, file in enumerate(files):
        clip.preprocess(open_image(f"picture {number}", file, "apply"))


def _same_for_all(clip: CLIP, classes: int, rounds: int) -> TextSide:
    """Features to probabilities by text features that no picture changes."""
    features, text = (torch.ones(n, clip.embed_dim, device=clip.device) for n in (_IMAGES_AT_ONCE_ELSEWHERE, classes))
    work = timed(lambda: (features @ text.T).softmax(dim=-1), clip.device)
    ms = 1000 * best_seconds({"text": work}, rounds)["text"] / len(features)
    return TextSide("zero-shot", classes, ms, 2e-9 * classes * clip.embed_dim)


def _writing(folder: Path) -> float:
    """MB a second of a file that is flushed to the disk."""
    content = os.urandom(_WRITTEN)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.perf_counter()
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            return len(content) / 1e6 / (time.perf_counter() - began)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: expected a folder to write to; there is none.") from error
    except OSError as error:
        raise RunError(f"{folder}: expected to write {_WRITTEN:,} bytes; got {plainly(error)}.") from error
