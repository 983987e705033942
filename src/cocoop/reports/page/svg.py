"""Small plots as SVG inside a page: panels with ticks, lines and marks, in the page's own colours.

matplotlib takes about 0.1 s per panel, most of it for ticks, and a report has dozens of panels; text takes no time.
The classes ("ink", "grid", ...) and colours are those of the page, style.css, so pictures follow its light or dark
ground. Every element is made by `Markup.format`, which escapes what is put into it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from cocoop.reports.page.style import Look

Point = tuple[float, float]
Ticks = Sequence[tuple[float, str]]

_LETTER = 6.4  # pixels of a letter of a legend, on average


@dataclass
class Picture:
    """An SVG picture of `width` x `height` pixels that scales down with the page. alt: what it shows, in words."""

    width: float
    height: float
    alt: str
    parts: list[Markup] = field(default_factory=list)

    def __html__(self) -> Markup:
        """The `<svg>` element; templates put it in as it is."""
        return Markup(
            '<svg class="plot" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
            'aria-label="{alt}">{parts}</svg>'
        ).format(width=self.width, height=self.height, alt=self.alt, parts=Markup().join(self.parts))

    def text(self, x: float, y: float, words: str, anchor: str = "start", kind: str = "ink", turn: int = 0) -> None:
        """Words at a place: anchor is "start", "middle" or "end"; kind a class of the page; turn in degrees."""
        turned = Markup(' transform="rotate({} {:.1f} {:.1f})"').format(turn, x, y) if turn else ""
        element = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}"{}>{}</text>')
        self.parts.append(element.format(x, y, anchor, kind, turned, words))

    def legend(self, x: float, y: float, styles: Mapping[str, Look]) -> None:
        """The labels in a row from `x` on, each behind its mark; the picture grows where they need more room."""
        for label, look in styles.items():
            self.parts.append(mark(x + 5, y - 4, look, 5))
            self.text(x + 15, y, label)
            end = x + 15 + _LETTER * len(label)
            self.width = max(self.width, math.ceil(end))
            x = end + 19


@dataclass
class Panel:
    """A rectangle of a picture with axes: data in `x_range` x `y_range` land in it.

    x, y, width, height: of the plotting area, in pixels from the picture's upper left corner.
    """

    picture: Picture
    x: float
    y: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def place(self, x: float, y: float) -> Point:
        """Data -> pixels."""
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return (
            self.x + self.width * (x - x0) / (x1 - x0),
            self.y + self.height * (1 - (y - y0) / (y1 - y0)),
        )

    def frame(
        self, title: str = "", x_label: str = "", y_label: str = "", x_ticks: Ticks = (), y_ticks: Ticks = ()
    ) -> None:
        """Title, names of the axes, ticks with their words, and grid lines for the vertical axis."""
        bottom, right = self.y + self.height, self.x + self.width
        self.picture.text(self.x, self.y - 9, title, kind="title")
        for value, words in y_ticks:
            _, y = self.place(self.x_range[0], value)
            self._level(y, right, "grid")
            self.picture.text(self.x - 6, y + 4, words, "end", "tick")
        for value, words in x_ticks:
            x, _ = self.place(value, self.y_range[0])
            self.picture.text(x, bottom + 15, words, "middle", "tick")
        self._level(bottom, right, "axis")
        if x_label:
            self.picture.text(self.x + self.width / 2, bottom + (33 if x_ticks else 18), x_label, "middle", "label")
        if y_label:
            self.picture.text(self.x - 38, self.y + self.height / 2, y_label, "middle", "label", -90)

    def line(self, points: Iterable[Point], color: str, dash: str = "none", width: float = 1.8) -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.place(*point) for point in points))
        style = f"stroke:{color};stroke-dasharray:{dash};stroke-width:{width:g}"
        self._add(Markup('<polyline points="{}" class="line" style="{}"/>').format(path, style))

    def marks(
        self, points: Iterable[tuple[float, float, str]], look: Look, size: float = 4, opacity: float = 1
    ) -> None:
        """A mark at each (x, y); the words with it appear when it is pointed at."""
        for x, y, words in points:
            self._add(mark(*self.place(x, y), look, size, words, opacity))

    def bars(self, values: Sequence[tuple[int, float]], color: str, words: Sequence[str]) -> None:
        """A bar from 0 to each value, over the unit of the horizontal axis that starts at its number."""
        element = Markup(
            '<rect x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" style="fill:{}"><title>{}</title></rect>'
        )
        for (i, value), of in zip(values, words, strict=True):
            (x0, y0), (x1, y1) = self.place(i, max(value, 0)), self.place(i + 1, min(value, 0))
            gap, height = 0.12 * (x1 - x0), max(y1 - y0, 0.3)
            self._add(element.format(x0 + gap / 2, y0, x1 - x0 - gap, height, color, of))

    def image(self, uri: str) -> None:
        """An image over the whole panel."""
        element = Markup(
            '<image x="{:g}" y="{:g}" width="{:g}" height="{:g}" preserveAspectRatio="none" class="pixels" href="{}"/>'
        )
        self._add(element.format(self.x, self.y, self.width, self.height, uri))

    def _level(self, y: float, right: float, kind: str) -> None:
        """A level line across the panel, up to `right`; kind is a class of the page."""
        element = Markup('<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}" class="{}"/>')
        self._add(element.format(self.x, right, y, y, kind))

    def _add(self, part: Markup) -> None:
        self.picture.parts.append(part)


_CORNERS = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
    "triangle": [(0, -1.2), (1.1, 0.85), (-1.1, 0.85)],
}
"""Mark -> its corners, at a radius of 1."""


def mark(x: float, y: float, look: Look, size: float, words: str = "", opacity: float = 1) -> Markup:
    """One mark in pixels; `size` is its radius."""
    style = f"fill:{look.color}" + (f";fill-opacity:{opacity:g}" if opacity < 1 else "")
    hint = Markup("<title>{}</title>").format(words) if words else ""
    if look.mark == "circle":
        circle = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:g}" class="mark" style="{}">{}</circle>')
        return circle.format(x, y, size, style, hint)
    path = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in _CORNERS[look.mark])
    return Markup('<polygon points="{}" class="mark" style="{}">{}</polygon>').format(path, style, hint)


def round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Two to six round numbers that enclose `low` and `high`, and how they are written; of rates none is above 100."""
    step = next((step for step in (1, 2, 5, 10, 20) if (high - low) / step <= 4), 25)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        first, last = (first - 1, last) if first > 0 else (first, last + 1)
    return [(float(step * i), f"{step * i:g}") for i in range(first, last + 1)]
