"""The pictures of a run folder: how the training went, and which classes are taken for which."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cocoop.class_names import prompt_name
from cocoop.results.confusions import Confusions, count_confusions
from cocoop.results.run_folder import Run
from cocoop.results.schema import Epoch

PICTURES = TRAINING, CONFUSION = "training.png", "confusion.png"

_MATRIX = 20  # up to so many classes a matrix is readable
_PAIRS = 15  # of more classes
_MARKED = 30  # up to so many epochs have marks
_NAME = 24  # characters of a name in a picture

_BLUE, _ORANGE = "#0072B2", "#D55E00"
_COLORS = 64  # of the palette: few inks, and their edges
_FONT = "DejaVu Sans"  # matplotlib brings it
_BOXES = "Last Resort High-Efficiency"  # matplotlib brings this, too: a box for every character


def run_pictures(run: Run) -> dict[str, bytes]:
    """The pictures of a run: file name -> PNG.

    "training.png" has loss and accuracy over the epochs, where something was learned. "confusion.png" has, of the first
    test with predictions, the confusion matrix, or of more than 20 classes the confusions that cost the most images; it
    is left out where these have none.
    """
    pictures = {}
    if run.history:
        pictures[TRAINING] = training_picture(run.history)
    test = next((test for test in run.record.results if f"{test}/predicted" in run.predictions), None)
    if test is not None:
        names, families = _drawable(run.config.class_names)
        label, predicted = run.predictions[f"{test}/label"], run.predictions[f"{test}/predicted"]
        confusions = count_confusions(label, predicted, dict(enumerate(names)))
        if len(names) <= _MATRIX:
            pictures[CONFUSION] = _matrix_picture(confusions, families)
        elif confusions.worst(1):
            pictures[CONFUSION] = _pairs_picture(confusions, families)
    return pictures


def pictures_in(folder: Path) -> list[str]:
    """The names of those that a run folder has."""
    return [name for name in PICTURES if (folder / name).is_file()]


def training_picture(history: Sequence[Epoch]) -> bytes:
    """A PNG of the mean loss, and of the accuracy in percent, over the epochs of a training."""
    figure = new_figure(8, 3)
    of_loss, of_accuracy = figure.subplots(1, 2)
    for axes, title in ((of_loss, "loss"), (of_accuracy, "accuracy, %")):
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("epoch")
        axes.grid(axis="y", color="#DDDDDD")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_xlim(history[0].epoch - 0.5, history[-1].epoch + 0.5)
    marker = "o" if len(history) <= _MARKED else ""
    marked: dict[str, Any] = {"marker": marker, "ms": 4, "clip_on": False}  # at the edge a mark stays whole
    of_loss.plot([epoch.epoch for epoch in history], [epoch.loss for epoch in history], color=_BLUE, **marked)
    of_loss.set_ylim(bottom=0)
    curves = accuracy_curves(history)
    for (label, points), (color, style) in zip(curves.items(), ((_BLUE, "-"), (_ORANGE, "--")), strict=False):
        of_accuracy.plot(*zip(*points, strict=True), color=color, linestyle=style, label=label, **marked)
    low, high = of_accuracy.get_ylim()
    of_accuracy.set_ylim(max(low, 0), min(high, 100))
    if len(curves) > 1:
        of_accuracy.legend(frameon=False, fontsize=9)
    return _png(figure)


def accuracy_curves(history: Sequence[Epoch]) -> dict[str, list[tuple[int, float]]]:
    """The images of a curve -> its points: epoch, and accuracy in percent. Without validation images one curve."""
    of_validation = [(epoch.epoch, rate) for epoch in history if (rate := epoch.validation_accuracy) is not None]
    curves = {"training images": [(epoch.epoch, epoch.accuracy) for epoch in history], "validation": of_validation}
    return {label: points for label, points in curves.items() if points}


def _matrix_picture(confusions: Confusions, families: Sequence[str]) -> bytes:
    """Rows are true classes, columns what they were taken for; colours are shares of the row, numbers images."""
    size = len(confusions.names)
    shares, side = np.zeros((size, size)), 2.6 + 0.3 * size
    shares[confusions.rows, confusions.columns] = confusions.shares
    figure = new_figure(side, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column, images in zip(confusions.rows, confusions.columns, confusions.images, strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{images}", ha="center", va="center", color=color, fontsize=8)
    for axis, turn in ((axes.xaxis, 90), (axes.yaxis, 0)):
        names = map(_short, confusions.names)
        axis.set_ticks(range(size), names, rotation=turn, fontsize=9, fontfamily=families, parse_math=False)
        axis.set_tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class")
    axes.set_title(_summary(confusions), fontsize=10, loc="left")
    return _png(figure)


def _pairs_picture(confusions: Confusions, families: Sequence[str]) -> bytes:
    """A bar for each of the confusions that cost the most images."""
    worst = confusions.worst(_PAIRS)
    figure = new_figure(8, 1.1 + 0.24 * len(worst))
    axes = figure.subplots()
    bars = axes.barh(range(len(worst)), [confusion.images for confusion in worst], color=_ORANGE)
    axes.bar_label(
        bars, [f"{confusion.images} ({confusion.share:.0f} %)" for confusion in worst], padding=3, fontsize=8
    )
    names = [f"{_short(confusion.label)} → {_short(confusion.predicted)}" for confusion in worst]
    axes.set_yticks(range(len(worst)), names, fontsize=9, fontfamily=families, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("images, and their share of the true class")
    axes.spines[["top", "right"]].set_visible(False)
    title = f"{_summary(confusions)}; the most frequent mistakes, true class → predicted"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return _png(figure)


def _summary(confusions: Confusions) -> str:
    right, images = int(confusions.right.sum()), int(confusions.counts.sum())
    return f"{right:,} of {images:,} images right"


def _short(name: str) -> str:
    """A long name without its middle, because long names often differ at their ends."""
    half = _NAME // 2
    return name if len(name) <= _NAME else f"{name[:half]}…{name[1 - half :]}"


def _drawable(class_names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names as they can be drawn, and the fonts for them.

    A name with a character that no installed font has becomes the class's number: such characters are drawn as boxes.
    """
    names = [prompt_name(name) for name in class_names]
    families, lacking = _fonts_for("".join(names))
    return [f"class {k}" if lacking & set(name) else name for k, name in enumerate(names)], families


def _fonts_for(text: str) -> tuple[list[str], set[str]]:
    """Fonts that have the characters, `_FONT` and more where it lacks some; and the characters that none has."""
    from matplotlib.font_manager import fontManager

    families, lacking = [_FONT], set(text) - _characters(fontManager.findfont(_FONT))
    for font in fontManager.ttflist if lacking else ():
        if font.style == "normal" and font.weight in (400, "normal", "regular") and font.name != _BOXES:
            found = lacking & _characters(font.fname)
            families += [font.name] * bool(found)
            lacking -= found
    return families, lacking


def _characters(font: str) -> set[str]:
    from matplotlib.font_manager import get_font

    try:
        return set(map(chr, get_font(font).get_charmap()))
    except (OSError, RuntimeError):  # a kind that matplotlib cannot draw, such as bitmaps in colour
        return set()


def new_figure(width: float, height: float, dpi: int = 100) -> Any:
    """A matplotlib figure of so many inches, without a window system or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    """The figure with a palette, which takes a third of the bytes of full colour."""
    figure.canvas.draw()
    file = io.BytesIO()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    image.quantize(_COLORS).save(file, "PNG", optimize=True)
    return file.getvalue()
