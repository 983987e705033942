"""A table as data: a header, rows of typed cells, a title and notes. `cocoop.reports.formats` writes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cocoop.results import mean_std

Z95 = 1.96
"""Standard normal quantile of a two-sided interval of 95 %."""


@dataclass(frozen=True)
class Rate:
    """Percent: one run, a mean over seeds, or an average of means.

    mean: unrounded. std: population standard deviation over the runs; None where there is none to speak of (an average
    over data sets, a harmonic mean, one run). n: how many runs.
    """

    mean: float
    std: float | None = None
    n: int = 1

    @property
    def ci95(self) -> float | None:
        """Half the width of the 95 % interval, 1.96 std / sqrt(n), as the original has it.

        Source: CoOp:parse_test_res.py @ ff61507c. With three seeds it is narrower than Student's t would have it.
        """
        return None if self.std is None else Z95 * self.std / math.sqrt(self.n)


def rate_over(values: Sequence[float]) -> Rate | None:
    """The values of some runs, one each -> their mean and spread; None for none."""
    if not values:
        return None
    mean, std = mean_std(values)
    return Rate(mean, std if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Published:
    """A published figure, percent. rerun: whether others than the method's authors ran it."""

    value: float
    rerun: bool = False


@dataclass(frozen=True)
class Difference:
    """Ours minus what stands beside it, percent points."""

    value: float


@dataclass(frozen=True)
class Interval:
    """The bounds of a difference, percent points."""

    low: float
    high: float


Cell = str | int | Rate | Published | Difference | Interval | None
"""Text, a count, or a figure; "" where nothing belongs; None where a figure is missing."""


@dataclass(frozen=True)
class Table:
    """One table.

    header: the names of the columns; CSV and JSON need them all different. rows: as many cells each. title: what the
    table shows. protocol: the one of its runs. notes: what a reader must know beside it. spread: what stands behind the
    means. clip: the CLIP of all its runs.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    protocol: str = ""
    notes: Sequence[str] = ()
    spread: Literal["std", "ci95"] = "std"
    clip: str = ""

    @property
    def missing(self) -> int:
        """How many cells are missing."""
        return sum(cell is None for row in self.rows for cell in row)
