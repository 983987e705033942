"""Pictures of one run on one test: gain per class, reliability, confusions."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from cocoop.class_names import prompt_name
from cocoop.reports.page.diagnosis import Reliability
from cocoop.reports.page.style import Look, data_uri
from cocoop.reports.page.svg import Panel, Picture
from cocoop.reports.rounding import counted
from cocoop.results.confusions import Confusions

Gains = Sequence[tuple[str, float]]
"""Class and the points of accuracy that it gained, best first."""

Curves = dict[str, tuple[Reliability, Look]]
"""What a curve is called -> its points and how it is drawn."""

GOOD, BAD = "var(--c2)", "var(--c1)"
"""Better and worse than the baseline."""

DRAWN = 2_000
"""Up to so many classes K have a picture of their confusions, whose pixels are K x K."""

_NAMED = 20
"""Up to so many classes have their names at the axes."""

_INK = (30, 136, 212)  # of confusions; their share is its opacity, so that it works on any ground
_LETTER = 6.3  # pixels of a letter of a name, on average
_TALL, _FLAT = 362, 305  # with and without names of classes below
_HALF = ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))


def gain_figure(gains: Gains) -> Picture:
    """Bars of the points that each class gained over the baseline, sorted."""
    few = len(gains) <= _NAMED
    picture = Picture(380, _TALL if few else _FLAT, "Gain per class over zero-shot")
    top = max(5, 5 * math.ceil(max(abs(gain) for _, gain in gains) / 5))
    panel = Panel(picture, 60, 34, 310, 230, (0, len(gains)), (-top, top))
    ticks = [(-top, f"−{top}"), (0, "0"), (top, f"+{top}")]
    panel.frame("Gain per class", "" if few else f"{len(gains)} classes, sorted", "points over zero-shot", (), ticks)
    for color, sign in ((GOOD, 1), (BAD, -1)):
        shown = [(i, gain) for i, (_, gain) in enumerate(gains) if sign * gain > 0]
        panel.bars(shown, color, [f"{prompt_name(gains[i][0])}: {gain:+.1f}" for i, gain in shown])
    if few:
        _names_below(panel, [name for name, _ in gains])
    return picture


def reliability_figure(curves: Curves) -> Picture:
    """Accuracy over confidence, a line per curve, each with its look; on the diagonal the confidence is right."""
    picture = Picture(310, _FLAT, "Reliability")
    panel = Panel(picture, 60, 34, 230, 230, (0, 1), (0, 1))
    panel.frame("Reliability", "confidence", "share correct", _HALF, _HALF)
    panel.line([(0, 0), (1, 1)], "var(--quiet)", "4 4", 1)
    for label, (curve, look) in curves.items():
        filled = np.flatnonzero(curve.counts)
        points = [(float(curve.confidence[i]), float(curve.accuracy[i]), int(curve.counts[i])) for i in filled]
        panel.line([(x, y) for x, y, _ in points], look.color, look.dash)
        for x, y, count in points:
            words = f"{label}: confidence {x:.2f}, correct {y:.2f}, {counted(count, 'image')}"
            # The area of a mark is the share of the images.
            panel.marks([(x, y, words)], look, 2 + 9 * (count / int(curve.counts.sum())) ** 0.5, 0.7)
    picture.legend(150, 25, {label: look for label, (_, look) in curves.items()})
    return picture


def confusion_figure(confusions: Confusions) -> Picture:
    """The row-normalised confusion matrix; with many classes an image without names. Of `DRAWN` classes at most."""
    size = len(confusions.names)
    few = size <= _NAMED
    x = 112 if few else 24
    picture = Picture(x + 240, _TALL + 18 if few else _FLAT, "Confusions")
    panel = Panel(picture, x, 34, 230, 230, (0, size), (size, 0))
    panel.image(_shares_image(confusions))
    panel.frame("Confusions", "" if few else f"predicted, of {size} classes")
    beside = 18 + (_LETTER * max(len(_short(name)) for name in confusions.names) if few else 0)
    picture.text(x - beside + 4, 149, "true class", "middle", "label", -90)
    if few:
        _names_below(panel, confusions.names)
        picture.text(x + 115, panel.y + panel.height + beside + 4, "predicted", "middle", "label")
        for i, name in enumerate(confusions.names):
            picture.text(x - 6, panel.place(0, i + 0.5)[1] + 4, _short(name), "end", "tick")
    return picture


def _names_below(panel: Panel, names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        x, _ = panel.place(i + 0.5, 0)
        panel.picture.text(x + 4, panel.y + panel.height + 6, _short(name), "end", "tick", -90)


def _shares_image(confusions: Confusions) -> str:
    """A pixel per field. The square root of the share, because with many classes every confusion is rare."""
    size = len(confusions.names)
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[..., :3] = _INK
    pixels[confusions.rows, confusions.columns, 3] = np.rint(255 * np.sqrt(confusions.shares))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=6)
    return data_uri(file.getvalue(), "image/png")


def _short(name: str) -> str:
    spelled = prompt_name(name)
    return spelled if len(spelled) <= 13 else spelled[:12] + "…"
