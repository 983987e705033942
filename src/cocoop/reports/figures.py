"""Pictures from results."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from cocoop.data import Example, open_image

Halves = Mapping[Literal["base", "new"], Sequence[Example]]


def base_to_new_figure(path: str | PathLike[str], rows: Sequence[Mapping[str, Any]], halves: Halves) -> None:
    """Write a PNG: one image of every class, and each method's base, new and harmonic mean as bars.

    Args:
        path: the file to write.
        rows: as `base_to_new_rows` gives them.
        halves: the test images of "base" and "new".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window system, no global state
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    parts = figure.subfigures(2, 1, height_ratios=[1, 3], squeeze=False)[:, 0]
    _class_strip(parts[0], halves)
    axes = parts[1].subplots()
    names = {"base": "base classes", "new": "new classes, never trained on", "harmonic_mean": "harmonic mean"}
    width = 0.8 / len(names)
    for i, (key, label) in enumerate(names.items()):
        values = [row[key][0] if isinstance(row[key], tuple) else row[key] for row in rows]
        errors = [row[key][1] if isinstance(row[key], tuple) else 0.0 for row in rows]
        places = [x + (i - 1) * width for x in range(len(rows))]
        color = ("#4C72B0", "#DD8452", "#8C8C8C")[i]
        bars = axes.bar(places, values, width * 0.94, yerr=errors if any(errors) else None, label=label, color=color)
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    axes.set_xticks(range(len(rows)), [row["method"] for row in rows])
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 115)
    axes.set_yticks(range(0, 101, 20))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=3, loc="upper center", frameon=False)
    figure.savefig(path)


def _class_strip(figure: Any, halves: Halves) -> None:
    """One picture per class, base first, with the names that stand in the prompts."""
    shown = {(half, example.class_name): example for half, examples in halves.items() for example in examples}
    for axes, ((half, name), example) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        axes.imshow(open_image(example.path))
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(half, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
