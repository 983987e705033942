"""A picture of any shape as the square that a CLIP takes: Pillow's arithmetic, without torch."""

from __future__ import annotations

from PIL import Image

RESIZE_MODES = ("shortest", "squash")
INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

_STRIP = 100
"""How many times as long as wide an image may be before its far ends are cut off."""


def framed(image: Image.Image, size: int, resize_mode: str, interpolation: str) -> Image.Image:
    """An RGB image as one of `size` x `size` pixels.

    Of a strip over 100 times as long as wide the far ends are cut off before it is resized, which changes values by at
    most 2/255 (measured on noise) and spares much memory.

    Args:
        image: of mode RGB.
        size: N, pixels.
        resize_mode: of `RESIZE_MODES`; "shortest" makes the shorter side N and crops the centre, "squash" makes both
            sides N.
        interpolation: of `INTERPOLATIONS`, Pillow's.

    Sources: openai/CLIP clip.py `_transform`; for the others, open_clip transform.py.
    """
    resample = INTERPOLATIONS[interpolation]
    if resize_mode == "squash":
        return image.resize((size, size), resample)
    image = _without_far_ends(image)
    width, height = image.size
    width, height = (size, int(size * height / width)) if width <= height else (int(size * width / height), size)
    # Python's round (half to even) is what decides the odd margins in the original's centre crop.
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return image.resize((width, height), resample).crop((left, top, left + size, top + size))


def _without_far_ends(image: Image.Image) -> Image.Image:
    """A long strip without whole squares of both ends, where the centre crop reaches in no case; any other as it is.

    The crop comes after the resizing, for which a strip of 1 x 2,000 pixels would grow to 224 x 448,000.
    """
    width, height = image.size
    side = min(width, height)
    cut = max(0, max(width, height) // side - _STRIP) // 2 * side
    box = (cut, 0, width - cut, height) if width > height else (0, cut, width, height - cut)
    return image.crop(box) if cut else image
