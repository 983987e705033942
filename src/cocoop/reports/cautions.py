"""What the figures of a report do not say, and what makes them other than the papers': a line each, once a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import pvariance

from cocoop.data import PAPER_DATASETS
from cocoop.reports.groups import Group, dataset_order, group_records, results_of
from cocoop.reports.rounding import counted
from cocoop.results import ALL_CLASSES, Record, departures, harmonic_mean, is_published_clip
from cocoop.results.published import SHOTS

_NAMED = 8  # data sets or methods named in one line
_MINIATURE = 0.1  # of the paper's test images: the smallest of its test sets has 1,692, a miniature of ours 48 at most
_SEEDS = 3
_UNSTEADY = ("dtd", "eurosat")
"""The data sets that have most of the spread over seeds in reproductions of the papers' tables."""


def cautions(records: Iterable[Record]) -> list[str]:
    """What to know before the figures of these records, the gravest first.

    Miniatures; fewer than three seeds; classes without test images; DTD's and EuroSAT's share of the variance over
    seeds; and, of the papers' data sets, another CLIP, settings, shots or test images than the papers'.
    """
    groups = group_records(records)
    of_papers = [group for group in groups if group.protocol != "own-images"]
    lines = [
        _on_miniatures(of_papers),
        _on_seeds(of_papers),
        _on_classes(groups),
        _on_spread(of_papers),
        _on_clips(of_papers),
        _on_settings(of_papers),
        _on_sizes(of_papers),
    ]
    return [line for some in lines for line in some]


def _on_miniatures(groups: Sequence[Group]) -> Iterator[str]:
    small = {name: n for name, n in _other_sizes(groups).items() if _is_miniature(name, n)}
    if small:
        yield f"MINIATURES, whose figures mean nothing. Test images: {_sizes(small)}."


def _on_sizes(groups: Sequence[Group]) -> Iterator[str]:
    other = {name: n for name, n in _other_sizes(groups).items() if not _is_miniature(name, n)}
    if other:
        yield f"Not the paper's test images, by their number: {_sizes(other)}."


def _other_sizes(groups: Sequence[Group]) -> dict[str, int]:
    """Data sets of the papers that have not as many test images here as there."""
    sizes: dict[str, int] = {}
    for group in groups:
        tests = results_of(group.records[0])
        if group.protocol in ("cross-dataset", "domain-generalization"):
            sizes |= {test: figures.n for test, figures in tests.items()}
            continue
        images = sum(figures.n for figures in tests.values())
        # Of a method that takes no new classes half of the test is known, which is a miniature if the whole is one.
        if group.protocol in ALL_CLASSES or "new" in tests or _is_miniature(group.dataset, images):
            sizes.setdefault(group.dataset, images)
    paper = {name: PAPER_DATASETS[name].sizes.test for name in sizes if name in PAPER_DATASETS}
    return {name: sizes[name] for name in sorted(paper, key=dataset_order) if 0 < sizes[name] != paper[name]}


def _is_miniature(name: str, images: int) -> bool:
    return name in PAPER_DATASETS and images <= _MINIATURE * PAPER_DATASETS[name].sizes.test


def _sizes(images: dict[str, int]) -> str:
    return _named([f"{name} {n:,} of {PAPER_DATASETS[name].sizes.test:,}" for name, n in images.items()])


def _on_seeds(groups: Sequence[Group]) -> Iterator[str]:
    fewest: dict[str, int] = {}
    for group in groups:
        if group.shots:
            seeds = len(set(group.seeds))
            fewest[group.label] = min(seeds, fewest.get(group.label, seeds))
    few = [f"{label} ({count})" for label, count in fewest.items() if count < _SEEDS]
    if few:
        yield f"Fewer than three seeds, which say little of other seeds: {_named(few)}."


def _on_classes(groups: Sequence[Group]) -> Iterator[str]:
    lacking: dict[str, None] = {}
    for group in groups:
        for record in group.records:
            for test, figures in results_of(record).items():
                missing = (figures.classes or 0) - len(figures.per_class_accuracy)
                if missing > 0:
                    where = group.dataset if test in ("test", group.dataset) else f"{group.dataset}, {test}"
                    lacking[f"{where} ({missing:,} of {figures.classes:,})"] = None
    if lacking:
        yield f"Classes without a test image, of which the figures say nothing: {_named(list(lacking))}."


def _on_spread(groups: Sequence[Group]) -> Iterator[str]:
    """Of the average over data sets: its variance over seeds is the sum of theirs, over the square of their number."""
    for protocol, figure in (("base-to-new", "H"), ("few-shot", "accuracy")):
        mine = [group for group in groups if group.protocol == protocol and group.shots]
        most = max((group.shots for group in mine), default=0)
        variances: dict[str, dict[str, float]] = defaultdict(dict)
        for group in mine:
            figures = list(filter(None, map(_figure, group.records)))
            if group.shots == most and len(figures) > 1:
                variances[group.label][group.dataset] = pvariance(figures)
        shares = [
            f"{label} {100 * sum(of.get(name, 0.0) for name in _UNSTEADY) / sum(of.values()):.0f} %"
            for label, of in variances.items()
            if len(of) > 2 and any(name in of for name in _UNSTEADY) and sum(of.values()) > 0
        ]
        if shares:
            yield (
                f"DTD's and EuroSAT's share of the variance over seeds of the average {figure}, {protocol}, "
                f"{counted(most, 'shot')}: {_named(shares)}."
            )


def _figure(record: Record) -> float | None:
    """H of base-to-new, the accuracy of few-shot; None where a half was not tested."""
    tests = record.results
    if record.protocol == "few-shot":
        return tests["test"].accuracy if "test" in tests else None
    return harmonic_mean(tests["base"].accuracy, tests["new"].accuracy) if {"base", "new"} <= tests.keys() else None


def _on_clips(groups: Sequence[Group]) -> Iterator[str]:
    clips = dict.fromkeys(group.clip for group in groups if group.dataset in PAPER_DATASETS)
    other = [clip for clip in clips if not is_published_clip(clip)]
    if other:
        yield (
            f"The CLIP here is {' or '.join(other)}, by its name not the papers': what differs from theirs may say "
            "nothing of the method."
        )


def _on_settings(groups: Sequence[Group]) -> Iterator[str]:
    seen: dict[str, dict[str, None]] = defaultdict(dict)
    for group in groups:
        if group.dataset in PAPER_DATASETS:
            settings = group.records[0].settings
            changes = departures(group.method, group.dataset, settings, group.protocol, group.shots)
            if group.protocol not in ALL_CLASSES and group.shots not in (0, SHOTS):
                changes.append(f"{counted(group.shots, 'shot')} instead of {SHOTS}")
            if changes:
                seen[f"{group.label}: {', '.join(changes)}"][group.dataset] = None
    for told, datasets in seen.items():
        yield f"Not the paper's settings: {told} ({_named(list(datasets), ', ')})."


def _named(names: Sequence[str], between: str = "; ") -> str:
    more = f"{between}and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return between.join(names[:_NAMED]) + more
