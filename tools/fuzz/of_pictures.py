"""Pictures of every kind that is opened, as Pillow writes them."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cocoop.data import open_image
from cocoop.data.formats import register_heic
from cocoop.data.store import store_bytes

from .of_runs import TESTS

assert str(TESTS) in sys.path
cases = import_module("pixel_cases")

_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
_ALWAYS: list[dict[str, Any]] = [{}, {"save_all": True}]
_FORMATS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    ".jpg": ("JPEG", [{"progressive": True}, {"exif": _EXIF}, {"comment": b"c" * 70_000}, {"icc_profile": b"x" * 200}]),
    ".mpo.jpg": ("MPO", []),
    ".png": ("PNG", [{"bits": 4}, {"exif": _EXIF}, {"icc_profile": b"x" * 200}]),
    ".bmp": ("BMP", []),
    ".webp": ("WEBP", [{"lossless": True}, {"exif": _EXIF}]),
    ".gif": ("GIF", [{"interlace": 1}, {"comment": b"c" * 300}]),
    ".tif": (
        "TIFF",
        [{"compression": f"tiff_{name}"} for name in ("lzw", "deflate", "adobe_deflate", "raw_16")]
        + [{"compression": name} for name in ("packbits", "jpeg", "group3", "group4", "lzma", "zstd", "webp")],
    ),
    ".ppm": ("PPM", []),
    ".jp2": ("JPEG2000", [{"irreversible": True}, {"tile_size": (8, 8)}]),
    ".avif": ("AVIF", []),
    ".heic": ("HEIF", []),
}
"""Ending -> what Pillow calls the format, and ways of saving it."""
_MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")


def make_pictures(folder: Path) -> None:
    """Every format, mode and way of saving that goes together, and the rows of `pixel_cases`."""
    register_heic()
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    seen = {b""}
    for ending, (form, ways) in _FORMATS.items():
        for mode in _MODES:
            for number, options in enumerate([*_ALWAYS, *ways]):
                content = _saved(_of_mode(Image.fromarray(values), mode), form, options)
                if content not in seen:
                    seen.add(content)
                    place = folder / f"{ending[1:]}-{mode.replace(';', '-')}-{number}"
                    place.mkdir()
                    (place / f"x{ending}").write_bytes(content)
    for number, (_, name, image, _, _) in enumerate(cases.MODES):
        (folder / f"case-{number}").mkdir()
        cases.save(image, folder / f"case-{number}" / name)


def _saved(image: Image.Image, form: str, options: dict[str, Any]) -> bytes:
    """The picture as a file; no bytes where the format does not know the mode or the option."""
    written = io.BytesIO()
    more = {"append_images": [image.rotate(90)]} if "save_all" in options else {}
    try:
        image.save(written, form, **options, **more)
    except Exception:  # each format refuses in its own way
        return b""
    return written.getvalue()


def _of_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    grey = image.convert("L")
    return (
        grey.convert("I").convert(mode)
        if mode == "I;16"
        else grey.convert(mode)
        if mode in "IF"
        else image.convert(mode)
    )


def read_picture(folder: Path) -> None:
    """Open it in every way."""
    path = next(folder.iterdir())
    content = path.read_bytes()
    open_image(path, content)
    open_image(path, content, exif="original")
    with suppress(FileExistsError):
        store_bytes(content, folder)
