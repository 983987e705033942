"""`write_miniature`: a small data set in the layout of a large one."""

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from cocoop.atomic import whole_folder
from cocoop.data.papers.miniature import annotated, folders, imagenet
from cocoop.data.papers.miniature.drawing import draw
from cocoop.data.papers.miniature.layout import Miniature, split_json
from cocoop.data.papers.table import PAPER_DATASETS
from cocoop.errors import InputError, expect_choice

MIN_IMAGES = 4
"""Fewer cannot give one image each for train, val and test."""

MAKERS: dict[str, Callable[[int], Miniature]] = {
    "imagenet": imagenet.imagenet,
    "caltech101": folders.caltech101,
    "oxford_pets": annotated.oxford_pets,
    "stanford_cars": annotated.stanford_cars,
    "oxford_flowers": annotated.oxford_flowers,
    "food101": folders.food101,
    "fgvc_aircraft": annotated.fgvc_aircraft,
    "sun397": annotated.sun397,
    "dtd": folders.dtd,
    "eurosat": folders.eurosat,
    "ucf101": annotated.ucf101,
    "imagenetv2": imagenet.imagenetv2,
    "imagenet_sketch": imagenet.imagenet_sketch,
    "imagenet_a": imagenet.imagenet_a,
    "imagenet_r": imagenet.imagenet_r,
}
"""Name -> function that makes its miniature in memory, from the number of images per class."""


def write_miniature(name: str, root: str | PathLike[str], images: int = 12, split_file: bool = False) -> Path:
    """Write a miniature of one of the fifteen data sets below the data root `root`; return its folder.

    It has the folders, annotation files and file names of the original, 4 to 12 of its classes, and drawings of 40 x 32
    pixels: one shape in one colour per class. The same arguments give the same bytes. The folder appears whole or not
    at all.

    Args:
        name: a key of `PAPER_DATASETS`.
        root: the data root; made where missing.
        images: per class, 4 or more: about 50 % to train, 20 % to validate, 30 % to test on. The variants of ImageNet
            have the last part only.
        split_file: also write the split file, with a split of its own, where the original has one.

    Raises:
        InputError: an unknown name, too few images, or a folder that is there already: nothing is overwritten.
        RunError: the disk refuses.
    """
    expect_choice("data set", name, PAPER_DATASETS)
    if images < MIN_IMAGES:
        raise InputError(f"images: expected {MIN_IMAGES} or more per class, to train, validate and test; got {images}.")
    row = PAPER_DATASETS[name]
    target = Path(root) / row.folder
    if os.path.lexists(target):
        raise InputError(f"{target}: expected no such folder, because data are never overwritten. Give another root.")
    miniature = MAKERS[name](images)
    contents = dict(miniature.files)
    if split_file and row.split_file:
        contents[row.split_file] = split_json(miniature.classes)
    for path, look in miniature.looks.items():
        contents[f"{row.images}/{path}".lstrip("/")] = draw(look, f"{name}/{path}")
    with whole_folder(target, "a folder of small images") as folder:
        for path, content in contents.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return target
