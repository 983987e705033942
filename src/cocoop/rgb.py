"""A picture as the model sees it: RGB, 8 bits per channel, upright, whatever Pillow opened. The one such conversion."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cocoop.errors import InputError, expect_choice

Exif = Literal["apply", "ignore", "original"]
"""How a picture becomes RGB, see `as_rgb`."""

EXIF: tuple[Exif, ...] = get_args(Exif)

_ORIENTATION = 0x0112
_UPRIGHT: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The orientation in a file's EXIF data -> what turns its pixels upright."""


def as_rgb(image: Image.Image, exif: Exif = "apply") -> Image.Image:
    """A Pillow image of any mode as one of mode RGB.

    Palettes are looked up, grey is repeated, CMYK and others are converted by Pillow's rules, as OpenAI's transform and
    the original do. Two things differ from both, because Pillow's `convert("RGB")` makes black squares or white ones:

    Transparency: the picture lies on white, as a page or a viewer shows it; `convert` shows what is under the
    transparent parts, which is mostly black.

    More than 8 bits: `convert` cuts all values above 255. Whole numbers without a sign are scaled by the bits that the
    largest of the picture takes, 8 at least: a scan whose white takes 16 bits by 257, to the values that it has at 8
    bits, and 12 bits in a file of 16, as microscopes write them, by 16. Scaling by the file's 16 bits would leave the
    latter nearly black, and scaling by each picture's minimum and maximum would stretch the contrast of every scan.
    Only where there is nothing else to go by, with fractions and negative numbers, do minimum and maximum become 0 and
    255. (Colour of more than 8 bits is scaled by Pillow itself.)

    An image that is RGB already is returned itself, not a copy, which of a photo of 12 megapixels takes a quarter of
    the time of decoding it (measured).

    Args:
        image: any; it is loaded if it is not yet. Of several frames the one it stands at is taken.
        exif: "apply" turns the picture upright, as its EXIF data say; phones store photos as the sensor was held, and
            every viewer turns them. "ignore" leaves it as it is stored, as OpenAI's transform and the original do; but
            TIFF and HEIC files are turned by what decodes them, whatever is said. "original" is
            `image.convert("RGB")` and nothing else, for the papers' data (Dassl:dassl/utils/tools.py @ c61a1b57,
            `read_image`): it ignores EXIF data, transparency and all that is above 255.

    Raises:
        InputError: no pixels; values of which no scale can be told: not finite, or fractions that are all the same.
            Beside it what Pillow raises where it knows no conversion, or where loading fails.
    """
    image.load()
    if 0 in image.size:
        raise InputError(f"expected a picture with pixels; got {image.width} x {image.height} of them. Leave it out.")
    if exif == "original":
        return _converted(image)
    if exif == "apply":
        image = _upright(image)
    if is_deep(image):
        return _converted(_scaled(image))
    return _on_white(image) if image.has_transparency_data else _converted(image)


def image_of(array: NDArray[np.uint8]) -> Image.Image:
    """Pixels [H, W, 3] as a Pillow image. `InputError` unless they are uint8 and of that shape."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"expected an array [H, W, 3] of uint8; got {list(array.shape)} of {array.dtype}. Convert it.")
    return Image.fromarray(np.ascontiguousarray(array))


def chosen_exif(given: str | None, learned: Exif, data: Exif = "apply") -> Exif:
    """How to open pictures for a prompt: as `given`, if that is not None.

    Else as its run was `learned`; but `data` of the papers as the original does, whatever was learned, and a user's own
    pictures upright where the papers' were learned, whose photos stand upright as they are stored.

    Raises:
        InputError: `given` is none of `EXIF`.
    """
    if given is not None:
        expect_choice("exif", given, EXIF)
        return EXIF[EXIF.index(given)]
    if data == "original":
        return data
    return "apply" if learned == "original" else learned


def is_deep(image: Image.Image) -> bool:
    """Whether an image has one channel of more than 8 bits."""
    return image.mode.startswith(("I", "F"))


def _converted(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    except Exception:  # EXIF data may be damaged in any way, and the pixels still be good
        turn = None
    return image if turn is None else image.transpose(turn)


def _on_white(image: Image.Image) -> Image.Image:
    picture, ground = image.convert("RGBA"), Image.new("RGB", image.size, "white")
    ground.paste(picture, mask=picture)
    return ground


def _scaled(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "iu" and low >= 0:
        low, high = 0.0, float(2 ** max(8, int(high).bit_length()) - 1)
    if not 0 < high - low < np.inf:
        raise InputError(
            f"expected finite values that differ, to be scaled to 0..255; got {low:g} to {high:g} (mode {image.mode}). "
            "Save it with 8 bits."
        )
    return Image.fromarray(np.rint((values - low) * (255 / (high - low))).astype(np.uint8))
