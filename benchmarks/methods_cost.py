"""What each method costs to learn: `python benchmarks/methods_cost.py`.

A CLIP of ViT-B/16's shape with random weights, 100 classes with names as long as ImageNet's, and 16 image features at
random of each. Steps of all methods take turns in one process, and the best of the rounds counts; a run is as many of
them as the method's recipe takes, and its `prepare`. ProGrad is compared with CoOp of as many context vectors. Images
are not encoded: that costs the same with every method. Memory is the growth of a fresh process through `prepare` and
two steps, the CLIP not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cocoop import CLIP, METHODS, Method
from cocoop.bench import class_names, random_clip
from cocoop.bench.clock import best_seconds, timed
from cocoop.progress import duration
from cocoop.reports import text_table
from cocoop.results import peak_memory_mb, reset_peak_memory
from cocoop.training import Step

HEADER = [
    "method",
    "numbers learned",
    "images a step",
    "steps",
    "step, ms",
    "step / CoOp's",
    "16-shot run",
    "memory, MB",
]
SHOTS = 16
LIKE: dict[str, dict[str, Any]] = {"coop": {}, "coop, M = 16": {"context": None, "context_length": 16}}
"""CoOp with as many context vectors as the method that is compared with it."""


class Work(NamedTuple):
    """A method before its first step, and how it is learned. prepared: seconds of `prepare`."""

    model: Method
    prepared: float
    images: int
    steps: int
    step: Step | None


def features_of(clip: CLIP, classes: int) -> tuple[Tensor, Tensor]:
    """Unit features [N, E], those of a class around a direction of its own, and their classes [N]."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat(SHOTS)
    directions, noise = (torch.randn(n, clip.embed_dim, generator=generator) for n in (classes, len(labels)))
    return F.normalize(directions[labels] + noise, dim=-1), labels


def work_of(clip: CLIP, method: str, classes: int, **settings: Any) -> Work:
    """What a run of the method is about to do."""
    torch.manual_seed(0)
    model, (features, labels) = METHODS[method](clip, class_names(classes), **settings), features_of(clip, classes)
    started = time.perf_counter()
    model.prepare(features, labels)
    prepared, recipe = time.perf_counter() - started, model.recipe
    if recipe is None:
        return Work(model, prepared, 0, 0, None)
    images = min(recipe.batch_size, len(labels))
    step = Step(model, lr=1e-9, **recipe.optimizer_settings)
    return Work(model, prepared, images, recipe.epochs * (len(labels) // images), step)


def rows(classes: int, rounds: int) -> list[list[str]]:
    """The table."""
    clip = random_clip("ViT-B/16", "cpu")
    works = {method: work_of(clip, method, classes) for method in METHODS}
    works |= {name: work_of(clip, "coop", classes, **settings) for name, settings in LIKE.items()}
    features, labels = features_of(clip, classes)
    steps = {
        name: timed(partial(work.step, features[: work.images], labels[: work.images]), clip.device)
        for name, work in works.items()
        if work.step is not None
    }
    seconds = best_seconds(steps, rounds, patience=600.0)
    return [row(name, works[name], seconds, classes) for name in METHODS]


def row(name: str, work: Work, seconds: dict[str, float], classes: int) -> list[str]:
    """One line of the table."""
    learned = sum(parameter.numel() for parameter in work.model.parameters() if parameter.is_floating_point())
    total = work.prepared + work.steps * seconds.get(name, 0.0)
    step, ratio = "-", "-"
    if work.step is not None:
        step = f"{1000 * seconds[name]:,.1f}"
        ratio = f"{seconds[name] / seconds['coop, M = 16' if name == 'prograd' else 'coop']:.2f}"
    shown = "-" if not name_learns(name) else duration(total) if total >= 1 else "under a second"
    per_step, count = (f"{work.images:,}", f"{work.steps:,}") if work.step else ("-", "-")
    return [name, f"{learned:,}", per_step, count, step, ratio, shown, f"{memory(name, classes):,.0f}"]


def name_learns(method: str) -> bool:
    """Whether there is a run at all."""
    return METHODS[method].learns()


def memory(method: str, classes: int) -> float:
    """Of a process of its own, MB of 10^6 bytes."""
    command = [sys.executable, __file__, "--memory-of", method, "--classes", str(classes)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def grown(method: str, classes: int) -> float:
    """The same, in this process."""
    clip = random_clip("ViT-B/16", "cpu")
    features, labels = features_of(clip, classes)
    gc.collect()
    reset_peak_memory()
    before = peak_memory_mb() or 0.0
    work = work_of(clip, method, classes)
    for _ in range(2 if work.step else 0):
        assert work.step is not None
        work.step(features[: work.images], labels[: work.images])
    work.model.probabilities(features[:1])
    return (peak_memory_mb() or 0.0) - before


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", choices=list(METHODS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps(grown(arguments.memory_of, arguments.classes)))
        return
    print(text_table(HEADER, rows(arguments.classes, arguments.rounds)))


if __name__ == "__main__":
    main()
