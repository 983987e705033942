"""How cost grows with the number of classes and of images: `python benchmarks/growth.py`.

CoCoOp's text features on the packed path, ViT-B/16's size, class names as long as ImageNet's. Cost per pass is fitted
as a power of T, the suffix tokens of all classes, and of B, the images at a time: a straight line through the
logarithms, by least squares. An exponent of 1 is proportional; fixed costs make it smaller. The figures take turns, so
that a busy moment of the machine meets all of them; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from cocoop.bench import SHAPES, Encoding, random_clip, suffix_lengths
from cocoop.bench.clock import best_seconds, timed
from cocoop.bench.memory import PASSES
from cocoop.clip import CLIP
from cocoop.reports import text_table

CLASSES = (10, 30, 100, 300, 1000, 3000, 10_000)
IMAGES = (1, 2, 4, 8, 16, 32)
CLASSES_OF_IMAGES = 100
"""K of the table over B."""


class Work(NamedTuple):
    """K and B of one pass."""

    classes: int
    images: int

    @property
    def tokens(self) -> int:
        """T, the suffix tokens of all classes."""
        return sum(suffix_lengths(self.classes))


def seconds(clip: CLIP, works: list[Work], rounds: int, patience: float) -> dict[str, list[float]]:
    """Pass -> the best seconds of each work, in its order."""
    encodings = [Encoding(clip, *work) for work in works]
    best = {}
    for name, run in PASSES.items():
        turns = {str(i): timed(partial(run, encoding), clip.device) for i, encoding in enumerate(encodings)}
        best[name] = [*best_seconds(turns, rounds, patience).values()]
    return best


def exponent(sizes: list[int], times: list[float]) -> float:
    """The p of time = c size^p that fits best."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def table(works: list[Work], sizes: list[int], measured: dict[str, list[float]]) -> str:
    """Markdown: milliseconds by work, and the fitted exponent of `sizes` in the last row."""
    columns = [*measured.values()]
    rows = [
        [f"{work.classes:,}", f"{work.tokens:,}", str(work.images), *(f"{1000 * times[i]:,.1f}" for times in columns)]
        for i, work in enumerate(works)
    ]
    fitted = ["exponent", "", "", *(f"{exponent(sizes, times):.3f}" for times in columns)]
    return text_table(["classes", "tokens", "images", *(f"{name}, ms" for name in measured)], [*rows, fitted])


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="ViT-B/16", choices=SHAPES)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES, metavar="K")
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES, metavar="B")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=240.0, help="seconds after which no further round begins")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()

    clip = random_clip(options.shape, options.device, options.dtype)
    threads = f", {torch.get_num_threads()} threads" if clip.device.type == "cpu" else ""
    print(f"{options.shape}, {options.dtype}, {clip.device}{threads}, torch {torch.__version__}\n")
    by_classes = [Work(classes, 1) for classes in options.classes]
    by_images = [Work(CLASSES_OF_IMAGES, images) for images in options.images]
    print("By the number of classes; the exponent is of the tokens:\n")
    measured = seconds(clip, by_classes, options.rounds, options.patience)
    print(table(by_classes, [work.tokens for work in by_classes], measured))
    print("\nBy the number of images at a time; the exponent is of it:\n")
    measured = seconds(clip, by_images, options.rounds, options.patience)
    print(table(by_images, [work.images for work in by_images], measured))


if __name__ == "__main__":
    main()
