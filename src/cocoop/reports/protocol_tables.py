"""The tables of the papers, from records: one function per protocol."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from cocoop.data import IMAGENET_VARIANTS, TRAINABLE, TRANSFER_TARGETS
from cocoop.reports.cells import Cell, Published, Rate, Table
from cocoop.reports.comparison import Asked, comparison_tables
from cocoop.reports.groups import (
    Group,
    dataset_order,
    group_records,
    is_zero_shot,
    method_of,
    method_order,
    results_of,
)
from cocoop.reports.layout import (
    Ours,
    Pair,
    average,
    average_of,
    columns,
    notes,
    published_averages,
    published_for,
    seeds_column,
)
from cocoop.reports.reliability import reliability_tables
from cocoop.reports.rounding import counted
from cocoop.reports.sensitivity import sensitivity_tables
from cocoop.results import Record, harmonic_mean
from cocoop.results.published import SHOTS

Row = tuple[str, str, Group | None, list[Pair]]
"""Data set (or what the row is about), method, its runs if there are any, figures."""


def protocol_tables(records: Iterable[Record], ci95: bool = False) -> list[Table]:
    """Make the tables of all protocols that the records hold: one per CLIP, source and number of shots.

    Runs that differ in settings are never averaged: they stand in rows that name the settings.

    Args:
        records: as `read_records` gives them.
        ci95: print half the 95 % interval (1.96 std / sqrt(n), the original's) instead of the standard deviation.
    """
    kinds: dict[tuple[str, str], list[Group]] = {}
    for group in group_records(records):
        kinds.setdefault((group.protocol, group.clip), []).append(group)
    return [table for (protocol, _), groups in kinds.items() for table in _TABLES[protocol](groups, ci95)]


def base_to_new_tables(groups: Sequence[Group], ci95: bool = False) -> list[Table]:
    """CoCoOp's table 1: base, new, and H of the two means; one table per number of shots."""
    tables = []
    for shots, chosen in _per_shots(groups):
        datasets, labels = _axes(chosen)
        place = {(group.dataset, group.label): group for group in chosen}
        tested = {(group.label, test) for group in chosen for record in group.records for test in record.results}
        rows: list[Row] = []
        for dataset in datasets:
            for label in labels:
                group = place.get((dataset, label))
                halves = [half if (label, half) in tested else None for half in ("base", "new")]
                pairs: list[Pair] = [_pair(group, half, shots) if half else ("", None) for half in halves]
                rows.append((dataset, label, group, [*pairs, _harmonic(pairs)]))
        whole = set(datasets) == set(TRAINABLE) and shots in (0, SHOTS)
        rows += _averages(rows, labels, datasets, whole, count=2, harmonic=True)
        title = f"Base to new{_shots(shots)}, {chosen[0].clip}"
        table = _table(title, ("base", "new", "H"), rows, chosen, ci95)
        tables.append(replace(table, notes=(*table.notes, *_on_bound(labels, tested))))
        tables += _together(shots, datasets, labels, place, ci95)
        tables += reliability_tables(f"base to new{_shots(shots)}, {chosen[0].clip}", chosen, ci95)
        figures = {"base": ("base",), "new": ("new",), "H": ("base", "new")}
        asked = {name: Asked(tests, chosen) for name, tests in figures.items()}
        tables += comparison_tables(f"base to new{_shots(shots)}", asked)
    return tables


def _on_bound(labels: Sequence[str], tested: Container[tuple[str, str]]) -> Iterator[str]:
    bound = [label for label in labels if (label, "base") in tested and (label, "new") not in tested]
    if bound:
        yield f"Tested on base classes alone, because they take no others: {', '.join(bound)}."


def _together(
    shots: int, datasets: Sequence[str], labels: Sequence[str], place: Mapping[tuple[str, str], Group], ci95: bool
) -> list[Table]:
    """Base and new classes at once, of the runs that were scored so."""
    groups = [group for group in place.values() if group.together("accuracy")]
    if not groups:
        return []
    scored = {group.label for group in groups}
    labels = [label for label in labels if label in scored]
    rows: list[Row] = []
    for dataset in datasets:
        for label in labels:
            group = place.get((dataset, label))
            rates = [group.together(name) if group else None for name in _TOGETHER.values()]
            rows.append((dataset, label, group, [(rate, None) for rate in rates]))
    rows += _averages(rows, labels, datasets, whole=False, count=len(_TOGETHER))
    title = f"Base and new together{_shots(shots)}, {groups[0].clip}"
    table = _table(title, tuple(_TOGETHER), rows, groups, ci95)
    return [replace(table, notes=(*table.notes, *_ON_TOGETHER))]


def transfer_tables(groups: Sequence[Group], ci95: bool = False) -> list[Table]:
    """CoCoOp's tables 2 and 3: the source and what the prompt was carried over to; one table per source and shots."""
    return [
        _transfer_table(source, shots, chosen, ci95)
        for source in dict.fromkeys(group.dataset for group in groups)
        for shots, chosen in _per_shots([group for group in groups if group.dataset == source])
    ]


def _transfer_table(source: str, shots: int, groups: Sequence[Group], ci95: bool) -> Table:
    what, targets_of_paper = _TRANSFERS[groups[0].protocol]
    tests = {test for group in groups for record in group.records for test in results_of(record)}
    targets = sorted(tests - {source}, key=dataset_order)
    _, labels = _axes(groups)
    place = {group.label: group for group in groups}
    names = {f"{source} (source)": source} if source in tests else {}
    rows: list[Row] = [
        (name, label, place[label], [_pair(place[label], test, shots)])
        for name, test in (names | {target: target for target in targets}).items()
        for label in labels
    ]
    over = [row for row in rows if row[0] in targets]
    rows += _averages(over, labels, targets, set(targets) == set(targets_of_paper))
    return _table(f"{what} from {source}{_shots(shots)}, {groups[0].clip}", ("accuracy",), rows, groups, ci95)


def few_shot_tables(groups: Sequence[Group], ci95: bool = False) -> list[Table]:
    """CoOp's figure 3 as a table: accuracy by shots; zero-shot CLIP stands at 0."""
    datasets, labels = _axes(groups)
    shots = sorted({group.shots for group in groups})
    learners = {group.label for group in groups if group.shots}
    place = {(group.dataset, group.label, group.shots): group for group in groups}
    lines: list[list[Cell]] = []
    for label in labels:
        for dataset in datasets:
            ours = [place.get((dataset, label, count)) for count in shots]
            rates = [group.rate("test") if group else None for group in ours]
            lines.append([dataset, label, *_belonging(rates, shots, label in learners)])
    lines.sort(key=lambda line: (dataset_order(str(line[0])), method_order(str(line[1]))))
    if len(datasets) > 1:
        lines += [_few_shot_average(label, lines, datasets, shots, label in learners) for label in labels]
    header = ("data set", "method", *(counted(count, "shot") for count in shots))
    clip, rows = groups[0].clip, tuple(map(tuple, lines))
    table = Table(header, rows, f"Few-shot, {clip}", "few-shot", spread=_spread(ci95), clip=clip)
    few_shot = replace(table, notes=notes(groups, table, compared=False))
    of_shots = {count: [group for group in groups if group.shots in (0, count)] for count in shots if count}
    asked = {counted(count, "shot"): Asked(("test",), chosen) for count, chosen in of_shots.items()}
    return [few_shot, *comparison_tables("few-shot", asked)]


def own_images_tables(groups: Sequence[Group], ci95: bool = False) -> list[Table]:
    """A user's own images: one row per run, with zero-shot CLIP on the same images beside it."""
    figures = {
        "accuracy": "accuracy",
        "macro-F1": "macro_f1",
        "per-class mean": "mean_per_class_accuracy",
        "calibration error": "expected_calibration_error",
    }
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        for record in group.records:
            test, beside = record.results.get("test"), record.zero_shot.get("test")
            rates = [Rate(getattr(test, name)) if test else None for name in figures.values()]
            own = Rate(beside.accuracy) if beside else rates[0] if is_zero_shot(record) else None
            images = test.n if test else None
            rows.append((str(record.folder), group.label, record.shots, record.seed, images, *rates, own))
    header = ("run", "method", "shots", "seed", "images", *figures, "zero-shot accuracy")
    clip = groups[0].clip
    table = Table(header, tuple(rows), f"Own images, {clip}", "own-images", clip=clip)
    legend = ("-: no run has this figure.",) if table.missing else ()
    return [replace(table, notes=("Percent, on the images that were not learned from.", *legend))]


_TOGETHER = {
    "all classes": "accuracy",
    "base called new": "base_called_new",
    "new called base": "new_called_base",
    "AUROC": "auroc",
    "OpenworldAUC": "open_world_auc",
}
"""Column -> figure of `cocoop.results.Together`."""

_ON_TOGETHER = (
    "All images into the classes of both halves: the share that is right, and of each half the share that is taken for "
    "the other.",
    "AUROC: of pairs of a base and a new image, those whose base image has the higher probability of a base class. "
    "OpenworldAUC: those of which, besides, each is right among its own half's classes.",
)

_TRANSFERS = {
    "cross-dataset": ("Cross-dataset", TRANSFER_TARGETS),
    "domain-generalization": ("Domain generalization", IMAGENET_VARIANTS),
}
"""Protocol -> what it is called, and the data sets that the paper tests on."""

_TABLES: Mapping[str, Callable[[Sequence[Group], bool], list[Table]]] = {
    "base-to-new": base_to_new_tables,
    "cross-dataset": transfer_tables,
    "domain-generalization": transfer_tables,
    "few-shot": few_shot_tables,
    "sensitivity": sensitivity_tables,
    "own-images": own_images_tables,
}


def _per_shots(groups: Sequence[Group]) -> list[tuple[int, list[Group]]]:
    """For each number of shots, the groups with it, and those that have nothing to learn."""
    learned = sorted({group.shots for group in groups if group.shots}) or [0]
    return [(shots, [group for group in groups if group.shots in (0, shots)]) for shots in learned]


def _shots(shots: int) -> str:
    return f", {counted(shots, 'shot')}" if shots else ""


def _axes(groups: Sequence[Group]) -> tuple[list[str], list[str]]:
    """The data sets and the labels of methods, in the order of reports."""
    datasets = sorted({group.dataset for group in groups}, key=dataset_order)
    return datasets, sorted({group.label for group in groups}, key=method_order)


def _pair(group: Group | None, test: str, shots: int) -> Pair:
    """Ours and, in a table of the papers' shots, theirs: zero-shot CLIP, too, is compared only there."""
    if group is None:
        return None, None
    return group.rate(test), published_for(group, test) if shots in (0, SHOTS) else None


def _harmonic(pairs: Sequence[Pair]) -> Pair:
    """H of the means, as the paper has it, of ours and of the published ones."""
    (base, theirs), (new, theirs_new) = pairs
    return (
        Rate(harmonic_mean(base.mean, new.mean), None, base.n) if base and new else "" if "" in (base, new) else None,
        Published(harmonic_mean(theirs.value, theirs_new.value)) if theirs and theirs_new else None,
    )


def _averages(
    rows: Sequence[Row],
    labels: Sequence[str],
    datasets: Sequence[str],
    whole: bool,
    count: int = 1,
    harmonic: bool = False,
) -> list[Row]:
    """A row per method over its data sets: averages of the first `count` figures, and of two of them H.

    The paper's average H is that of the average base and new.
    """
    if len(datasets) < 2:
        return []
    made: list[Row] = []
    for label in labels:
        there = [figures for _, of, _, figures in rows if of == label and all(rate is not None for rate, _ in figures)]
        pairs = [
            average([figures[i] for figures in there], whole and len(there) == len(datasets)) for i in range(count)
        ]
        pairs += [_harmonic(pairs)] if harmonic else []
        later = published_averages(method_of(label)) if harmonic and whole and len(there) == len(datasets) else None
        if later:
            pairs = [(ours, theirs) for (ours, _), theirs in zip(pairs, later, strict=True)]
        made.append((average_of(len(there), len(datasets)), label, None, pairs))
    return made


def _table(title: str, names: Sequence[str], rows: Sequence[Row], groups: Sequence[Group], ci95: bool) -> Table:
    header, cells = columns(names, [figures for *_, figures in rows])
    compared = len(header) > len(names)
    with_seeds = seeds_column(groups)
    lines = []
    for (dataset, label, group, _), figures in zip(rows, cells, strict=True):
        seeds: tuple[Cell, ...] = (len(group.records) if group else "",) if with_seeds else ()
        lines.append((dataset, label, *seeds, *figures))
    header = ("data set", "method", *(("seeds",) if with_seeds else ()), *header)
    table = Table(header, tuple(lines), title, groups[0].protocol, spread=_spread(ci95), clip=groups[0].clip)
    return replace(table, notes=notes(groups, table, compared))


def _belonging(rates: Sequence[Ours], shots: Sequence[int], learns: bool) -> list[Cell]:
    """Blank where a method cannot have a figure: with shots if it learns nothing, without them if it learns."""
    return ["" if learns == (count == 0) else rate for rate, count in zip(rates, shots, strict=True)]


def _few_shot_average(
    label: str, lines: Sequence[Sequence[Cell]], datasets: Sequence[str], shots: Sequence[int], learns: bool
) -> list[Cell]:
    """Averages over data sets, where all are there; a hole in one is a hole in the average."""
    rates: list[Ours] = []
    for column in range(2, 2 + len(shots)):
        cells = [line[column] for line in lines if line[1] == label]
        rates.append(
            average([(cell, None) for cell in cells if isinstance(cell, Rate)], False)[0] if None not in cells else None
        )
    return [average_of(len(datasets), len(datasets)), label, *_belonging(rates, shots, learns)]


def _spread(ci95: bool) -> Literal["std", "ci95"]:
    return "ci95" if ci95 else "std"
