"""Small plots as SVG inside a page: panels with ticks, lines and marks, in the page's own colours.

matplotlib takes about 0.1 s per panel, most of it for ticks, and a report has dozens of panels; text takes no time.
The classes ("ink", "grid", ...) and colours are those of the page, report.html, so pictures follow its light or dark
ground.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cocoop.reports.page.style import Look

Point = tuple[float, float]
Ticks = Sequence[tuple[float, str]]


@dataclass
class Picture:
    """An SVG picture of `width` x `height` pixels that scales down with the page. alt: what it shows, in words."""

    width: float
    height: float
    alt: str
    parts: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The `<svg>` element."""
        return (
            f'<svg class="plot" viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" role="img" '
            f'aria-label="{html.escape(self.alt)}">{"".join(self.parts)}</svg>'
        )

    def text(self, x: float, y: float, words: str, anchor: str = "start", kind: str = "ink", turn: int = 0) -> None:
        """Words at a place: anchor is "start", "middle" or "end"; kind a class of the page; turn in degrees."""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{turned}>{html.escape(words)}</text>'
        )

    def legend(self, x: float, y: float, styles: dict[str, Look]) -> None:
        """The labels in a row from `x` on, each behind its mark."""
        for label, look in styles.items():
            self.parts.append(mark(x + 5, y - 4, look, 5))
            self.text(x + 15, y, label)
            x += 34 + 6.4 * len(label)


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
            self._add(f'<line x1="{self.x:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
            self.picture.text(self.x - 6, y + 4, words, "end", "tick")
        for value, words in x_ticks:
            x, _ = self.place(value, self.y_range[0])
            self.picture.text(x, bottom + 15, words, "middle", "tick")
        self._add(f'<line x1="{self.x:.1f}" x2="{right:.1f}" y1="{bottom:.1f}" y2="{bottom:.1f}" class="axis"/>')
        if x_label:
            self.picture.text(self.x + self.width / 2, bottom + (33 if x_ticks else 18), x_label, "middle", "label")
        if y_label:
            self.picture.text(self.x - 38, self.y + self.height / 2, y_label, "middle", "label", -90)

    def line(self, points: Iterable[Point], color: str, dash: str = "none", width: float = 1.8) -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.place(*point) for point in points))
        style = f"stroke:{color};stroke-dasharray:{dash};stroke-width:{width:g}"
        self._add(f'<polyline points="{path}" class="line" style="{style}"/>')

    def marks(
        self, points: Iterable[tuple[float, float, str]], look: Look, size: float = 4, opacity: float = 1
    ) -> None:
        """A mark at each (x, y); the words with it appear when it is pointed at."""
        for x, y, words in points:
            self._add(mark(*self.place(x, y), look, size, words, opacity))

    def bars(self, values: Sequence[tuple[int, float]], color: str, words: Sequence[str]) -> None:
        """A bar from 0 to each value, over the unit of the horizontal axis that starts at its number."""
        for (i, value), of in zip(values, words, strict=True):
            (x0, y0), (x1, y1) = self.place(i, max(value, 0)), self.place(i + 1, min(value, 0))
            gap, height = 0.12 * (x1 - x0), max(y1 - y0, 0.3)
            place = f'x="{x0 + gap / 2:.2f}" y="{y0:.1f}" width="{x1 - x0 - gap:.2f}" height="{height:.1f}"'
            self._add(f'<rect {place} style="fill:{color}"><title>{html.escape(of)}</title></rect>')

    def image(self, uri: str) -> None:
        """An image over the whole panel."""
        self._add(
            f'<image x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" '
            f'preserveAspectRatio="none" class="pixels" href="{uri}"/>'
        )

    def _add(self, part: str) -> None:
        self.picture.parts.append(part)


def mark(x: float, y: float, look: Look, size: float, words: str = "", opacity: float = 1) -> str:
    """One mark in pixels; `size` is its radius."""
    faded = f";fill-opacity:{opacity:g}" if opacity < 1 else ""
    attributes = f'class="mark" style="fill:{look.color}{faded}"'
    hint = f"<title>{html.escape(words)}</title>" if words else ""
    if look.mark == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" {attributes}>{hint}</circle>'
    corners = {
        "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "triangle": [(0, -1.2), (1.1, 0.85), (-1.1, 0.85)],
    }[look.mark]
    path = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{path}" {attributes}>{hint}</polygon>'


def round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Three to six round numbers that enclose `low` and `high`, and how they are written."""
    step = next((step for step in (1, 2, 5, 10, 20) if (high - low) / step <= 4), 25)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [(float(step * i), f"{step * i:g}") for i in range(first, max(last, first + 1) + 1)]
