"""The pictures of the offline data sets `pictographs` and `shapes`, and of their shifted variants.

Data set, split, class and number decide a picture. The streams of random numbers are named
"benchmark-train", "benchmark-val" and "benchmark-test"; the bundled CLIP learned from streams named "train".
"""

from functools import cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cocoop.data.drawn import draw, glyphs, shapes
from cocoop.data.drawn.draw import Picture
from cocoop.data.drawn.shifts import SHIFT
from cocoop.data.drawn.signs import SIGNS


@cache
def combinations() -> dict[str, tuple[str, str, str]]:
    """The classes of `shapes`, by name: (texture, colour, shape) of every combination that training never showed."""
    known = ((t, c, s) for t in shapes.TEXTURES for c in shapes.COLOURS for s in shapes.SHAPES)
    return dict(sorted((shapes.usual_name(*parts), parts) for parts in known if shapes.is_held_out(*parts)))


def names(family: str) -> tuple[str, ...]:
    """The K class names of "pictographs" or "shapes", by label: in alphabetical order."""
    return tuple(SIGNS) if family == "pictographs" else tuple(combinations())


def picture(family: str, split: str, name: str, number: int) -> Picture:
    """Picture `number`, from 0, of a class. The split is train, val or test."""
    # Seeded by the name, not the label: a class keeps its pictures when others come or go.
    rng = draw.stream(family, f"benchmark-{split}", crc32(name.encode()), number)
    if family == "pictographs":
        return draw.sign((name,), glyphs.draw(SIGNS[name], rng), rng, turn=0.08)
    texture, colour, kind = combinations()[name]
    papers = [paper for paper in shapes.COLOURS if paper != colour]
    return draw.shape(texture, colour, kind, papers[rng.integers(len(papers))], rng)


def shifted(family: str, shift: str, name: str, number: int) -> npt.NDArray[np.uint8]:
    """Test picture `number` of a class, shifted: [32, 32, 3]."""
    rng = draw.stream(f"{family} {shift}", "benchmark-test", crc32(name.encode()), number)
    return SHIFT[shift](picture(family, "test", name, number), rng)
