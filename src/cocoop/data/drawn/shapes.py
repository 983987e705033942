"""Coloured and textured shapes, and the rule that keeps a tenth of the combinations out of training."""

from functools import cache
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw

from cocoop.data.drawn.distort import CANVAS, Floats

Polygon = list[tuple[float, float]]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 35),
    "orange": (245, 135, 25),
    "yellow": (240, 220, 40),
    "green": (45, 160, 60),
    "cyan": (50, 205, 215),
    "blue": (40, 75, 210),
    "purple": (130, 50, 165),
    "pink": (245, 135, 190),
    "brown": (125, 75, 35),
    "gray": (130, 130, 130),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
}
TEXTURES = ("plain", "striped", "dotted", "checkered", "hollow")


def _regular(corners: int, turn: float = 0.0, x: float = 0, y: float = 0, r: float = 1, flat: float = 1) -> Polygon:
    """A regular polygon around (x, y), the first corner up; `flat` squeezes its height."""
    angles = [2 * np.pi * (i + turn) / corners for i in range(corners)]
    return [(x + r * float(np.sin(a)), y - r * flat * float(np.cos(a))) for a in angles]


def _star(points: int, inner: float) -> Polygon:
    outer, inside = _regular(points), _regular(points, 0.5, r=inner)
    return [corner for pair in zip(outer, inside, strict=True) for corner in pair]


def _disc(x: float = 0, y: float = 0, r: float = 1, flat: float = 1) -> Polygon:
    return _regular(40, x=x, y=y, r=r, flat=flat)


def _box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _petals() -> list[tuple[int, Polygon]]:
    return [(1, _disc(x, y, 0.45)) for x, y in _regular(6, r=0.55)]


def _heart() -> Polygon:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(float(a), float(b)) for a, b in zip(np.sin(t) ** 3, -y / 16, strict=True)]


# In the square from -1 to 1, y down. Each part is (ink, polygon); ink 0 cuts a hole into what came before.
SHAPES: dict[str, list[tuple[int, Polygon]]] = {
    "circle": [(1, _disc())],
    "oval": [(1, _disc(flat=0.6))],
    "square": [(1, _box(-0.85, -0.85, 0.85, 0.85))],
    "rectangle": [(1, _box(-1, -0.5, 1, 0.5))],
    "triangle": [(1, [(0, -0.9), (1, 0.85), (-1, 0.85)])],
    "diamond": [(1, [(0, -1), (0.7, 0), (0, 1), (-0.7, 0)])],
    "pentagon": [(1, _regular(5))],
    "hexagon": [(1, _regular(6))],
    "trapezoid": [(1, [(-0.5, -0.6), (0.5, -0.6), (1, 0.6), (-1, 0.6)])],
    "parallelogram": [(1, [(-0.4, -0.6), (1, -0.6), (0.4, 0.6), (-1, 0.6)])],
    "semicircle": [(1, _disc(y=0.5)), (0, _box(-1.1, 0.5, 1.1, 1.6))],
    "star": [(1, _star(5, 0.42))],
    "burst": [(1, _star(12, 0.65))],
    "heart": [(1, _heart())],
    "cross": [(1, _box(-0.33, -1, 0.33, 1)), (1, _box(-1, -0.33, 1, 0.33))],
    "ring": [(1, _disc()), (0, _disc(r=0.55))],
    "frame": [(1, _box(-0.9, -0.9, 0.9, 0.9)), (0, _box(-0.45, -0.45, 0.45, 0.45))],
    "crescent": [(1, _disc()), (0, _disc(x=0.5, y=-0.15, r=0.85))],
    "arrow": [(1, _box(-1, -0.25, 0.2, 0.25)), (1, [(0.1, -0.8), (1, 0), (0.1, 0.8)])],
    "drop": [(1, _disc(y=0.35, r=0.65)), (1, [(0, -1), (0.58, 0.06), (-0.58, 0.06)])],
    "flower": [*_petals(), (0, _disc(r=0.22))],
    "cloud": [
        (1, _disc(-0.5, 0.2, 0.45)),
        (1, _disc(0.05, -0.1, 0.55)),
        (1, _disc(0.55, 0.25, 0.4)),
        (1, _box(-0.5, 0.2, 0.55, 0.65)),
    ],
    "lightning bolt": [(1, [(0.2, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1), (0.6, -0.25), (0.05, -0.25)])],
    "house": [
        (1, [(0, -1), (1, -0.1), (-1, -0.1)]),
        (1, _box(-0.75, -0.1, 0.75, 0.9)),
        (0, _box(-0.2, 0.3, 0.2, 0.95)),
    ],
    "tree": [(1, [(0, -1), (0.75, 0.5), (-0.75, 0.5)]), (1, _box(-0.17, 0.5, 0.17, 1))],
    "fish": [
        (1, _disc(x=-0.2, r=0.78, flat=0.6)),
        (1, [(0.4, 0), (1, -0.5), (1, 0.5)]),
        (0, _disc(-0.6, -0.1, 0.1)),
    ],
    "boat": [(1, [(-1, 0.3), (1, 0.3), (0.6, 0.9), (-0.6, 0.9)]), (1, [(0, -1), (0.65, 0.2), (0, 0.2)])],
    "mushroom": [
        (1, _disc(y=0.1, r=0.95)),
        (0, _box(-1.1, 0.15, 1.1, 1.2)),
        (1, _box(-0.28, 0.1, 0.28, 0.95)),
    ],
}


def usual_name(texture: str, colour: str, shape: str) -> str:
    """The name of a combination: "striped red star", and just "red star" where it is plain."""
    return f"{colour} {shape}" if texture == "plain" else f"{texture} {colour} {shape}"


def is_held_out(texture: str, colour: str, shape: str) -> bool:
    """Whether this combination is kept out of training: about one in ten, by a hash of its name."""
    return crc32(f"{texture} {colour} {shape}".encode()) % 10 == 0


def colour_near(name: str, rng: np.random.Generator) -> Floats:
    """A colour that still deserves the name, RGB in 0..1."""
    return np.asarray(np.clip(np.array(COLOURS[name]) + rng.normal(0, 14, 3), 0, 255) / 255, dtype=np.float32)


@cache
def draw(shape: str) -> Image.Image:
    """The shape as a white-on-black mask of `CANVAS` pixels, touching its frame."""
    mask = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(mask)
    for ink, polygon in SHAPES[shape]:
        pen.polygon([(CANVAS / 2 + 31 * x, CANVAS / 2 + 31 * y) for x, y in polygon], fill=255 * ink)
    return mask


def texture_map(texture: str, size: int, rng: np.random.Generator) -> Floats:
    """How much of the second colour there is at every pixel, [size, size] in 0..1."""
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(4.5, 8), rng.uniform(0, 6)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    u = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle) + phase) / period
    v = 2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / period
    if texture == "striped":
        wave = np.sin(u)
    elif texture == "dotted":
        wave = np.sin(u) + np.sin(v) - 0.9
    elif texture == "checkered":
        wave = 2 * np.sin(u / 1.4) * np.sin(v / 1.4)
    else:
        return np.zeros((size, size), dtype=np.float32)
    return np.asarray(np.clip(0.5 + 2 * wave, 0, 1), dtype=np.float32)
