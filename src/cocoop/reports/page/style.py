"""How the report's pictures look: the one place for colours and marks, for light pages and for dark ones."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from PIL import Image

from cocoop.reports.groups import method_of, method_order
from cocoop.results.published import PAPER_METHODS

PAPER_COLORS = (("#6E6E6E", "#A9AFB7"), ("#D55E00", "#F08C3A"), ("#0072B2", "#4FB0EE"))
"""Of each of `PAPER_METHODS`, on a light and on a dark ground. Okabe and Ito's, which colour-blind readers can tell
apart."""

OTHER_COLORS = (("#009E73", "#2BC79B"), ("#B0568A", "#E39DC5"), ("#B58900", "#E6C34A"), ("#5B4FB5", "#A59BF0"))
"""For all other methods, in the order of their names; where there are more, they share colours."""

MARKS = ("circle", "square", "diamond", "triangle")
"""Shapes of marks, one per method or variant, so that no picture needs its colours."""

_DASHES = ("none", "6 3", "2 2", "8 3 2 3")


class Look(NamedTuple):
    """color: a CSS colour. mark: one of `MARKS`. dash: an SVG dash pattern."""

    color: str
    mark: str
    dash: str


Looks = Mapping[str, Look]
"""Label of a method -> how it is drawn."""


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """How each label of a report is drawn in all of its pictures, in the order of reports.

    Labels of one method share its colour and differ in mark and line; so do methods that share a colour.
    """
    styles: dict[str, Look] = {}
    others: list[str] = []
    same_color: dict[int, int] = {}
    for label in sorted(set(labels), key=method_order):
        method = method_of(label)
        if method in PAPER_METHODS:
            number = PAPER_METHODS.index(method)
        else:
            others += [method] * (method not in others)
            number = len(PAPER_METHODS) + others.index(method) % len(OTHER_COLORS)
        variant = same_color[number] = same_color.get(number, -1) + 1
        mark = MARKS[(number + variant) % len(MARKS)]
        styles[label] = Look(f"var(--c{number})", mark, _DASHES[variant % len(_DASHES)])
    return styles


def looks_of(labels: Iterable[str], styles: Looks) -> dict[str, Look]:
    """Those of `styles` that belong to `labels`, in the order of `styles`."""
    chosen = set(labels)
    return {label: look for label, look in styles.items() if label in chosen}


def css_colors(dark: bool) -> str:
    """The definitions of the CSS colours in `looks`, for a light or a dark ground."""
    return " ".join(f"--c{number}: {pair[dark]};" for number, pair in enumerate((*PAPER_COLORS, *OTHER_COLORS)))


def jpeg(picture: Image.Image) -> bytes:
    """A small RGB picture of a page as a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of a MIME type such as "image/png" as an address that holds them."""
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"
