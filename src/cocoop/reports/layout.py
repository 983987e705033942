"""What the tables of all protocols share: which columns there are, and the notes that go with them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from cocoop.reports.cells import Cell, Difference, Published, Rate, Table
from cocoop.reports.groups import Group, method_of, results_of
from cocoop.reports.rounding import counted
from cocoop.results import published
from cocoop.results.published import AVERAGES, CLIP, SHOTS

_NAMED = 8  # rows named in one note
_AVERAGE = "average of "

Ours = Rate | Literal[""] | None
"""A figure of ours; None where it is missing, "" where a method cannot have it."""

Pair = tuple[Ours, Published | None]
"""Ours, and what was published."""


def published_for(group: Group, test: str) -> Published | None:
    """The published figure to compare a group with, in a table of the papers' shots: of the same method and test."""
    value = published(group.protocol, group.dataset, test, group.method)
    return None if value is None else Published(value)


def published_averages(method: str) -> list[Published] | None:
    """Base, new and H of a later method, over all the paper's data sets; None where none were published."""
    of = AVERAGES.get(method)
    return None if of is None else [Published(value, of.rerun) for value in (of.base, of.new, of.h)]


def average_of(count: int, whole: int) -> str:
    """The first cell of a row with averages over `count` of `whole` data sets."""
    return f"{_AVERAGE}{count}" if count == whole else f"{_AVERAGE}{count} of {whole}"


def is_average(name: Cell) -> bool:
    """Whether the first cell of a row is of `average_of`."""
    return isinstance(name, str) and name.startswith(_AVERAGE)


def average(pairs: Sequence[Pair], whole: bool) -> Pair:
    """Means over data sets; the published one only where the data sets are the `whole` of the paper's."""
    if pairs and all(rate == "" for rate, _ in pairs):
        return "", None
    ours = [rate.mean for rate, _ in pairs if rate]
    theirs = [figure.value for _, figure in pairs if figure is not None]
    comparable = whole and len(ours) == len(theirs) == len(pairs) > 0
    return (
        Rate(statistics.fmean(ours), None, len(ours)) if ours else None,
        Published(statistics.fmean(theirs)) if comparable else None,
    )


def columns(names: Sequence[str], rows: Sequence[Sequence[Pair]]) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Figures `names` of all rows -> header and cells; with "paper" and "diff" columns if anything was published."""
    if all(value is None for row in rows for _, value in row):
        return tuple(names), [tuple(rate for rate, _ in row) for row in rows]
    header = tuple(column for name in names for column in (name, f"{name} paper", f"{name} diff"))
    return header, [tuple(cell for pair in row for cell in _beside(*pair)) for row in rows]


def _beside(rate: Ours, theirs: Published | None) -> tuple[Cell, Cell, Cell]:
    if theirs is None:
        return rate, "", ""
    return rate, theirs, Difference(rate.mean - theirs.value) if rate else ""


def seeds_column(groups: Sequence[Group]) -> bool:
    """Whether the methods that learn were run with different numbers of seeds, so that each row must say its own."""
    return len({len(group.records) for group in groups if group.shots}) > 1


def notes(groups: Sequence[Group], table: Table, compared: bool) -> tuple[str, ...]:
    """What a reader must know beside a table of these groups."""
    return tuple(
        [*_on_seeds(groups, table), *_on_tests(groups), *_on_gaps(table), *(_on_published(table) if compared else ())]
    )


def _on_seeds(groups: Sequence[Group], table: Table) -> Iterable[str]:
    spread = {"std": "population standard deviation", "ci95": "half the 95 % interval, 1.96 std / sqrt(n)"}
    counts = {len(group.records) for group in groups}
    if max(counts, default=0) > 1:
        learned = {tuple(sorted(set(group.seeds))) for group in groups if group.shots}
        seeds = f"seeds {', '.join(map(str, learned.pop()))}" if len(learned) == 1 else "the seeds of each run"
        yield f"Accuracy in percent: mean +- {spread[table.spread]} over {seeds}. Without +-: one run, or an average."
    else:
        yield "Accuracy in percent, of one run each."
    if table.protocol == "few-shot":
        yield from _on_fewer_runs(groups)
    for group in groups:
        for seed, count in Counter(group.seeds).items():
            if count > 1:
                yield f"{group.label} on {group.dataset}: seed {seed} is there {count} times, and all count."


def _on_fewer_runs(groups: Sequence[Group]) -> Iterable[str]:
    """In a few-shot table every cell has its own number of seeds, for which a row has no column."""
    if not seeds_column(groups):
        return
    most = max(len(group.records) for group in groups if group.shots)
    fewer = [
        f"{group.label} on {group.dataset}, {counted(group.shots, 'shot')} ({len(group.records)})"
        for group in groups
        if group.shots and len(group.records) < most
    ]
    more = f"; and {len(fewer) - _NAMED} more" if len(fewer) > _NAMED else ""
    yield f"Fewer than {most} runs: {'; '.join(fewer[:_NAMED])}{more}."


def _on_tests(groups: Sequence[Group]) -> Iterable[str]:
    """Tests that are not the same for all runs, as far as their numbers of images tell."""
    sizes: dict[tuple[str, str], dict[int, None]] = {}
    for group in groups:
        for record in group.records:
            for test, figures in results_of(record).items():
                sizes.setdefault((group.dataset, test), {})[figures.n] = None
    for (dataset, test), counts in sizes.items():
        known = sorted(set(counts) - {0})
        if len(known) > 1:
            spelled = " and ".join(f"{count:,}" for count in known)
            yield f"{dataset}, {test}: runs with {spelled} test images stand together; they do not compare."


def _on_gaps(table: Table) -> Iterable[str]:
    if table.missing:
        yield "-: no run has this figure."
    averages = [str(row[0]).removeprefix(_AVERAGE) for row in table.rows if is_average(row[0])]
    if any(" of " in over for over in averages):
        yield "Averages over different data sets do not compare with each other."


def _on_published(table: Table) -> Iterable[str]:
    yield (
        f"paper: CoCoOp (CVPR 2022), {CLIP}, {SHOTS} shots, mean of 3 seeds; no spread was published. "
        "diff: ours minus paper, percent points."
    )
    for name, method, *cells in table.rows:
        of = AVERAGES.get(method_of(str(method)))
        if of is not None and is_average(name) and any(isinstance(cell, Published) for cell in cells):
            whose = ", who are not its authors and ran it themselves (*)" if of.rerun else ""
            yield f"paper, average of {method}: {of.source}{whose}."
