"""Exported models beside the eager one: `python benchmarks/export.py`.

By default a CLIP of ViT-B/16's size with random weights, and 200 random images as pixels, one and then batches of 32.
For zero-shot with 3 and 1,000 classes and CoCoOp with 10, as ONNX model and program of torch.export: the seconds that
`export` takes, the size of the file and of its head alone, the largest difference of a probability from the eager
model, how many images have the same class, and milliseconds an image in batches of 32, beside the eager image tower.

CoCoOp's Meta-Net is as it is drawn, so that images move its prompts a little. Its eager model is the tangent head: how
far that agrees with exact inference, benchmarks/tangent.py measures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop.bench import class_names, random_clip
from cocoop.clip import CLIP
from cocoop.methods import CoCoOp, Method, ZeroShot
from cocoop.progress import progress
from cocoop.reports import text_table
from cocoop.serving.export import Learned, export
from cocoop.serving.exported import read_exported, verified_head

_BATCH = 32
_COLUMNS = ["method", "K", "form", "export, s", "file, MB", "head, MB", "difference", "same class", "ms/image"]


def batches(images: int) -> list[int]:
    """One image alone, and the others in batches."""
    return [1] + [min(_BATCH, images - start) for start in range(1, images, _BATCH)]


def timed(run: Callable[[Tensor], Tensor], pixels: Tensor) -> tuple[Tensor, float]:
    """What a model gives of all images, and milliseconds an image in whole batches."""
    run(pixels[:1])  # warm
    given, seconds, timed_images = [], 0.0, 0
    for part in progress(pixels.split(batches(len(pixels))), "running", unit=" batches"):
        began = time.perf_counter()
        given.append(run(part))
        if len(part) == _BATCH:
            seconds, timed_images = seconds + time.perf_counter() - began, timed_images + _BATCH
    return torch.cat(given), 1e3 * seconds / max(1, timed_images)


def learned_of(method: type[Method], clip: CLIP, classes: int) -> Learned:
    """A method of K classes, with a sample of random images."""
    torch.manual_seed(0)
    model, size = method(clip, class_names(classes)), clip.preprocess.size
    sample = clip.encode_images(torch.randn(8, 3, size, size)) if model.conditional else None
    return Learned(method.__name__, model, model.class_names, "apply", sample=sample)


@torch.no_grad()
def eager(learned: Learned, features: Tensor) -> Tensor:
    """Probabilities [N, K] without any export."""
    if isinstance(learned.model, CoCoOp) and learned.sample is not None:
        probabilities: Tensor = verified_head(learned.model, learned.sample, 1.0)[0](features)
        return probabilities
    return learned.model.probabilities(features)


def row(learned: Learned, to: str, pixels: Tensor, expected: Tensor, root: Path) -> list[str]:
    """Export, run, compare."""
    began = time.perf_counter()
    made = export(learned, to, root / f"{learned.name}-{to}-{expected.shape[1]}")
    seconds = time.perf_counter() - began
    head = export(learned, to, root / f"{learned.name}-{to}-{expected.shape[1]}-head", features=True)
    given, milliseconds = timed(read_exported(made.folder).opened.run, pixels)
    same = (given.argmax(dim=1) == expected.argmax(dim=1)).sum()
    difference = (given - expected).abs().max()
    sizes = [f"{made.size / 1e6:.1f}", f"{head.size / 1e6:.3f}"]
    figures = [f"{difference:.1e}", f"{same} of {len(given)}", f"{milliseconds:.1f}"]
    return [learned.name, f"{expected.shape[1]:,}", to, f"{seconds:.0f}", *sizes, *figures]


def main() -> None:
    """Print a row per file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="ViT-B/16")
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    clip = random_clip(options.shape)
    size = clip.preprocess.size
    pixels = torch.randn(options.images, 3, size, size, generator=torch.Generator().manual_seed(1))
    features, milliseconds = timed(clip.encode_images, pixels)
    rows = [["image tower", "", "eager", "", "", "", "", "", f"{milliseconds:.1f}"]]
    with tempfile.TemporaryDirectory() as root:
        for method, classes in ((ZeroShot, 3), (ZeroShot, 1000), (CoCoOp, 10)):
            learned = learned_of(method, clip, classes)
            expected = eager(learned, F.normalize(features, dim=-1))
            rows += [row(learned, to, pixels, expected, Path(root)) for to in ("onnx", "torch-export")]
    print(text_table(_COLUMNS, rows))


if __name__ == "__main__":
    main()
