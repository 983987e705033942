"""The papers' settings, protocol by protocol, and how to run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from cocoop.data import IMAGENET_VARIANTS, OFFLINE, PAPER_DATASETS, SHIFTS, TRAINABLE, TRANSFER_TARGETS
from cocoop.errors import InputError, expect_choice
from cocoop.evaluation import check_coverage
from cocoop.methods import METHODS
from cocoop.protocols.plan import PROTOCOLS, TRANSFERS, Trial, learns, tests_of
from cocoop.protocols.sensitivity import Variant, variants
from cocoop.results import BASELINES, CalibrationWay
from cocoop.results.published import PAPER_METHODS, special_settings

VIEW_SEED = 1
"""Seed of the random views of training images, in all runs of all methods and seeds."""


@dataclass(frozen=True)
class Preset:
    """A benchmark as the papers have it, or made for this machine.

    datasets: the data sets to learn on -> the others that each is tested on.
    shots, seeds: all of them, for each method that learns.
    epochs: for all methods that learn; None takes the papers' (`settings`).
    views: how many random views of each training image to take in turn; None takes as many as the method's paper.
    baselines: whether `BASELINES` run beside `methods`, except of `TRANSFERS` and of sensitivity.
    calibration, coverage: of base-to-new, what is fitted on held-out base images; see `Reliability`.
    search: whether methods that can choose their settings on held-out images do.
    command: how to run it. expected: what then comes out.
    """

    datasets: Mapping[str, Sequence[str]]
    shots: Sequence[int]
    command: str
    expected: str
    methods: Sequence[str] = PAPER_METHODS
    seeds: Sequence[int] = (1, 2, 3)
    epochs: int | None = None
    views: int | None = None
    baselines: bool = True
    calibration: CalibrationWay | None = None
    coverage: float | None = None
    search: bool = False

    def trials(self, protocol: str) -> list[Trial]:
        """All trials, data set after data set; a method that has nothing to learn runs once for each.

        `InputError`: another protocol, or one in which nothing is calibrated where something is to be.
        """
        expect_choice("protocol", protocol, PROTOCOLS)
        if protocol != "base-to-new" and (self.calibration, self.coverage) != (None, None):
            raise InputError(
                f"calibration: expected base-to-new, whose base classes it is fitted on; got {protocol}. Leave out "
                "--calibration and --conformal."
            )
        return [
            Trial(
                protocol=protocol,
                method=method,
                dataset=dataset,
                classes="base" if protocol == "base-to-new" else "all",
                tests=tests_of(protocol, dataset, targets, method),
                shots=shots,
                seed=seed,
                settings=settings(protocol, method, dataset, shots, self.epochs, self.views, self.search),
                calibration=self.calibration,
                coverage=self.coverage,
                **variant._asdict(),
            )
            for dataset, targets in self.datasets.items()
            for method in self._methods(protocol)
            for shots in (self.shots if learns(method) else (0,))
            for variant in self._variants(protocol, method, dataset, shots)
            for seed in (self.seeds if learns(method) else self.seeds[:1])
        ]

    def _methods(self, protocol: str) -> list[str]:
        """Those asked for, and those beside them."""
        if protocol == "sensitivity":  # which measures leads over zero-shot
            return [*dict.fromkeys(("zero-shot", *self.methods))]
        beside = BASELINES if self.baselines and protocol not in TRANSFERS else ()
        return [*dict.fromkeys((*self.methods, *beside))]

    def _variants(self, protocol: str, method: str, dataset: str, shots: int) -> Sequence[Variant]:
        return variants(method, dataset, shots, max(self.shots)) if protocol == "sensitivity" else [Variant()]


def settings(
    protocol: str,
    method: str,
    dataset: str,
    shots: int,
    epochs: int | None = None,
    views: int | None = None,
    search: bool = False,
) -> dict[str, Any]:
    """The parameters of `PromptClassifier` in which trials differ, for one trial.

    CoCoOp learns for 10 epochs, one image a step, wherever it appears. CoOp takes 32 images a step; in CoCoOp's tables
    it starts from "a photo of a" and learns for 200 epochs (ImageNet: 50); in its own few-shot figures it starts from
    16 random vectors and learns for 50 epochs with 1 shot, 100 with 2 or 4, 200 with more (ImageNet: always 50).
    ProGrad's epochs are the same, in all protocols; TaskRes takes 100 with up to 4 shots, 200 with more. `epochs`, if
    given, replaces all of these. Sources: CoOp:configs/trainers, COOP.md and scripts @ ff61507c; Prompt-align:
    ProGrad.public/scripts/prograd.sh @ 1b762036; TaskRes:scripts @ 293cc9e.

    The papers' data sets are augmented. The pictures of the offline data sets are not: they are signs, and cut or
    mirrored they are other signs. Images of the user's own are augmented if the CLIP's files say so, or if `views` are
    asked for. Every run is shown the same random views of an image, `VIEW_SEED`'s, so that each is encoded once.
    """
    recipe = METHODS[method].recipe
    chosen: dict[str, Any] = {"search": True} if search and METHODS[method].searches() else {}
    if recipe is None:
        return chosen
    chosen |= {"batch_size": recipe.batch_size, "epochs": recipe.epochs}
    chosen |= special_settings(protocol, method, dataset, shots)
    chosen |= {"epochs": epochs} if epochs else {}
    if dataset in OFFLINE:
        return chosen | {"augment": False}
    augment = True if dataset in PAPER_DATASETS or views is not None else "auto"
    return chosen | {"augment": augment, "view_seed": VIEW_SEED} | ({} if views is None else {"views": views})


_PAPER = "cocoop benchmark {} --data-root $DATA --clip openai/clip-vit-base-patch16"
_OFFLINE = "cocoop benchmark {} --jobs 2"
# The offline ones are cut in shots and data sets, not in epochs, batches or seeds: 16 shots of the 220 classes of
# pictographs would be 35,200 steps. docs/benchmarks.md says how long each takes.

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
            shots=(8,),
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
            datasets={"shapes": ("pictographs", "digits")},
            shots=(4,),
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
            datasets={"shapes": [f"shapes_{shift}" for shift in SHIFTS]},
            shots=(4,),
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
            datasets={"digits": ()},
            shots=(1, 2, 4, 8, 16),
            command=_OFFLINE.format("few-shot"),
            expected="the table of docs/benchmarks.md",
        ),
    },
    "sensitivity": {
        "paper": Preset(
            datasets={name: () for name in TRAINABLE},
            shots=(1, 2, 4, 8, 16),
            command=_PAPER.format("sensitivity"),
            expected="of each lead over zero-shot CLIP, how much other words alone bring; no paper has these tables",
        ),
        "offline": Preset(
            datasets={"digits": ()},
            shots=(1, 2, 4, 8, 16),
            command=_OFFLINE.format("sensitivity"),
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
        expected="a table in half a minute; its figures mean nothing",
    )


def narrowed(preset: Preset, datasets: Sequence[str] = (), targets: Sequence[str] = (), **changes: Any) -> Preset:
    """The preset with other data sets, targets, or whatever `changes` names; what is empty or None stays.

    Of methods, "all" alone is every one that is registered.

    Raises:
        InputError: an unknown method or calibration; a number of shots, epochs or views below 1; a coverage that is no
            probability, or is beside a search; views where no data set is learned with any; or a search where no method
            has one.
    """
    changes = {name: value for name, value in changes.items() if value is not None and value != ()}
    if changes.get("methods") == ("all",):
        changes["methods"] = tuple(METHODS)
    for method in changes.get("methods", ()):
        expect_choice("method", method, METHODS)
    if "calibration" in changes:
        expect_choice("calibration", changes["calibration"], get_args(CalibrationWay))
    if "coverage" in changes:
        check_coverage("conformal", changes["coverage"])
    if changes.get("search") and not any(
        METHODS[method].searches() for method in changes.get("methods", preset.methods)
    ):
        able = ", ".join(name for name, method in METHODS.items() if method.searches())
        raise InputError(f"search: expected a method that has settings to choose; {able} have. Name one (--methods).")
    for name in ("shots", "epochs", "views"):
        given = changes.get(name, 1)
        if min(given if isinstance(given, Sequence) else [given]) < 1:
            raise InputError(f"{name}: expected 1 or more; got {given}.")
    # What is named twice counts once.
    changes = {
        name: tuple(dict.fromkeys(v)) if isinstance(v, Sequence) and not isinstance(v, str) else v
        for name, v in changes.items()
    }
    if datasets:
        changes["datasets"] = {name: targets or preset.datasets.get(name, ()) for name in datasets}
    elif targets:
        changes["datasets"] = {name: targets for name in preset.datasets}
    chosen = replace(preset, **changes)
    if chosen.search and chosen.coverage is not None:
        raise InputError(
            "conformal: expected no search beside it, which chooses settings on the same held-out images, so that no "
            "coverage would be guaranteed. Leave out --search or --conformal."
        )
    if chosen.views is not None and all(dataset in OFFLINE for dataset in chosen.datasets):
        raise InputError(
            f"views: expected none of data sets that are drawn here ({', '.join(chosen.datasets)}), whose images are "
            f"learned as they are; got {chosen.views}. Leave it out, or choose others."
        )
    return chosen
