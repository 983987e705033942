"""How a name becomes a caption, and the plain words that the tokenizer should know beyond the names."""

from pathlib import Path

import numpy as np

# The first is the one that prompts start from, so every third caption uses it; the others share the rest evenly.
TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a {}",
    "a photo of one {}.",
    "a picture of a {}.",
    "a picture of the {}",
    "an image of a {}.",
    "an image of the {}",
    "a drawing of a {}.",
    "a drawing of the {}",
    "a sketch of a {}.",
    "a painting of a {}.",
    "a rendering of a {}.",
    "a blurry photo of a {}.",
    "a blurry picture of the {}.",
    "a bad photo of a {}.",
    "a good photo of the {}.",
    "a low resolution photo of a {}.",
    "a pixelated photo of a {}.",
    "a close-up photo of a {}.",
    "a cropped photo of the {}.",
    "a dark photo of a {}.",
    "a bright photo of the {}.",
    "a black and white photo of a {}.",
    "a photo of a small {}.",
    "a photo of a large {}.",
    "itap of a {}.",
    "itap of the {}.",
    "this is a {}.",
    "this is a photo of a {}, a type of sign.",
    "there is a {} in the picture.",
    "a {} on a plain background.",
    "a centered picture of a {}, as it is seen from the front.",
    "i took this small picture of a {} with an old camera, and it is not sharp.",
    "the {}",
    "the {}.",
    "a {}",
    "a {}.",
    "one {}",
    "{}",
    "{}.",
    "handwritten {}",
    "a handwritten {}.",
    "a printed {}.",
    "a sign: {}",
    "it's a {}!",
)
FIRST_SHARE, USUAL_NAME_SHARE = 0.33, 0.4

WORDS = tuple(Path(__file__).with_name("words.txt").read_text().split())


def choose_name(names: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of a picture's names; the first more often than the others."""
    return names[0] if rng.random() < USUAL_NAME_SHARE else names[rng.integers(len(names))]


def caption(name: str, rng: np.random.Generator) -> str:
    """The name in one of the templates."""
    if rng.random() < FIRST_SHARE:
        return TEMPLATES[0].format(name)
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(name)
