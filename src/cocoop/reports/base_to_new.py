"""The table and the picture of one data set's base-to-new runs, as the demo has them."""

import io
import statistics
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from cocoop.atomic import write_whole
from cocoop.class_names import prompt_name
from cocoop.data import Example, open_image
from cocoop.reports.cells import Rate, Table
from cocoop.results import RunRecord, harmonic_mean, mean_std
from cocoop.results.pictures import new_figure

Halves = Mapping[Literal["base", "new"], Sequence[Example]]

_HEADER = ("method", "base", "new", "H", "seconds per run", "trainable parameters")
_BARS = {
    "base": ("base classes", "#4C72B0"),
    "new": ("new classes, never trained on", "#DD8452"),
    "H": ("harmonic mean", "#8C8C8C"),
}
_SHOWN = 5  # classes of each half with a picture


def base_to_new_table(records: Mapping[str, Sequence[RunRecord]]) -> Table:
    """Summarise the seeds of each method.

    Args:
        records: method -> one record of the base-to-new protocol per seed.

    Returns:
        A row per method: its name, "base" and "new" as `Rate`s over the seeds, "H" of the two mean accuracies (as the
        paper computes it), the seconds of one run on average, and how many parameters it learns.
    """
    return Table(_HEADER, [_row(method, runs) for method, runs in records.items()])


def _row(method: str, runs: Sequence[RunRecord]) -> tuple[str, Rate, Rate, Rate, str, int]:
    base, new = (Rate(*mean_std([run.results[half].accuracy for run in runs]), len(runs)) for half in ("base", "new"))
    h = Rate(harmonic_mean(base.mean, new.mean), None, len(runs))
    seconds = statistics.fmean(run.seconds for run in runs if run.seconds is not None)
    return method, base, new, h, f"{seconds:.1f}", runs[0].trainable_parameters


def base_to_new_figure(path: str | PathLike[str], table: Table, halves: Halves) -> None:
    """Write a PNG: pictures of base and new classes, and each method's base, new and harmonic mean as bars.

    Args:
        path: the file to write.
        table: as `base_to_new_table` gives it.
        halves: the test images of "base" and "new".

    Raises:
        RunError: the disk refuses.
    """
    figure = new_figure(9, 5.2, dpi=150)
    pictures, bars = figure.subfigures(2, 1, height_ratios=[1, 3.2], squeeze=False)[:, 0]
    _class_strip(pictures, halves)
    _bars(bars, table)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(Path(path), content.getvalue(), "a picture")


def _bars(figure: Any, table: Table) -> None:
    axes = figure.subplots()
    columns = dict(zip(table.header, zip(*table.rows, strict=True), strict=True))
    width = 0.8 / len(_BARS)
    for i, (name, (label, color)) in enumerate(_BARS.items()):
        rates = [rate for rate in columns[name] if isinstance(rate, Rate)]
        places = [x + (i - 1) * width for x in range(len(rates))]
        means = [rate.mean for rate in rates]
        bars = axes.bar(places, means, width * 0.94, label=label, color=color, zorder=2)
        for place, rate in zip(places, rates, strict=True):
            if rate.std:
                axes.errorbar(place, rate.mean, rate.std, color="black", capsize=3, linewidth=1.2)
        axes.bar_label(bars, fmt="%.1f", label_type="center", color="white", fontsize=10)
    axes.set_xticks(range(len(table.rows)), columns["method"], fontsize=11)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("accuracy, % (mean, std over seeds)")
    axes.set_ylim(0, 105)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y", color="#DDDDDD", zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(ncols=len(_BARS), loc="outside upper center", frameon=False, fontsize=10)


def _class_strip(figure: Any, halves: Halves) -> None:
    """A picture of the first classes of each half, framed in the half's colour, with the name as prompts have it."""
    shown = []
    for half, examples in halves.items():
        by_class = {example.class_name: example for example in reversed(examples)}
        shown += [(half, by_class[name]) for name in sorted(by_class, key=lambda name: by_class[name].label)[:_SHOWN]]
    grid = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (half, example) in zip(grid, shown, strict=True):
        color = _BARS[half][1]
        axes.imshow(open_image(example.path))
        axes.set_title(prompt_name(example.class_name), fontsize=10, color=color, parse_math=False)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=color, linewidth=3)
