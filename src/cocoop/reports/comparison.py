"""Every learner beside the baselines: differences that are paired over seeds and images, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cocoop.reports.cells import Cell, Difference, Interval, Table
from cocoop.reports.groups import Group, method_order
from cocoop.results import BASELINES, Paired, PairedDifference, Record, average, harmonic, paired_difference

_HEADER = ("method", "against", "figure", "data sets", "seeds", "difference", "95 % interval", "verdict")

_NOTES = (
    "Percent points, on average over the data sets, on the same test images and with the same seeds. The interval "
    "covers other seeds and other images of these classes; not other data sets, nor that one comparison in twenty is "
    "wrong by chance. Better or worse: it leaves out 0. One seed: it cannot be known.",
)


class Asked(NamedTuple):
    """A figure to compare in: that of one test, or H of two, among these groups."""

    tests: Sequence[str]
    groups: Sequence[Group]


def comparison_tables(what: str, figures: Mapping[str, Asked]) -> list[Table]:
    """A row for each learner, baseline and figure; no table where predictions of none of them were kept.

    Args:
        what: the table's subject, for its title.
        figures: how it is called -> what it is, of one protocol and CLIP.

    Raises:
        InputError: predictions beside a record that are damaged.
    """
    images = Images()
    groups = list({id(group): group for asked in figures.values() for group in asked.groups}.values())
    labels = sorted({group.label for group in groups}, key=method_order)
    baselines = {group.label for group in groups if group.method in BASELINES}
    rows = [
        (label, against, name, *cells)
        for label in labels
        if label not in baselines
        for against in labels
        if against in baselines
        for name, asked in figures.items()
        if (cells := _cells(asked, label, against, images))
    ]
    if not rows:
        return []
    first = groups[0]
    title = f"Compared with the baselines, {what}, {first.clip}"
    return [Table(_HEADER, tuple(rows), title, first.protocol, _NOTES, clip=first.clip)]


def _cells(asked: Asked, label: str, against: str, images: Images) -> tuple[Cell, ...]:
    """Data sets, seeds, difference, interval and verdict; nothing where no data set has runs of both to compare."""
    mine, theirs = ({g.dataset: g for g in asked.groups if g.label == of} for of in (label, against))
    pairs = [(mine[dataset], theirs[dataset]) for dataset in mine if dataset in theirs]
    pairs = [pair for pair in pairs if images.same(asked.tests, pair)]
    difference = compared(pairs, asked.tests, images)
    if difference is None:
        return ()
    seeded = any(group.shots for pair in pairs for group in pair)
    return (len(pairs), difference.seeds if seeded else "", *difference_cells(difference), difference.verdict)


def compared(pairs: Sequence[tuple[Group, Group]], tests: Sequence[str], images: Images) -> PairedDifference | None:
    """How far the first groups of some data sets' pairs are above the second ones; None without a common seed.

    All groups have kept predictions of the same images of these tests (`Images.same`).
    """
    seeds = sorted(set.intersection(*(_seeds(pair) for pair in pairs))) if pairs else []
    if not seeds:
        return None
    # All data sets' first test before all data sets' second, as `harmonic` takes them.
    sides = [
        Paired(*(images.right(_of_seeds(group, seeds), test) for group in pair)) for test in tests for pair in pairs
    ]
    seeded = any(group.shots for pair in pairs for group in pair)
    return paired_difference(sides, harmonic if len(tests) > 1 else average, seeded)


def difference_cells(difference: PairedDifference) -> tuple[Difference, Cell]:
    """A difference and its interval, "" where it has none."""
    low, high = difference.low, difference.high
    return Difference(difference.value), "" if low is None or high is None else Interval(low, high)


def _seeds(pair: Sequence[Group]) -> set[int]:
    """Those that both were run with; a method without shots stands beside any seed."""
    known = [{seed for seed in group.seeds if seed is not None} for group in pair]  # an imported prompt may have none
    learned = [seeds for group, seeds in zip(pair, known, strict=True) if group.shots] or [set(sorted(known[0])[:1])]
    return set.intersection(*learned)


def _of_seeds(group: Group, seeds: Sequence[int]) -> list[Record]:
    """One record of each seed; of a method without shots the one that there is."""
    by_seed = {record.seed: record for record in group.records}
    return [by_seed[seed] for seed in seeds] if group.shots else [group.records[0]]


class _Scored(NamedTuple):
    """What was kept of one test. images: what tells the images and labels; None where nothing was kept."""

    images: tuple[str | None, bytes] | None = None
    right: NDArray[np.bool_] = np.zeros(0, dtype=bool)


class Images:
    """Which test images runs classified right; the predictions beside a record are read once."""

    def __init__(self) -> None:
        self._read: dict[Path, dict[str, _Scored]] = {}

    def same(self, tests: Iterable[str], groups: Iterable[Group]) -> bool:
        """Whether all runs of the groups kept predictions of these tests, of the same images with the same labels."""
        records = [record for group in groups for record in group.records]
        told = [{self._of(record, test).images for record in records} for test in tests]
        return all(len(images) == 1 and None not in images for images in told)

    def right(self, records: Iterable[Record], test: str) -> NDArray[np.bool_]:
        """[S, N] whether each of S runs was right about each of N images."""
        return np.stack([self._of(record, test).right for record in records])

    def _of(self, record: Record, test: str) -> _Scored:
        if record.folder not in self._read:
            self._read[record.folder] = dict(_read(record))
        return self._read[record.folder].get(test, _Scored())


def _read(record: Record) -> Iterator[tuple[str, _Scored]]:
    predictions = record.predictions()
    for test, figures in record.results.items():
        label, predicted = (predictions.get(f"{test}/{part}") for part in ("label", "predicted"))
        if label is not None and predicted is not None and len(label) == len(predicted) > 0:
            yield test, _Scored((figures.test_hash, label.tobytes()), label == predicted)
