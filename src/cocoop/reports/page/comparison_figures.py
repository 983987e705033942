"""Pictures of whole tables: curves over shots, base against new, one accuracy per tested data set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from cocoop.reports.cells import Rate, Table
from cocoop.reports.groups import Group, dataset_order
from cocoop.reports.layout import is_average
from cocoop.reports.page.style import Looks, looks_of
from cocoop.reports.page.svg import Panel, Picture, round_ticks

Curves = Mapping[str, Mapping[int, Rate]]
"""Label of a method -> number of shots -> accuracy."""

_COLUMNS, _PANEL = 4, (262, 216)  # panels side by side, and the size of one with its axes


def few_shot_figure(groups: Sequence[Group], styles: Looks) -> Picture:
    """Accuracy over shots, one panel per data set and, first, their average; zero-shot CLIP is the point at 0.

    Args:
        groups: of the protocol "few-shot" on one CLIP. Bars are one population standard deviation over seeds. The
            average shows those shots of a method that all data sets have.
        styles: of all labels of the groups, at least.
    """
    curves: dict[str, dict[str, dict[int, Rate]]] = {}
    for group in groups:
        rate = group.rate("test")
        if rate is not None:
            curves.setdefault(group.dataset, {}).setdefault(group.label, {})[group.shots] = rate
    names = sorted(curves, key=dataset_order)
    styles = looks_of((group.label for group in groups), styles)
    shots = sorted({group.shots for group in groups})
    panels: dict[str, Curves] = {f"average of {len(names)}": _average_curves(curves, styles)} if len(names) > 1 else {}
    panels |= {name: curves[name] for name in names}
    columns, (width, height) = min(len(panels), _COLUMNS), _PANEL
    picture = Picture(max(columns * width, 420), 34 + height * math.ceil(len(panels) / _COLUMNS), "Accuracy over shots")
    picture.legend(46, 16, styles)
    for i, (name, lines) in enumerate(panels.items()):
        _curves(picture, 46 + width * (i % _COLUMNS), 58 + height * (i // _COLUMNS), name, lines, shots, styles)
    return picture


def _curves(
    picture: Picture, x: float, y: float, name: str, lines: Curves, shots: Sequence[int], styles: Looks
) -> None:
    rates = [rate for line in lines.values() for rate in line.values()]
    ends = [rate.mean + sign * (rate.std or 0) for rate in rates for sign in (1, -1)] or [0.0, 100.0]
    ticks = round_ticks(min(ends), max(ends))
    panel = Panel(picture, x, y, 200, 140, (-0.35, len(shots) - 0.65), (ticks[0][0], ticks[-1][0]))
    panel.frame(name, "images per class", x_ticks=[(i, str(n)) for i, n in enumerate(shots)], y_ticks=ticks)
    for label, line in lines.items():
        color, _, dash = styles[label]
        points = [(shots.index(count), line[count]) for count in sorted(line)]
        if list(line) == [0]:  # nothing more to learn: what the others start from
            panel.line([(panel.x_range[0], points[0][1].mean), (panel.x_range[1], points[0][1].mean)], color, "2 3", 1)
        for place, rate in points:
            if rate.std:
                panel.line([(place, rate.mean - rate.std), (place, rate.mean + rate.std)], color, width=1.2)
        panel.line([(place, rate.mean) for place, rate in points], color, dash)
        panel.marks([(place, rate.mean, f"{label}: {rate.mean:.2f}") for place, rate in points], styles[label], 3.6)


def _average_curves(curves: Mapping[str, Curves], labels: Iterable[str]) -> dict[str, dict[int, Rate]]:
    averages: dict[str, dict[int, Rate]] = {}
    for label in labels:
        lines = [curve.get(label, {}) for curve in curves.values()]
        common = set.intersection(*(set(line) for line in lines))
        if common:
            averages[label] = {n: Rate(statistics.fmean(line[n].mean for line in lines)) for n in sorted(common)}
    return averages


def base_versus_new_figure(groups: Sequence[Group], styles: Looks) -> Picture:
    """Accuracy on new classes over that on base classes: small marks are data sets, large ones their average.

    Args:
        groups: of the protocol "base-to-new", one CLIP and one number of shots. Grey lines join points of one harmonic
            mean. The average is over those data sets that all methods have.
        styles: of all labels of the groups, at least.
    """
    points = _base_and_new(groups)
    styles = looks_of(points, styles)
    common = common_datasets(groups)
    lowest = min((value for of in points.values() for point in of.values() for value in point), default=0.0)
    low = max(0.0, 10 * math.floor(lowest / 10 - 0.3))
    picture = Picture(540, 500, "Accuracy on new classes over accuracy on base classes")
    picture.legend(60, 16, styles)
    panel = Panel(picture, 60, 34, 420, 410, (low, 101), (low, 101))
    step = 10 if low < 60 else 5 if low < 80 else 2
    ticks = [(float(value), str(value)) for value in range(int(low), 101, step)]
    panel.frame("", "base classes, %", "new classes, %", ticks, ticks)
    _harmonic_lines(panel, low, step)
    for label, look in styles.items():
        of = points[label]
        named = [(x, y, f"{label}, {name}: base {x:.2f}, new {y:.2f}") for name, (x, y) in of.items()]
        if len(common) > 1:
            panel.marks(named, look, 4, 0.5)
            x, y = (statistics.fmean(of[name][i] for name in common) for i in (0, 1))
            panel.marks([(x, y, f"{label}, average of {len(common)}: base {x:.2f}, new {y:.2f}")], look, 8.5)
        else:
            panel.marks(named, look, 7)
    return picture


def common_datasets(groups: Sequence[Group]) -> list[str]:
    """The data sets that all methods of a protocol "base-to-new" have both figures of."""
    points = _base_and_new(groups)
    return sorted(set.intersection(*(set(of) for of in points.values()))) if points else []


def _base_and_new(groups: Sequence[Group]) -> dict[str, dict[str, tuple[float, float]]]:
    points: dict[str, dict[str, tuple[float, float]]] = {}
    for group in groups:
        base, new = group.rate("base"), group.rate("new")
        if base and new:
            points.setdefault(group.label, {})[group.dataset] = (base.mean, new.mean)
    return points


def _harmonic_lines(panel: Panel, low: float, step: int) -> None:
    for h in range(step, 100, step):
        # H = 2 b n / (b + n), so n = H b / (2 b - H): n is 100 at b = 100 H / (200 - H), and the reverse.
        start = max(100 * h / (200 - h), low)
        end = 100.0 if low <= 100 * h / (200 - h) else h * low / (2 * low - h) if 2 * low > h else 0.0
        if end <= start:
            continue
        base = [start + (end - start) * i / 40 for i in range(41)]
        panel.line([(b, h * b / (2 * b - h)) for b in base], "var(--grid)", width=1)
        if end == 100:  # at the edge on the right, where there is room for words
            x, y = panel.place(100, h * 100 / (200 - h))
            panel.picture.text(x + 10, y + 4, f"H {h}", kind="tick")


def transfer_figure(table: Table, styles: Looks) -> Picture:
    """One line per tested data set, one mark per method.

    Args:
        table: of the protocol "cross-dataset" or "domain-generalization".
        styles: of all labels of the table, at least.
    """
    column = table.header.index("accuracy")
    # Averages have different names where they are over different data sets.
    cells = [("average" if is_average(row[0]) else str(row[0]), str(row[1]), row[column]) for row in table.rows]
    lines = list(dict.fromkeys(name for name, *_ in cells))
    styles = looks_of((label for _, label, _ in cells), styles)
    values = [cell.mean for *_, cell in cells if isinstance(cell, Rate)] or [0.0, 100.0]
    ticks = round_ticks(min(values), max(values))
    picture = Picture(760, 90 + 26 * len(lines), f"Accuracy on each test: {table.title}")
    picture.legend(180, 16, styles)
    panel = Panel(picture, 180, 34, 550, 26 * len(lines), (ticks[0][0], ticks[-1][0]), (len(lines) - 0.5, -0.5))
    panel.frame("", "accuracy, %", x_ticks=ticks, y_ticks=[(i, name) for i, name in enumerate(lines)])
    for label, look in styles.items():
        marks = [
            (cell.mean, lines.index(name), f"{label}, {name}: {cell.mean:.2f}")
            for name, of, cell in cells
            if of == label and isinstance(cell, Rate)
        ]
        panel.marks(marks, look, 5.5, 0.85)
    return picture
