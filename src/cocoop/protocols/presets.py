"""The papers' settings, protocol by protocol, and how to run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cocoop.data import IMAGENET_VARIANTS, SHIFTS, TRAINABLE, TRANSFER_TARGETS
from cocoop.errors import InputError, expect_choice
from cocoop.methods import METHODS
from cocoop.protocols.plan import PROTOCOLS, Trial, learns, tests_of

OFFLINE = ("digits", "pictographs", "shapes")
"""Data sets that need no download; their pictures are made for the bundled CLIP."""


@dataclass(frozen=True)
class Preset:
    """A benchmark as the papers have it, or made for this machine.

    datasets: what to learn on, one after the other -> what else each is tested on.
    shots, seeds: all of them, for each method that learns.
    epochs: for all methods that learn; None takes the papers' (`settings`).
    command: how to run it. expected: what then comes out.
    """

    datasets: Mapping[str, Sequence[str]]
    shots: Sequence[int]
    command: str
    expected: str
    methods: Sequence[str] = tuple(METHODS)
    seeds: Sequence[int] = (1, 2, 3)
    epochs: int | None = None

    def trials(self, protocol: str) -> list[Trial]:
        """All trials, data set after data set; what has nothing to learn runs once for each."""
        expect_choice("protocol", protocol, PROTOCOLS)
        return [
            Trial(
                protocol=protocol,
                method=method,
                dataset=dataset,
                classes="base" if protocol == "base-to-new" else "all",
                tests=tests_of(protocol, dataset, targets),
                shots=shots,
                seed=seed,
                settings=settings(protocol, method, dataset, shots, self.epochs),
            )
            for dataset, targets in self.datasets.items()
            for method in self.methods
            for shots in (self.shots if learns(method) else (0,))
            for seed in (self.seeds if learns(method) else self.seeds[:1])
        ]


def settings(protocol: str, method: str, dataset: str, shots: int, epochs: int | None = None) -> dict[str, Any]:
    """`PromptClassifier`'s parameters for one trial, where they are not the same for all.

    CoCoOp learns for 10 epochs, one image a step, wherever it appears. CoOp takes 32 images a step; in CoCoOp's tables
    it starts from "a photo of a" and learns for 200 epochs (ImageNet: 50); in its own few-shot figures it starts from 16
    random vectors and learns for 50 epochs with 1 shot, 100 with 2 or 4, 200 with more (ImageNet: always 50).
    Source: CoOp:configs/trainers, COOP.md and scripts @ ff61507c.

    The pictures of the offline data sets are signs: cut or mirrored they are other signs. They are not augmented.
    """
    if not learns(method):
        return {}
    chosen: dict[str, Any] = {"epochs": epochs or METHODS[method].paper_epochs}
    chosen["batch_size"] = METHODS[method].paper_batch_size
    if method == "coop" and epochs is None:
        few = {1: 50, 2: 100, 4: 100} if protocol == "few-shot" else {}
        chosen["epochs"] = 50 if dataset == "imagenet" else few.get(shots, 200)
    if method == "coop" and protocol == "few-shot":
        chosen |= {"context": None, "context_length": 16}
    if dataset in OFFLINE:
        chosen["augment"] = False
    return chosen


_PAPER = "cocoop benchmark {} --data-root $DATA --clip openai/clip-vit-base-patch16"
_OFFLINE = "cocoop benchmark {}"
_SHIFTED = {name: [f"{name}_{shift}" for shift in SHIFTS] for name in ("pictographs", "shapes")}

PRESETS: dict[str, dict[str, Preset]] = {
    "base-to-new": {
        "paper": Preset(
            datasets={name: () for name in TRAINABLE},
            shots=(16,),
            command=_PAPER.format("base-to-new"),
            expected="table 1: average H of zero-shot CLIP 71.70, CoOp 71.66, CoCoOp 75.83",
        ),
        "offline": Preset(
            datasets={name: () for name in OFFLINE},
            shots=(16,),
            command=_OFFLINE.format("base-to-new"),
            expected="the table of docs/benchmarks.md",
        ),
    },
    "cross-dataset": {
        "paper": Preset(
            datasets={"imagenet": TRANSFER_TARGETS},
            shots=(16,),
            command=_PAPER.format("cross-dataset"),
            expected="table 2: average over the ten targets of CoOp 63.88, CoCoOp 65.74",
        ),
        "offline": Preset(
            datasets={"pictographs": ("shapes", "digits")},
            shots=(16,),
            command=_OFFLINE.format("cross-dataset"),
            expected="the table of docs/benchmarks.md",
        ),
    },
    "domain-generalization": {
        "paper": Preset(
            datasets={"imagenet": IMAGENET_VARIANTS},
            shots=(16,),
            command=_PAPER.format("domain-generalization"),
            expected="table 3, V2 / Sketch / A / R: CoOp 64.20 / 47.99 / 49.71 / 75.21, "
            "CoCoOp 64.07 / 48.75 / 50.63 / 76.18",
        ),
        "offline": Preset(
            datasets=_SHIFTED,
            shots=(16,),
            command=_OFFLINE.format("domain-generalization"),
            expected="the table of docs/benchmarks.md",
        ),
    },
    "few-shot": {
        "paper": Preset(
            datasets={name: () for name in TRAINABLE},
            shots=(1, 2, 4, 8, 16),
            command=_PAPER.format("few-shot"),
            expected="the curves of CoOp's figure 3, there with ResNet-50",
        ),
        "offline": Preset(
            datasets={name: () for name in OFFLINE},
            shots=(1, 2, 4, 8, 16),
            command=_OFFLINE.format("few-shot"),
            expected="the table of docs/benchmarks.md",
        ),
    },
}
"""Protocol -> "paper" (photographs that the user has on disk) and "offline" (nothing but this package)."""

PRESET_NAMES = ("paper", "offline", "smoke")


def preset(protocol: str, name: str) -> Preset:
    """The preset of that name. "smoke" is the paper's, cut to one shot, seed and epoch, on miniatures of its data.

    Raises:
        InputError: no such protocol or preset.
    """
    expect_choice("protocol", protocol, PROTOCOLS)
    expect_choice("preset", name, PRESET_NAMES)
    if name != "smoke":
        return PRESETS[protocol][name]
    return replace(
        PRESETS[protocol]["paper"],
        shots=(1,),
        seeds=(1,),
        epochs=1,
        command=f"cocoop benchmark {protocol} --preset smoke",
        expected="a table within minutes; its figures mean nothing",
    )


def narrowed(preset: Preset, datasets: Sequence[str] = (), targets: Sequence[str] = (), **changes: Any) -> Preset:
    """The preset with other data sets, targets, or whatever `changes` names; what is empty or None stays.

    Raises:
        InputError: an unknown method, or nothing left of a list.
    """
    changes = {name: value for name, value in changes.items() if value}
    for method in changes.get("methods", ()):
        expect_choice("method", method, METHODS)
    if min(changes.get("shots", (1,))) < 1 or (changes.get("epochs") or 1) < 1:
        raise InputError(f"shots and epochs: expected 1 or more; got {changes}.")
    if datasets:
        known = preset.datasets
        changes["datasets"] = {name: targets or known.get(name, ()) for name in datasets}
    elif targets:
        changes["datasets"] = {name: targets for name in preset.datasets}
    return replace(preset, **changes)
