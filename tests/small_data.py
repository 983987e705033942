"""Two small data sets for the protocols, and a benchmark whose trials can die."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from own_photos import write_photos

from cocoop.data import Dataset, Example
from cocoop.protocols import Benchmark, Runner, Trial, plan
from cocoop.protocols.plan import tests_of

NAMES = ["seven", "four", "three", "one"]
"""In the order of the labels: not the order of the alphabet, which a folder's would be."""


def write_dataset(root: Path, name: str, names: list[str] = NAMES, template: str = "a photo of a {}.") -> Dataset:
    """Eight digits of each name: the first five to train, three to test."""
    folder = write_photos(root / name, 8, names)
    examples = [Example(folder / n / f"{i}.png", label, n) for label, n in enumerate(names) for i in range(8)]
    train = [example for example in examples if int(example.path.stem) < 5]
    test = [example for example in examples if int(example.path.stem) >= 5]
    return Dataset(name, train, [], test, list(names), template, folder)


def write_datasets(root: Path) -> dict[str, Dataset]:
    """ "source" with all four names; "other" with three of them in another order and another template."""
    other = write_dataset(root, "other", ["one", "three", "four"], "the number {}.")
    return {"source": write_dataset(root, "source"), "other": other}


def make_trial(protocol: str, method: str, shots: int = 3, seed: int = 5, **settings: Any) -> Trial:
    """A trial on "source" that takes a moment."""
    quick = {"epochs": 2, "batch_size": 4, "lr": 0.1, "augment": False} | settings
    return Trial(
        protocol=protocol,
        method=method,
        dataset="source",
        classes="base" if protocol == "base-to-new" else "all",
        tests=tests_of(protocol, "source", ["other"] if protocol in plan.TRANSFERS else []),
        shots=0 if method == "zero-shot" else shots,
        seed=seed,
        settings={} if method == "zero-shot" else quick,
    )


class _DyingRunner(Runner):
    def run(self, trial: Trial) -> Path:
        if trial.seed == 13:
            os._exit(7)
        return super().run(trial)


@dataclass(frozen=True)
class Dying(Benchmark):
    """The process of every trial of seed 13 ends as if the system had killed it."""

    def runner(self, device: str | None = None) -> Runner:
        made = super().runner(device)
        return _DyingRunner(made.clip, self.datasets, self.out)
