"""Which files are pictures, by their endings: one list for folders, for `predict`, and for what is opened."""

from functools import cache
from importlib.util import find_spec

from PIL import features

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "JPEG2000": (".jp2",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
}
_BUILT_IN = {"JPEG2000": "jpg_2000", "AVIF": "avif"}  # Pillow's names of what it may have been built without
_HEIC = 'HEIC needs pillow-heif: pip install "cocoop[heic]"'


def _readable(name: str) -> bool:
    if name == "HEIF":
        return find_spec("pillow_heif") is not None
    feature = _BUILT_IN.get(name)
    return feature is None or (feature in features.modules | features.codecs and bool(features.check(feature)))


IMAGE_FORMATS = tuple(name for name in _ENDINGS if _readable(name))
"""Formats that are opened here, as Pillow calls them. A phone's MPO is a JPEG with others behind.

Pillow knows many more, and starts Ghostscript for some.
"""

IMAGE_SUFFIXES = frozenset(ending for name in IMAGE_FORMATS for ending in _ENDINGS[name])
"""File endings read as images, lower case; the endings of files are compared without regard to case."""

NEEDS = {
    ending: _HEIC if name == "HEIF" else f"{ending} needs a Pillow that was built with it"
    for name, endings in _ENDINGS.items()
    for ending in endings
    if name not in IMAGE_FORMATS
}
"""Endings of pictures that cannot be read here -> what reading them takes."""


@cache
def register_heic() -> None:
    """Teach Pillow HEIC, which is among `IMAGE_FORMATS` where its package is here."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
