"""What the tables of all protocols share: which columns there are, and the notes that go with them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from cocoop.data import PAPER_DATASETS
from cocoop.reports.cells import Cell, Difference, Published, Rate, Table
from cocoop.reports.groups import Group, results_of
from cocoop.reports.rounding import counted
from cocoop.results import departures, is_published_clip, published
from cocoop.results.published import CLIP, SHOTS

_NAMED = 8  # rows named in one note
_AVERAGE = "average of "

Ours = Rate | Literal[""] | None
"""A figure of ours; None where it is missing, "" where a method cannot have it."""

Pair = tuple[Ours, float | None]
"""Ours, and what was published."""


def published_for(group: Group, test: str) -> float | None:
    """The published figure to compare a group with, in a table of the papers' shots: of the same method and test."""
    return published(group.protocol, group.dataset, test, group.method)


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
    theirs = [value for _, value in pairs if value is not None]
    comparable = whole and len(ours) == len(theirs) == len(pairs) > 0
    return (
        Rate(statistics.fmean(ours), None, len(ours)) if ours else None,
        statistics.fmean(theirs) if comparable else None,
    )


def columns(names: Sequence[str], rows: Sequence[Sequence[Pair]]) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Figures `names` of all rows -> header and cells; with "paper" and "diff" columns if anything was published."""
    if all(value is None for row in rows for _, value in row):
        return tuple(names), [tuple(rate for rate, _ in row) for row in rows]
    header = tuple(column for name in names for column in (name, f"{name} paper", f"{name} diff"))
    return header, [tuple(cell for pair in row for cell in _beside(*pair)) for row in rows]


def _beside(rate: Ours, value: float | None) -> tuple[Cell, Cell, Cell]:
    if value is None:
        return rate, "", ""
    return rate, Published(value), Difference(rate.mean - value) if rate else ""


def seeds_column(groups: Sequence[Group]) -> bool:
    """Whether the methods that learn were run with different numbers of seeds, so that each row must say its own."""
    return len({len(group.records) for group in groups if group.shots}) > 1


def notes(groups: Sequence[Group], table: Table, compared: bool) -> tuple[str, ...]:
    """What a reader must know beside a table of these groups."""
    return tuple(
        [*_on_seeds(groups, table), *_on_tests(groups), *_on_gaps(table), *(_on_published(groups) if compared else ())]
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


def _on_published(groups: Sequence[Group]) -> Iterable[str]:
    yield (
        f"paper: CoCoOp (CVPR 2022), {CLIP}, {SHOTS} shots, mean of 3 seeds; no spread was published. "
        "diff: ours minus paper, percent points."
    )
    for clip in dict.fromkeys(group.clip for group in groups):
        if not is_published_clip(clip):
            yield f"The CLIP here is {clip}, by its name not the paper's: the difference may say nothing of the method."
    seen: dict[str, list[str]] = {}
    for group in groups:
        if any(published_for(group, test) for test in results_of(group.records[0])):
            for change in departures(group.method, group.dataset, group.records[0].settings):
                seen.setdefault(f"{group.label}: {change}", []).append(group.dataset)
    for change, datasets in seen.items():
        yield f"Not the paper's setting: {change} ({', '.join(dict.fromkeys(datasets))})."
    yield from _on_sizes(groups)


def _on_sizes(groups: Sequence[Group]) -> Iterable[str]:
    """Data sets that have not as many test images here as in the paper."""
    sizes: dict[str, int] = {}
    for group in groups:
        tests = results_of(group.records[0])
        if group.protocol == "base-to-new" and {"base", "new"} <= tests.keys():
            sizes[group.dataset] = tests["base"].n + tests["new"].n
        elif group.protocol != "base-to-new":
            sizes |= {test: figures.n for test, figures in tests.items()}
    other = {
        name: n for name, n in sizes.items() if name in PAPER_DATASETS and n and n != PAPER_DATASETS[name].sizes.test
    }
    if other:
        spelled = ", ".join(f"{name} {n:,} of {PAPER_DATASETS[name].sizes.test:,}" for name, n in other.items())
        yield f"Not the paper's test images, by their number: {spelled}."
