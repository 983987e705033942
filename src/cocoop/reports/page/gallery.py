"""The most confident mistakes of a test, as pictures in a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from cocoop.class_names import prompt_name
from cocoop.data import ImageError, open_image
from cocoop.reports.page.style import data_uri, jpeg
from cocoop.reports.page.template import render
from cocoop.results import Mistake
from cocoop.rgb import Exif

SHOWN = 8
"""How many mistakes a gallery shows."""

_PIXELS = 160  # the longer side of a thumbnail


class _Mistake(NamedTuple):
    """A mistake as the template has it. address: of the thumbnail; where there is none, gone says why."""

    name: str
    label: str
    predicted: str
    percent: str
    address: str = ""
    gone: str = ""


def gallery(mistakes: Sequence[Mistake], exif: Exif) -> Markup:
    """HTML of the first mistakes of a record's "mistakes"; a file that is gone or broken gets a grey field.

    `exif` is how the model saw the pictures, see `cocoop.rgb.as_rgb`.
    """
    return render("gallery.html", mistakes=[_mistake(mistake, exif) for mistake in mistakes[:SHOWN]])


def _mistake(mistake: Mistake, exif: Exif) -> _Mistake:
    path = Path(mistake.image)
    about = _Mistake(
        "/".join(path.parts[-2:]),
        prompt_name(mistake.label),
        prompt_name(mistake.predicted),
        f"{100 * mistake.confidence:.0f}",
    )
    try:
        return about._replace(address=data_uri(thumbnail(path, exif), "image/jpeg"))
    except ImageError as error:
        gone = isinstance(error.__cause__, FileNotFoundError)
        return about._replace(gone="the file is no longer there" if gone else "the file cannot be read as an image")


def thumbnail(path: Path, exif: Exif) -> bytes:
    """A JPEG of the picture as the model saw it, its longer side `_PIXELS` at most."""
    small = open_image(path, exif=exif)
    small.thumbnail((_PIXELS, _PIXELS))
    return jpeg(small)
