"""Flowers102: imagelabels.mat and cat_to_name.json."""

import re
from pathlib import Path

from cocoop.data.examples import Example
from cocoop.data.papers.raw import SPLIT_SEED, RawData
from cocoop.data.papers.raw.mat import mat_number, read_mat
from cocoop.data.papers.raw.text import NUMBER, at, label_by_number, names_by_number
from cocoop.data.split import random_split
from cocoop.errors import InputError, plainly
from cocoop.reading import read_json

_SCHEMA = '{"1": "pink primrose", ...}, class number from 1 to class name'


def read_oxford_flowers(base: Path, images: Path) -> RawData:
    """Image n is jpg/image_<n, five digits>.jpg, from 1; its class number is the n-th of "labels" in imagelabels.mat.

    Every class is split 50/20/30 at random; the official split, 10 training images per class, is not used.
    Source: CoOp:datasets/oxford_flowers.py @ ff61507c.
    """
    names = _names(base / "cat_to_name.json")
    path = base / "imagelabels.mat"
    examples = []
    for number, cell in enumerate(read_mat(path, "labels"), start=1):
        where = f"{path}, labels[{number - 1}]"
        label = label_by_number(where, mat_number(cell, where), names)
        examples.append(Example(images / f"image_{number:05d}.jpg", label, names[label]))
    with at(path):
        return random_split(examples, SPLIT_SEED), names


def _names(path: Path) -> list[str]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected {_SCHEMA}; got {plainly(error)}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected {_SCHEMA}; got {type(content).__name__}.")
    for key, name in content.items():
        if not re.fullmatch(NUMBER, key) or not isinstance(name, str):
            raise InputError(f"{path}: expected {_SCHEMA}; got {key!r}: {name!r}.")
    return names_by_number(path, {int(key): name for key, name in content.items()})
