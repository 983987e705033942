"""Real images: 1,797 handwritten digits of 8 x 8 pixels, from scikit-learn, without a download."""

from functools import cache
from pathlib import Path

from PIL import Image

from cocoop.data.examples import Example
from cocoop.data.split import random_split

DIGIT_COUNTS = {
    "zero": 178,
    "one": 182,
    "two": 177,
    "three": 183,
    "four": 181,
    "five": 182,
    "six": 181,
    "seven": 179,
    "eight": 174,
    "nine": 180,
}
"""Class name -> number of images, in the order of the labels 0..9."""

_SPLITS = {"train": 0.2, "val": 0.1, "test": 0.7}  # 16 shots need few, and figures on more images waver less


@cache
def digit_images() -> dict[str, list[Image.Image]]:
    """Class name -> its images, 8-bit grey, 8 x 8 pixels, in the order of the data.

    The grey value is round(255 x / 16) of the data's x in 0..16.
    Source: `sklearn.datasets.load_digits`, the test part of UCI's "Optical Recognition of Handwritten Digits"
    (Alpaydin and Kaynak, 1998).
    """
    from sklearn.datasets import load_digits  # takes a second to import

    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype("uint8")
    return {
        name: [Image.fromarray(image) for image in pixels[digits.target == label]]
        for label, name in enumerate(DIGIT_COUNTS)
    }


def digit_split() -> dict[str, list[tuple[str, int]]]:
    """Split -> (class name, position among the images of its class), drawn by `random_split` with seed 0."""
    everything = [
        Example(Path(str(position)), label, name)
        for label, (name, count) in enumerate(DIGIT_COUNTS.items())
        for position in range(count)
    ]
    train, val, test = _SPLITS.values()
    parts = random_split(everything, seed=0, fractions=(train, val, test))
    return {
        split: [(example.class_name, int(example.path.name)) for example in part]
        for split, part in zip(_SPLITS, parts, strict=True)
    }
