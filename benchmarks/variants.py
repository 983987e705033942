"""What CoCoOp's variants cost beside CoCoOp itself: `python benchmarks/variants.py`.

A CLIP of ViT-B/16's shape with random weights, names as long as ImageNet's, image features at random, one image a step.
A training step and a classified image of each variant take turns in one process; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from cocoop import CLIP, CoCoOp
from cocoop.bench import class_names, random_clip
from cocoop.bench.clock import best_seconds, timed
from cocoop.reports import text_table
from cocoop.training import Step

HEADER = [
    "variant",
    "classes",
    "numbers learned",
    "step, ms",
    "step / CoCoOp's",
    "inference, ms",
    "inference / CoCoOp's",
]

VARIANTS: dict[str, dict[str, Any]] = {
    "CoCoOp": {},
    "a Meta-Net for each token": {"meta_nets": "per-token"},
    "dot product": {"similarity": "dot"},
    "Euclid": {"similarity": "euclidean"},
}


def rows(clip: CLIP, classes: int, rounds: int) -> list[list[str]]:
    """Time all variants on K classes."""
    torch.manual_seed(0)
    image = F.normalize(torch.randn(1, clip.embed_dim), dim=-1).to(clip.device)
    target = torch.zeros(1, dtype=torch.long, device=clip.device)
    models = {name: CoCoOp(clip, class_names(classes), **settings) for name, settings in VARIANTS.items()}
    works = {}
    for name, model in models.items():
        step = Step(model, lr=1e-9)
        works[f"step {name}"] = timed(partial(step, image, target), clip.device)
        works[f"inference {name}"] = timed(partial(model.probabilities, image), clip.device)
    seconds = best_seconds(works, rounds)
    table = []
    for name, model in models.items():
        row = [name, f"{classes:,}", f"{model.trainable_parameters:,}"]
        for work in ("step", "inference"):
            own, usual = seconds[f"{work} {name}"], seconds[f"{work} CoCoOp"]
            row += [f"{1000 * own:,.1f}", f"{own / usual:.2f}"]
        table.append(row)
    return table


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    clip = random_clip("ViT-B/16", "cpu")
    print(text_table(HEADER, [row for classes in arguments.classes for row in rows(clip, classes, arguments.rounds)]))


if __name__ == "__main__":
    main()
