"""The pictures of miniatures: one shape in one colour per class, on a noisy ground."""

import colorsys
import io
import math
from random import Random

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 40, 32
LOOKS = 12
"""How many classes can be told apart."""

_CORNERS = ((3, 1.0), (4, 1.0), (5, 0.4), (6, 1.0), (4, 0.35), (24, 1.0))
"""Per shape: corners, and how far the dents between them lie from the middle (1.0: none)."""


def draw(look: int, seed: str) -> bytes:
    """A JPEG file, 40 x 32, of the class's shape: place, size, turn and ground depend on `seed` alone."""
    stream = Random(seed)
    noise = bytes(stream.randrange(90, 200) for _ in range(WIDTH * HEIGHT // 16))
    ground = Image.frombytes("L", (WIDTH // 4, HEIGHT // 4), noise)
    image = ground.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert("RGB")
    ImageDraw.Draw(image).polygon(_outline(look, stream), fill=_colour(look))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def _colour(look: int) -> tuple[int, int, int]:
    # Steps of 5 hues of 12: any few looks in a row differ clearly.
    red, green, blue = colorsys.hsv_to_rgb(look * 5 % LOOKS / LOOKS, 0.9, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _outline(look: int, stream: Random) -> list[tuple[float, float]]:
    corners, dent = _CORNERS[look % len(_CORNERS)]
    x, y = WIDTH / 2 + stream.uniform(-5, 5), HEIGHT / 2 + stream.uniform(-3, 3)
    radius, turn = stream.uniform(9, 13), stream.uniform(-0.4, 0.4)
    angles = [turn + math.pi * step / corners for step in range(2 * corners)]
    # Between two corners lies a dent; without one, the middle of a straight side.
    inner = dent if dent < 1 else math.cos(math.pi / corners)
    radii = [radius, inner * radius] * corners
    return [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
