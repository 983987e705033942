"""The most confident mistakes of a test, as pictures in a page."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from cocoop.class_names import prompt_name
from cocoop.reports.page.style import data_uri

SHOWN = 8
"""How many mistakes a gallery shows."""

_PIXELS = 160  # the longer side of a thumbnail


def gallery(mistakes: Sequence[Mapping[str, Any]]) -> str:
    """HTML of the first mistakes of a record's "mistakes"; a file that is gone or broken gets a grey field."""
    return f'<div class="gallery">{"".join(map(_one, mistakes[:SHOWN]))}</div>'


def _one(mistake: Mapping[str, Any]) -> str:
    path = Path(mistake["image"])
    name, label, predicted = (html.escape(text) for text in ("/".join(path.parts[-2:]), *_names(mistake)))
    return (
        f"<figure>{_picture(path, name)}<figcaption>called <b>{predicted}</b> ({100 * mistake['confidence']:.0f} %), "
        f'is <b>{label}</b> <span class="path">{name}</span></figcaption></figure>'
    )


def _names(mistake: Mapping[str, Any]) -> tuple[str, str]:
    return prompt_name(str(mistake["label"])), prompt_name(str(mistake["predicted"]))


def _picture(path: Path, name: str) -> str:
    try:
        return f'<img src="{data_uri(thumbnail(path), "image/jpeg")}" alt="{name}">'
    except FileNotFoundError:
        return '<div class="gone">the file is no longer there</div>'
    except Exception:  # Pillow's decoders raise nearly anything on damaged bytes
        return '<div class="gone">the file cannot be read as an image</div>'


def thumbnail(path: Path) -> bytes:
    """A JPEG of the picture, its longer side `_PIXELS` at most, turned as its EXIF data say."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * _PIXELS, 2 * _PIXELS))  # a JPEG is decoded at a fraction of its size
        image.thumbnail((_PIXELS, _PIXELS))
        small = ImageOps.exif_transpose(image).convert("RGB")
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return file.getvalue()
