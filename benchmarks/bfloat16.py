"""A CoCoOp training image in bfloat16 beside an original CoOp one in float32: `python benchmarks/bfloat16.py`.

A CLIP of ViT-B/16's shape with random weights, image features given. CoOp runs full-length prompts, and 32 images share
a text pass, as in the original code. The trainings take turns in one process; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch.nn import functional as F

from cocoop import CoCoOp, CoOp
from cocoop.bench import class_names, random_clip
from cocoop.features import FixedFeatures
from cocoop.reports import text_table
from cocoop.training import train


def milliseconds(model: CoOp | CoCoOp, images: int, plain: bool) -> float:
    """Of a training image; the first epoch, which prepares the class list, does not count."""
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(images, model.clip.embed_dim, generator=generator), dim=-1)
    labels = [number % len(model.class_names) for number in range(images)]
    model.clip.text.plain = plain
    epochs = train(model, FixedFeatures(features), labels, epochs=3, batch_size=model.recipe.batch_size, seed=0)
    model.clip.text.plain = False
    return 1000 * min(epoch.seconds for epoch in epochs[1:]) / images


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    names = class_names(arguments.classes)
    full, half = random_clip("ViT-B/16", "cpu"), random_clip("ViT-B/16", "cpu", "bfloat16")
    trainings: dict[str, Callable[[], float]] = {
        "CoOp, plain, float32": lambda: milliseconds(CoOp(full, names), 32, plain=True),
        "CoCoOp, float32": lambda: milliseconds(CoCoOp(full, names), 8, plain=False),
        "CoCoOp, bfloat16": lambda: milliseconds(CoCoOp(half, names), 8, plain=False),
    }
    rounds = [[run() for run in trainings.values()] for _ in range(arguments.rounds)]
    best = [min(times) for times in zip(*rounds, strict=True)]
    rows = [[name, f"{ms:.1f}", f"{ms / best[0]:.2f}"] for name, ms in zip(trainings, best, strict=True)]
    print(text_table(["training image", "ms", "over CoOp's"], rows))


if __name__ == "__main__":
    main()
