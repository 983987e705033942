"""Pictures of every mode, depth and transparency, and what the model has to see of them, a row each."""

import numpy as np
from PIL import Image

GREY = np.array([[0, 40, 100], [128, 200, 255]], dtype=np.uint8)
"""A scan at 8 bits; below it is stored in other ways."""

COLOURS = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
ALPHA = np.array([[0, 255, 128], [64, 255, 0]], dtype=np.uint8)
ON_WHITE = 255 + (COLOURS - 255.0) * ALPHA[..., None] / 255
GREY_ON_WHITE = 255 + (GREY - 255.0) * ALPHA / 255


def array(values, dtype):
    return Image.fromarray(np.asarray(values).astype(dtype))


def grey_and_alpha(mode="LA"):
    image = array(GREY, np.uint8).convert("P" if mode == "PA" else "L").convert(mode)
    image.putalpha(array(ALPHA, np.uint8))
    return image


def palette(transparency=None):
    """The pixels are numbers into a palette; number 1 may be transparent, or each of them a little."""
    image = array([[0, 1, 2], [2, 1, 0]], np.uint8).copy()
    image.putpalette([*COLOURS[0].ravel()])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


PALETTE = COLOURS[0][[[0, 1, 2], [2, 1, 0]]].astype(float)
WITHOUT_1 = np.where(np.array([[0, 1, 0], [0, 1, 0]], bool)[..., None], 255, PALETTE)
PALETTE_ALPHA = np.array([0, 128, 255])[[[0, 1, 2], [2, 1, 0]]][..., None]
PALETTE_ON_WHITE = 255 + (PALETTE - 255) * PALETTE_ALPHA / 255


def with_info(image, **info):
    image.info.update(info)
    return image


INKS = np.random.default_rng(1).integers(0, 256, (2, 3, 4), dtype=np.uint8)
PAPER = (255 - INKS[..., :3].astype(float)) * (255 - INKS[..., 3:]) / 255

SIGNED = np.array([[-100, -40, 0], [20, 50, 100]])

MODES = [
    # Name, file, image, what comes out (grey stands for three equal channels), how far off it may be.
    ("RGB", "x.png", array(COLOURS, np.uint8), COLOURS, 0),
    ("grey", "x.png", array(GREY, np.uint8), GREY, 0),
    ("black and white", "x.png", array(GREY > 100, bool), (GREY > 100) * 255, 0),
    ("palette", "x.png", palette(), PALETTE, 0),
    ("palette, GIF", "x.gif", palette(), PALETTE, 0),
    ("CMYK", "x.tif", Image.fromarray(INKS, "CMYK"), PAPER, 1),
    ("16 bits, PNG", "x.png", array(GREY * 257.0, np.uint16), GREY, 0),
    ("16 bits, TIFF", "x.tif", array(GREY * 257.0, np.uint16), GREY, 0),
    ("16 bits, big end first", "x.tif", array(GREY * 257.0, ">u2"), GREY, 0),
    ("16 bits, not whole steps", "x.png", array(GREY * 257.0 + [0, 100, -100], np.uint16), GREY, 0),
    ("16 bits, dark", "x.png", array(GREY * 128.5, np.uint16), GREY * 128.5 * 255 / 32767, 0.5),
    ("12 bits of 16", "x.png", array(GREY / 255 * 4095, np.uint16), GREY, 0.5),
    ("8 bits of 16", "x.png", array(GREY, np.uint16), GREY, 0),
    ("16 bits, black", "x.png", array(GREY * 0, np.uint16), GREY * 0, 0),
    ("mode I, 8 bits", "x.tif", array(GREY, np.int32), GREY, 0),
    ("mode I, 16 bits", "x.tif", array(GREY * 257.0, np.int32), GREY, 0),
    ("mode I, 31 bits", "x.tif", array(GREY / 255 * (2**31 - 1), np.int32), GREY, 0),
    ("mode I, negative", "x.tif", array(SIGNED, np.int32), (SIGNED + 100) * 255 / 200, 0.5),
    ("float, 0 to 1", "x.tif", array(GREY / 255, np.float32), GREY, 0),
    ("float, 0 to 255", "x.tif", array(GREY, np.float32), GREY, 0),
    ("float, its own range", "x.tif", array(SIGNED / 7, np.float32), (SIGNED + 100) * 255 / 200, 0.5),
    ("float, huge", "x.tif", array(SIGNED * 1e36, np.float32), (SIGNED + 100) * 255 / 200, 0.5),
    ("RGBA", "x.png", Image.fromarray(np.dstack([COLOURS, ALPHA])), ON_WHITE, 1),
    ("RGBA, WebP", "x.webp", Image.fromarray(np.dstack([COLOURS, ALPHA])), ON_WHITE, 1),
    ("RGBA, TIFF", "x.tif", Image.fromarray(np.dstack([COLOURS, ALPHA])), ON_WHITE, 1),
    ("RGBA, opaque", "x.png", Image.fromarray(np.dstack([COLOURS, ALPHA * 0 + 255])), COLOURS, 0),
    ("grey and alpha", "x.png", grey_and_alpha(), GREY_ON_WHITE, 1),
    ("grey and alpha, TIFF", "x.tif", grey_and_alpha(), GREY_ON_WHITE, 1),
    ("palette and alpha", "x.tif", grey_and_alpha("PA"), GREY_ON_WHITE, 1),
    ("palette, one transparent", "x.png", palette(1), WITHOUT_1, 0),
    ("palette, one transparent, GIF", "x.gif", palette(1), WITHOUT_1, 0),
    ("palette, each a little", "x.png", palette(bytes([0, 128, 255])), PALETTE_ON_WHITE, 1),
    ("grey, one transparent", "x.png", with_info(array(GREY, np.uint8), transparency=40),
     np.where(GREY == 40, 255, GREY), 0),
    ("RGB, one transparent", "x.png", with_info(array(COLOURS, np.uint8), transparency=(*map(int, COLOURS[0, 0]),)),
     np.where((COLOURS[0, 0] == COLOURS).all(-1)[..., None], 255, COLOURS), 0),
]  # fmt: skip


def save(image, path):
    """Write a picture with its transparency, and without a loss."""
    transparency = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    options = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    image.save(path, **transparency, **options)
