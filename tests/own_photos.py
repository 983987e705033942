"""A user's folder of images for the tests: a few of scikit-learn's handwritten digits, as files and in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

CLASSES = ["one", "seven", "three"]
"""In the order that both `read_folder` and scikit-learn sort them."""

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def digit_images(name: str, count: int) -> list[Image.Image]:
    digits = load_digits()
    pixels = (digits.images[digits.target == DIGITS.index(name)][:count] * 255 / 16).round().astype(np.uint8)
    return [Image.fromarray(image) for image in pixels]


def write_photos(root: Path, count: int = 6, names: list[str] = CLASSES) -> Path:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(digit_images(name, count)):
            image.save(root / name / f"{number}.png")
    return root


def labelled(count: int = 6, names: list[str] = CLASSES) -> tuple[list[Image.Image], list[str]]:
    images = [image for name in names for image in digit_images(name, count)]
    return images, [name for name in names for _ in range(count)]


def listing(root: Path) -> dict[str, bytes | None]:
    """Everything below `root`, hidden files too, with its content."""
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}
