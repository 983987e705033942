"""How the report's pictures look: the one place for colours and marks, for light pages and for dark ones."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import NamedTuple

METHOD_COLORS = {
    "zero-shot": ("#6E6E6E", "#A9AFB7"),
    "coop": ("#D55E00", "#F08C3A"),
    "cocoop": ("#0072B2", "#4FB0EE"),
}
"""Method -> colour on a light and on a dark ground. Okabe and Ito's, which colour-blind readers can tell apart."""

OTHER_COLORS = (("#009E73", "#2BC79B"), ("#B0568A", "#E39DC5"), ("#B58900", "#E6C34A"), ("#5B4FB5", "#A59BF0"))
"""For methods of one's own, in the order of their names."""

MARKS = ("circle", "square", "diamond", "triangle")
"""Shapes of marks, one per method or variant, so that no picture needs its colours."""

_DASHES = ("none", "6 3", "2 2", "8 3 2 3")


class Look(NamedTuple):
    """color: a CSS colour. mark: one of `MARKS`. dash: an SVG dash pattern."""

    color: str
    mark: str
    dash: str


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Label of a method -> how it is drawn. Labels of one method share its colour, and differ in mark and line."""
    found: dict[str, Look] = {}
    methods = list(METHOD_COLORS)
    seen: dict[str, int] = {}
    for label in labels:
        method = label.partition(",")[0]
        if method not in methods:
            methods.append(method)
        variant = seen[method] = seen.get(method, -1) + 1
        number = methods.index(method)
        if number >= len(METHOD_COLORS):
            number = len(METHOD_COLORS) + (number - len(METHOD_COLORS)) % len(OTHER_COLORS)
        mark = MARKS[(number + variant) % len(MARKS)]
        found[label] = Look(f"var(--c{number})", mark, _DASHES[variant % len(_DASHES)])
    return found


def css_colors(dark: bool) -> str:
    """The definitions of the CSS colours in `looks`, for a light or a dark ground."""
    colors = (*METHOD_COLORS.values(), *OTHER_COLORS)
    return " ".join(f"--c{number}: {pair[dark]};" for number, pair in enumerate(colors))


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of a MIME type such as "image/png" as an address that holds them."""
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"
