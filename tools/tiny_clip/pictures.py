"""The one entry point for pictures: `render(family, split, seed, index)`, a pure function of its four arguments.

The random stream of a picture is seeded by all four, so "train", "validation" and "test" pictures are different
drawings by construction. In every split the classes of a family take turns: picture `index` shows class
`index % number of classes` (for "shapes" the class is the shape; its colour and texture are drawn).
"""

from functools import cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from . import distort, glyphs, shapes, strokes

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
FAMILIES = ("written digits", "printed digits", "written letters", "printed letters", "pictographs", "shapes")


class Picture(NamedTuple):
    """A finished picture and everything that it may rightly be called, the usual name first."""

    pixels: npt.NDArray[np.uint8]  # [32, 32, 3]
    names: tuple[str, ...]


def stream(family: str, split: str, seed: int, index: int) -> np.random.Generator:
    """The random numbers of one picture. No two (family, split, seed, index) share a stream."""
    return np.random.default_rng([crc32(family.encode()), crc32(split.encode()), seed, index])


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
    rng = stream(family, split, seed, index)
    label = index % len(class_names(family))
    if family == "shapes":
        return _shape(class_names(family)[label], split, rng)
    if family == "pictographs":
        name = class_names(family)[label]
        return Picture(_sign(glyphs.draw(glyphs.pictographs()[name], rng), rng, turn=0.08), (name,))
    names, character, variants = _digit(label) if family.endswith("digits") else _letter(label)
    by_hand = family.startswith("written")
    mask = strokes.write(variants, rng) if by_hand else distort.thicken(glyphs.draw(character, rng), rng)
    return Picture(_sign(mask, rng, turn=0.1), names)


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


def _sign(mask: Image.Image, rng: np.random.Generator, turn: float) -> npt.NDArray[np.uint8]:
    """A letter, digit or pictograph on paper: a third plain grey and filling the frame, the rest anything."""
    plain = rng.random() < 0.35
    cover = distort.shrink(distort.warp(mask, rng, (0.95, 1.12) if plain else (0.95, 1.6), turn))
    ink, paper = distort.two_greys(rng) if plain or rng.random() < 0.4 else distort.two_colours(rng)
    behind = np.broadcast_to(paper, (distort.SIZE, distort.SIZE, 3)) if plain else distort.background(paper, rng)
    picture = behind + cover[..., None] * (ink - behind)
    return distort.spoil(picture, rng, low_resolution=0.6 if plain else 0.25)


def _shape(shape: str, split: str, rng: np.random.Generator) -> Picture:
    """A coloured, textured shape. Training never sees the held-out combinations."""
    colours = tuple(shapes.COLOURS)
    while True:
        texture = shapes.TEXTURES[rng.integers(len(shapes.TEXTURES))]
        colour, paper = (colours[i] for i in rng.choice(len(colours), 2, replace=False))
        if split == "test" or not shapes.is_held_out(texture, colour, shape):
            break
    mask = shapes.draw(shape)
    if texture == "hollow":
        mask = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(9)))
    size = ("small", "", "large")[rng.integers(3)]
    zoom = {"small": (1.7, 2.2), "": (1.15, 1.6), "large": (0.95, 1.05)}[size]
    cover = distort.shrink(distort.warp(mask, rng, zoom, turn=0.2))
    ink, behind = distort.colour_near(colour, rng), distort.background(distort.colour_near(paper, rng), rng)
    second = ink * 0.35 if ink.mean() > 0.5 else ink + 0.6 * (1 - ink)
    pattern = shapes.texture_map(texture, distort.SIZE, rng)[..., None]
    picture = behind + cover[..., None] * (ink + pattern * (second - ink) - behind)
    pixels = distort.spoil(picture, rng, low_resolution=0.1)
    return Picture(pixels, _shape_names(shape, texture, colour, size, paper))


@cache
def _shape_names(shape: str, texture: str, colour: str, size: str, paper: str) -> tuple[str, ...]:
    """All true descriptions, from "striped red star" to "small striped red star on blue", and plain "star"."""
    textures = ("",) if texture == "plain" else (texture, "")
    sizes = (size, "") if size else ("",)
    words = [
        (s, t, c, shape, end) for s in sizes for t in textures for c in (colour, "") for end in ("", f"on {paper}")
    ]
    names = [" ".join(word for word in parts if word) for parts in words]
    usual = " ".join(word for word in (textures[0], colour, shape) if word)
    return (usual, *(name for name in names if name != usual))
