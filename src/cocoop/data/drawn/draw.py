"""Finished pictures: a mask, warped, coloured, put on paper and spoiled."""

from functools import cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from cocoop.data.drawn import distort, shapes
from cocoop.data.drawn.distort import Floats


class Picture(NamedTuple):
    """A finished picture, all names that fit it (the usual one first), and where its figure is."""

    pixels: npt.NDArray[np.uint8]  # [32, 32, 3]
    names: tuple[str, ...]
    cover: Floats  # [32, 32], 0 for paper to 1 for figure, before anything was spoiled


def stream(family: str, split: str, seed: int, index: int) -> np.random.Generator:
    """The random numbers of one picture, seeded by all four arguments. `seed` and `index` are from 0."""
    return np.random.default_rng([crc32(family.encode()), crc32(split.encode()), seed, index])


def sign(names: tuple[str, ...], mask: Image.Image, rng: np.random.Generator, turn: float) -> Picture:
    """A letter, digit or pictograph on paper: a third plain grey and filling the frame, the rest anything."""
    plain = rng.random() < 0.35
    cover = distort.shrink(distort.warp(mask, rng, (0.95, 1.12) if plain else (0.95, 1.6), turn))
    ink, paper = distort.two_greys(rng) if plain or rng.random() < 0.4 else distort.two_colours(rng)
    behind = np.broadcast_to(paper, (distort.SIZE, distort.SIZE, 3)) if plain else distort.background(paper, rng)
    picture = behind + cover[..., None] * (ink - behind)
    return Picture(distort.spoil(picture, rng, low_resolution=0.6 if plain else 0.25), names, cover)


def shape(texture: str, colour: str, kind: str, paper: str, rng: np.random.Generator) -> Picture:
    """A coloured, textured shape on coloured paper, in one of three sizes."""
    mask = shapes.draw(kind)
    if texture == "hollow":
        mask = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(9)))
    size = ("small", "", "large")[rng.integers(3)]
    zoom = {"small": (1.7, 2.2), "": (1.15, 1.6), "large": (0.95, 1.05)}[size]
    cover = distort.shrink(distort.warp(mask, rng, zoom, turn=0.2))
    ink, behind = shapes.colour_near(colour, rng), distort.background(shapes.colour_near(paper, rng), rng)
    second = ink * 0.35 if ink.mean() > 0.5 else ink + 0.6 * (1 - ink)
    pattern = shapes.texture_map(texture, distort.SIZE, rng)[..., None]
    picture = behind + cover[..., None] * (ink + pattern * (second - ink) - behind)
    pixels = distort.spoil(picture, rng, low_resolution=0.1)
    return Picture(pixels, _shape_names(kind, texture, colour, size, paper), cover)


@cache
def _shape_names(kind: str, texture: str, colour: str, size: str, paper: str) -> tuple[str, ...]:
    """All true descriptions, from "striped red star" to "small striped red star on blue", and plain "star"."""
    textures = ("",) if texture == "plain" else (texture, "")
    sizes = (size, "") if size else ("",)
    words = [(s, t, c, kind, end) for s in sizes for t in textures for c in (colour, "") for end in ("", f"on {paper}")]
    names = [" ".join(word for word in parts if word) for parts in words]
    usual = shapes.usual_name(texture, colour, kind)
    return (usual, *(name for name in names if name != usual))
