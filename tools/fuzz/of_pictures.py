"""Pictures of every kind that is opened, as Pillow writes them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from cocoop.data import open_image
from cocoop.data.formats import register_heic
from cocoop.data.store import store_bytes
from tools.fuzz import of_runs  # noqa: F401  # puts the tests' folder on the path

from pixel_cases import MODES, save  # isort: skip

_FORMATS = {
    ".jpg": "JPEG", ".mpo.jpg": "MPO", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".gif": "GIF", ".tif": "TIFF",
    ".ppm": "PPM", ".jp2": "JPEG2000", ".avif": "AVIF", ".heic": "HEIF",
}  # fmt: skip
_MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
_OPTIONS = [
    {}, {"progressive": True}, {"quality": 5}, {"lossless": True}, {"compression": "tiff_lzw"}, {"compression": "jpeg"},
    {"compression": "tiff_deflate"}, {"compression": "packbits"}, {"compression": "group4"}, {"save_all": True},
    {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}, {"interlace": 1},
    {"bits": 4}, {"icc_profile": b"x" * 200}, {"comment": b"c" * 70_000}, {"irreversible": True}, {"subsampling": 2},
]  # fmt: skip
"""Ways of saving that some of the formats know; each is tried on all, and what a format does not take is passed over."""


def make_pictures(folder: Path) -> None:
    """Every ending, mode and option that can be saved, and the rows of `pixel_cases`."""
    register_heic()
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    seen = set()
    for ending, form in _FORMATS.items():
        for mode in _MODES:
            image = _of_mode(Image.fromarray(values), mode)
            for number, options in enumerate(_OPTIONS):
                place = folder / f"{ending[1:]}-{mode.replace(';', '-')}-{number}"
                place.mkdir()
                file = place / f"x{ending}"
                with suppress(Exception):
                    more = {"append_images": [image.rotate(90)]} if "save_all" in options else {}
                    image.save(file, form, **options, **more)
                content = file.read_bytes() if file.is_file() else b""
                if not content or content in seen:
                    [path.unlink() for path in place.iterdir()]
                    place.rmdir()
                seen.add(content)
    for number, (_, name, image, _, _) in enumerate(MODES):
        (folder / f"case-{number}").mkdir()
        save(image, folder / f"case-{number}" / name)


def _of_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    grey = image.convert("L")
    return grey.convert("I").convert(mode) if mode == "I;16" else grey.convert(mode) if mode in "IF" else image.convert(mode)


def read_picture(folder: Path) -> None:
    """Open it in every way."""
    path = next(folder.iterdir())
    content = path.read_bytes()
    open_image(path, content)
    open_image(path, content, exif="original")
    with suppress(FileExistsError):
        store_bytes(content, folder)
