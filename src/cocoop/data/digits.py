"""Real images: 1,797 handwritten digits of 8 x 8 pixels, from scikit-learn, without a download."""

import os
from functools import cache
from os import PathLike
from pathlib import Path

from PIL import Image

from cocoop.data.examples import Example
from cocoop.data.split import random_split
from cocoop.errors import RunError

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


def write_digits(root: str | PathLike[str]) -> Path:
    """Write the digits as PNG files `<root>/<class name>/<000..>.png`, see `digit_images`; return `root` as a Path.

    Existing files are replaced one by one, each at once, so a reader never meets half an image. `RunError` where the
    disk refuses.
    """
    root = Path(root)
    try:
        for name, images in digit_images().items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for path, image in zip(_files(root, name), images, strict=True):
                _save(image, path)
    except OSError as error:
        raise RunError(f"{root}: expected a folder to write 1,797 small images into; got {error}.") from error
    return root


def read_digits(root: str | PathLike[str]) -> list[Example]:
    """List the 1,797 digits below `root`, ordered by label 0..9; writes them first where any is missing.

    The class names are "zero".."nine" with the labels 0..9: not the alphabetical labels that `read_folder`
    would give, so that base is 0-4 and new 5-9 under `base_to_new`. Other files are left alone.
    """
    root = Path(root)
    examples = [Example(path, label, name) for label, name in enumerate(DIGIT_COUNTS) for path in _files(root, name)]
    if not all(example.path.is_file() for example in examples):
        write_digits(root)
    return examples


def _files(root: Path, name: str) -> list[Path]:
    return [root / name / f"{number:03d}.png" for number in range(DIGIT_COUNTS[name])]


def _save(image: Image.Image, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    image.save(temporary, format="PNG")
    os.replace(temporary, path)
