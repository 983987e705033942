"""The one entry point for pictures: `render(family, split, seed, index)`, a pure function of its four arguments.

The random stream of a picture is seeded by all four, so "train", "validation" and "test" pictures are different
drawings by construction. In every split the classes of a family take turns: picture `index` shows class
`index % number of classes` (for "shapes" the class is the shape; its colour and texture are drawn).
"""

from functools import cache

import numpy as np

from cocoop.data.drawn import distort, draw, glyphs, shapes
from cocoop.data.drawn.draw import Picture

from . import strokes

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
FAMILIES = ("written digits", "printed digits", "written letters", "printed letters", "pictographs", "shapes")


@cache
def class_names(family: str) -> tuple[str, ...]:
    """The usual name of every class of a family, in the order in which they take turns."""
    if family.endswith("digits"):
        return DIGIT_NAMES
    if family.endswith("letters"):
        return tuple(f"{case} letter {c}" for case in ("capital", "small") for c in ALPHABET)
    return tuple(glyphs.pictographs()) if family == "pictographs" else tuple(shapes.SHAPES)


def render(family: str, split: str, seed: int, index: int) -> Picture:
    """Draws one picture. Raises ValueError if there is no such family."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: expected one of {', '.join(FAMILIES)}")
    rng = draw.stream(family, split, seed, index)
    label = index % len(class_names(family))
    if family == "shapes":
        return _shape(class_names(family)[label], split, rng)
    if family == "pictographs":
        name = class_names(family)[label]
        return draw.sign((name,), glyphs.draw(glyphs.pictographs()[name], rng), rng, turn=0.08)
    names, character, variants = _digit(label) if family.endswith("digits") else _letter(label)
    by_hand = family.startswith("written")
    mask = strokes.write(variants, rng) if by_hand else distort.thicken(glyphs.draw(character, rng), rng)
    return draw.sign(names, mask, rng, turn=0.1)


def _digit(label: int) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The names, the character and the skeletons of a digit."""
    word, sign = DIGIT_NAMES[label], str(label)
    names = (word, sign, *(f"{kind} {name}" for kind in ("digit", "number") for name in (word, sign)))
    return names, sign, strokes.DIGITS[sign]


def _letter(label: int) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The names, the character and the skeletons of a letter; 0-25 are capitals, 26-51 small letters."""
    letter, capital = ALPHABET[label % 26], label < 26
    case, other = ("capital", "uppercase") if capital else ("small", "lowercase")
    names = (f"{case} letter {letter}", f"letter {letter}", f"{case} {letter}", f"{other} letter {letter}")
    variants = strokes.CAPITALS[letter.upper()]
    if not capital:
        variants = strokes.SMALL.get(letter, variants)
    return names, letter.upper() if capital else letter, variants


def _shape(kind: str, split: str, rng: np.random.Generator) -> Picture:
    """A shape in a texture, colour and paper drawn at random. Training never sees the held-out combinations."""
    colours = tuple(shapes.COLOURS)
    while True:
        texture = shapes.TEXTURES[rng.integers(len(shapes.TEXTURES))]
        colour, paper = (colours[i] for i in rng.choice(len(colours), 2, replace=False))
        if split == "test" or not shapes.is_held_out(texture, colour, kind):
            return draw.shape(texture, colour, kind, paper, rng)
