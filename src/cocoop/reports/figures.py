"""Pictures from results."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from cocoop.class_names import prompt_name
from cocoop.data import Example, open_image

Halves = Mapping[Literal["base", "new"], Sequence[Example]]

_BARS = {
    "base": ("base classes", "#4C72B0"),
    "new": ("new classes, never trained on", "#DD8452"),
    "harmonic_mean": ("harmonic mean", "#8C8C8C"),
}
_SHOWN = 5  # classes of each half with a picture


def base_to_new_figure(path: str | PathLike[str], rows: Sequence[Mapping[str, Any]], halves: Halves) -> None:
    """Write a PNG: pictures of base and new classes, and each method's base, new and harmonic mean as bars.

    Args:
        path: the file to write.
        rows: as `base_to_new_rows` gives them.
        halves: the test images of "base" and "new".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window system, no global state
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    pictures, bars = figure.subfigures(2, 1, height_ratios=[1, 3.2], squeeze=False)[:, 0]
    _class_strip(pictures, halves)
    _bars(bars, rows)
    figure.savefig(path, format="png")


def _bars(figure: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    axes = figure.subplots()
    width = 0.8 / len(_BARS)
    for i, (key, (label, color)) in enumerate(_BARS.items()):
        # The harmonic mean is that of the means, so it has no spread.
        means, spreads = zip(
            *(row[key] if isinstance(row[key], tuple) else (row[key], 0.0) for row in rows), strict=True
        )
        places = [x + (i - 1) * width for x in range(len(rows))]
        bars = axes.bar(places, means, width * 0.94, label=label, color=color, zorder=2)
        for place, mean, spread in zip(places, means, spreads, strict=True):
            if spread:
                axes.errorbar(place, mean, spread, color="black", capsize=3, linewidth=1.2)
        axes.bar_label(bars, fmt="%.1f", label_type="center", color="white", fontsize=10)
    axes.set_xticks(range(len(rows)), [row["method"] for row in rows], fontsize=11)
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
