"""The protocols as data: which trials there are, and what each learns from and is tested on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from cocoop.data import HALVES
from cocoop.errors import InputError, expect_choice
from cocoop.methods import METHODS
from cocoop.results import ALL_CLASSES, TrialRecord, TrialTest

PROTOCOLS = {
    "base-to-new": "learn on the first half of the classes, test on both halves (CoCoOp, table 1)",
    "cross-dataset": "learn on one data set, test on the others, with their classes (CoCoOp, table 2)",
    "domain-generalization": "learn on one data set, test on its shifted variants (CoCoOp, table 3)",
    "few-shot": "learn on 1, 2, 4, 8 and 16 images of every class, test on the same classes (CoOp, figure 3)",
    "sensitivity": "the same, and with other class names, other templates and unequal numbers of images",
}
"""Name -> what it is."""

TRANSFERS = ("cross-dataset", "domain-generalization")
"""The protocols that test on other data sets than the one they learn on. They have no baselines beside the methods."""


class Trial(TrialRecord):
    """One training and its tests, as a record keeps it; a benchmark is a list of these."""

    @property
    def folder(self) -> PurePosixPath:
        """Where the run folder of this trial lies below the benchmark's own."""
        place, varied = place_of(self.dataset), [re.sub(r"\W+", "-", words).strip("-") for words in self.varied]
        return PurePosixPath(self.protocol, place, self.method, *varied, f"{self.shots}-shots", f"seed-{self.seed}")

    @property
    def training(self) -> dict[str, Any]:
        """The facts that decide what is learned: trials of any protocol that agree in them learn the same prompt."""
        afterwards = ("protocol", "tests", "calibration", "coverage")
        return {name: value for name, value in asdict(self).items() if name not in afterwards}

    @property
    def fits_held_out(self) -> bool:
        """Whether anything is fitted on images that are neither learned from nor scored."""
        return self.calibration is not None or self.coverage is not None or self.searches

    @property
    def searches(self) -> bool:
        """Whether the method chooses its settings on such images."""
        return bool(self.settings.get("search", False))

    @property
    def scores_together(self) -> bool:
        """Whether base and new classes are scored at once, too, beside the tests."""
        return self.protocol == "base-to-new" and {test.classes for test in self.tests} == set(HALVES)

    @property
    def data(self) -> list[str]:
        """The names of the data sets that it needs, each once."""
        return list(dict.fromkeys([self.dataset, *(test.dataset for test in self.tests)]))


def place_of(dataset: str) -> str:
    """A data set's name as a file name: of a path, or of a name on a hub, the last part."""
    return re.sub(r"[^\w.-]+", "-", PurePosixPath(dataset).name).lstrip(".") or "data"


def tests_of(protocol: str, dataset: str, targets: Sequence[str], method: str | None = None) -> tuple[TrialTest, ...]:
    """The tests of a trial of `protocol` that learns on `dataset`.

    Of base-to-new a `method` that is bound to its classes has the base half alone.

    Raises:
        InputError: targets for a protocol that tests on its own data set, or none for one that needs them.
    """
    expect_choice("protocol", protocol, PROTOCOLS)
    if targets and protocol not in TRANSFERS:
        raise InputError(
            f"targets: expected none, because {protocol} tests on the data set it learns on; got {', '.join(targets)}. "
            f"Leave them out, or choose {' or '.join(TRANSFERS)}."
        )
    if protocol == "base-to-new":
        bound = method is not None and METHODS[method].bound is not None
        return tuple(TrialTest(half, dataset, half) for half in (HALVES[:1] if bound else HALVES))
    if protocol in ALL_CLASSES:
        return (TrialTest("test", dataset, "all"),)
    others = [name for name in dict.fromkeys(targets) if name != dataset]
    if not others:
        raise InputError(
            f"targets: expected data sets to test on what was learned on {dataset}; got none. Name them (--targets)."
        )
    return tuple(TrialTest(name, name, "all") for name in (dataset, *others))


def learns(method: str) -> bool:
    """Whether a method has anything to learn, so that shots and seeds make a difference."""
    expect_choice("method", method, METHODS)
    return METHODS[method].learns()
