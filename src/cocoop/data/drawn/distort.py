"""The steps from a clean mask to the final picture: warping, colouring, and the spoiling of a bad camera."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Floats = npt.NDArray[np.float32]
CANVAS = 64  # side of a mask, in pixels
SIZE = 32  # side of a finished picture, in pixels
CELLS = 4  # the warp moves the corners of a CELLS x CELLS mesh


def warp(mask: Image.Image, rng: np.random.Generator, zoom: tuple[float, float], turn: float) -> Image.Image:
    """Shrinks by a factor within `zoom`, turns (sigma `turn`, radians), stretches, shears, shifts and bends a mask."""
    shrink, stretch = rng.uniform(*zoom), np.exp(rng.normal(0, 0.1))
    angle, shear = rng.normal(0, turn), rng.normal(0, 0.08)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = shrink * np.array([[cos, -sin + shear], [sin, cos]]) * np.array([stretch, 1 / stretch])
    room = max(0.0, 1 - 1 / shrink) * CANVAS / 2 * shrink
    nodes = np.linspace(0, CANVAS, CELLS + 1) - CANVAS / 2
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1) @ matrix.T
    grid += CANVAS / 2 + rng.uniform(-room - 2, room + 2, 2) + rng.normal(0, rng.uniform(0, 2.2), grid.shape)
    step = CANVAS // CELLS
    mesh = []
    for i in range(CELLS):
        for j in range(CELLS):
            corners = (grid[i, j], grid[i + 1, j], grid[i + 1, j + 1], grid[i, j + 1])
            quad = tuple(float(value) for corner in corners for value in corner)
            mesh.append(((j * step, i * step, (j + 1) * step, (i + 1) * step), quad))
    return mask.transform(mask.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def thicken(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Makes the strokes of some masks bolder or finer."""
    choice = rng.random()
    if choice < 0.15:
        return mask.filter(ImageFilter.MaxFilter(3))
    if choice < 0.25:
        return mask.filter(ImageFilter.MaxFilter(5))
    return mask.filter(ImageFilter.MinFilter(3)) if choice < 0.33 else mask


def shrink(mask: Image.Image) -> Floats:
    """A mask of `CANVAS` pixels as [SIZE, SIZE] coverage in 0..1."""
    return np.asarray(np.asarray(mask.reduce(CANVAS // SIZE), dtype=np.float32) / 255, dtype=np.float32)


def two_greys(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Ink and paper: light on dark as often as dark on light, with a contrast of at least 0.35."""
    contrast = rng.uniform(0.35, 1)
    low = rng.uniform(0, 1 - contrast)
    dark, light = np.full(3, low, np.float32), np.full(3, low + contrast, np.float32)
    return (light, dark) if rng.random() < 0.5 else (dark, light)


def two_colours(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Ink and paper in any two colours that differ enough to be told apart."""
    while True:
        ink, paper = rng.random(3, dtype=np.float32), rng.random(3, dtype=np.float32)
        if abs(float((ink - paper).mean())) > 0.2:
            return ink, paper


def background(colour: Floats, rng: np.random.Generator) -> Floats:
    """Paper of that colour, [SIZE, SIZE, 3]: even, with a gradient, or with soft blotches."""
    kind = rng.random()
    if kind < 0.5:
        light = np.zeros((SIZE, SIZE), dtype=np.float32)
    elif kind < 0.75:
        ramp = np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)
        light = rng.normal(0, 0.2) * ramp[None, :] + rng.normal(0, 0.2) * ramp[:, None]
    else:
        blotches = Image.fromarray(rng.normal(0, rng.uniform(0.02, 0.15), (6, 6)).astype(np.float32))
        light = np.asarray(blotches.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return np.asarray(colour + light[..., None], dtype=np.float32)


def spoil(
    picture: npt.NDArray[np.floating[Any]], rng: np.random.Generator, low_resolution: float
) -> npt.NDArray[np.uint8]:
    """Occlusion, low resolution (with that probability), blur, noise: [SIZE, SIZE, 3] floats become bytes."""
    if rng.random() < 0.12:
        x, y, width, height = rng.integers(0, SIZE), rng.integers(0, SIZE), *rng.integers(3, 11, 2)
        picture[y : y + height, x : x + width] = rng.random(3)
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    if rng.random() < low_resolution:
        side = int(rng.integers(8, 17))
        image = image.resize((side, side), Image.Resampling.BOX).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    elif rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    pixels = np.asarray(image)
    if rng.random() < 0.3:
        grain = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(2, 20)
        pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    return pixels
