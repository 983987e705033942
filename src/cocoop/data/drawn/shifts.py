"""The shifts between the pictures that are learned from and those of the shifted test sets.

Each function takes a picture and random numbers and returns new pixels [32, 32, 3]; the class stays what it was, for
colours as for outlines.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cocoop.data.drawn import shapes
from cocoop.data.drawn.distort import SIZE
from cocoop.data.drawn.draw import Picture

Pixels = npt.NDArray[np.uint8]

# Chosen so that the bundled CLIP loses a good part of its zero-shot accuracy, and not all.
SHADING = 0.4  # of a picture's colours, left between the lines of a sketch
NOISE_SIGMA = 45.0  # of 255
BLUR_RADIUS = 1.6  # pixels
TEXTURE_CONTRAST = 30.0  # of 255, between the two colours of the background


def sketch(picture: Picture, rng: np.random.Generator) -> Pixels:
    """Outlines: the picture's own colours along its edges and a pale shading elsewhere, as coloured pencils draw."""
    grey = np.asarray(Image.fromarray(picture.pixels).filter(ImageFilter.SMOOTH), dtype=np.float32)
    across, down = np.gradient(grey, axis=1), np.gradient(grey, axis=0)
    edge = np.hypot(across, down).max(axis=2)
    line = np.clip(2 * edge / max(float(edge.max()), 1.0) - 0.4, 0, 1)[..., None]
    return _bytes(255 + (SHADING + (1 - SHADING) * line) * (picture.pixels - 255.0))


def noise(picture: Picture, rng: np.random.Generator) -> Pixels:
    """Gaussian noise, independent in every pixel and channel."""
    return _bytes(picture.pixels + rng.normal(0, NOISE_SIGMA, picture.pixels.shape))


def blur(picture: Picture, rng: np.random.Generator) -> Pixels:
    """Out of focus: a Gaussian blur."""
    return np.asarray(Image.fromarray(picture.pixels).filter(ImageFilter.GaussianBlur(BLUR_RADIUS)))


def inverted(picture: Picture, rng: np.random.Generator) -> Pixels:
    """On one side of a line through the middle light becomes dark and dark light, and hues stay (red is still red)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    side = (x * np.cos(angle) + y * np.sin(angle) > 0)[..., None]
    pixels = picture.pixels.astype(np.int16)
    # Adding the same to all channels keeps hue and chroma; this much turns the lightness (max + min) / 2 around.
    turned = pixels + 255 - pixels.max(axis=2, keepdims=True) - pixels.min(axis=2, keepdims=True)
    return np.asarray(np.where(side, turned, pixels), dtype=np.uint8)


def texture(picture: Picture, rng: np.random.Generator) -> Pixels:
    """Stripes, dots or checks behind the figure, lighter or darker than the paper."""
    kind = ("striped", "dotted", "checkered")[rng.integers(3)]
    pattern = shapes.texture_map(kind, SIZE, rng) * (1 - picture.cover)
    sign = 1 if picture.pixels.mean() < 128 else -1
    return _bytes(picture.pixels + sign * TEXTURE_CONTRAST * pattern[..., None])


def _bytes(pixels: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(pixels), 0, 255), dtype=np.uint8)


SHIFT: dict[str, Callable[[Picture, np.random.Generator], Pixels]] = {
    "sketch": sketch,
    "noise": noise,
    "blur": blur,
    "inverted": inverted,
    "texture": texture,
}
"""Name -> its function."""
