"""Read one of the fifteen data sets of the papers from its original layout on the disk."""

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from cocoop.data.dataset import Dataset
from cocoop.data.examples import class_names
from cocoop.data.papers.raw import RawData
from cocoop.data.papers.raw.aircraft import read_fgvc_aircraft
from cocoop.data.papers.raw.cars import read_stanford_cars
from cocoop.data.papers.raw.flowers import read_oxford_flowers
from cocoop.data.papers.raw.folders import read_caltech101, read_eurosat, read_plain_folders
from cocoop.data.papers.raw.imagenet import read_imagenet, read_imagenet_variant, read_imagenetv2
from cocoop.data.papers.raw.pets import read_oxford_pets
from cocoop.data.papers.raw.sun397 import read_sun397
from cocoop.data.papers.raw.text import at
from cocoop.data.papers.raw.ucf101 import read_ucf101
from cocoop.data.papers.table import PAPER_DATASETS, PaperDataset
from cocoop.data.split import read_split_json
from cocoop.errors import InputError, expect_choice

RAW_READERS: dict[str, Callable[[Path, Path], RawData]] = {
    "imagenet": read_imagenet,
    "caltech101": read_caltech101,
    "oxford_pets": read_oxford_pets,
    "stanford_cars": read_stanford_cars,
    "oxford_flowers": read_oxford_flowers,
    "food101": read_plain_folders,
    "fgvc_aircraft": read_fgvc_aircraft,
    "sun397": read_sun397,
    "dtd": read_plain_folders,
    "eurosat": read_eurosat,
    "ucf101": read_ucf101,
    "imagenetv2": read_imagenetv2,
    "imagenet_sketch": read_imagenet_variant,
    "imagenet_a": read_imagenet_variant,
    "imagenet_r": read_imagenet_variant,
}
"""Name -> reader of the raw layout; it takes the data set's folder and its image folder."""


def read_paper_dataset(name: str, root: str | PathLike[str]) -> Dataset:
    """Read the data set `name` of `PAPER_DATASETS` below the data root `root`; nothing is written, no image opened.

    The split_zhou file is read where there is one: its paths, labels and names as they are. Otherwise the raw
    annotations are; where they have no split, or none with val, one is drawn at random from a fixed seed and
    `split_made` is set. Files of the class folders come in plain string order, where the original takes the file
    system's: so ImageNet's few-shot picks are those of a sorted listing. Images are not looked for one by one.

    ImageNet's `val` is its `test`, one and the same list; its four variants have `test` only.

    `InputError` for an unknown name, a root that does not hold the data set, and folders or annotations that are
    missing or of another form; it names the place.
    Source: CoOp:datasets/*.py @ ff61507c.
    """
    expect_choice("data set", name, PAPER_DATASETS)
    row = PAPER_DATASETS[name]
    try:
        return _read(name, row, Path(root))
    except InputError as error:
        raise InputError(
            f"{error} See `cocoop datasets show {name}` for the layout and `cocoop datasets check {name} --data-root "
            "DIR` for what is missing."
        ) from error


def _read(name: str, row: PaperDataset, root: Path) -> Dataset:
    base = _dataset_folder(row, root)
    images = base / row.images
    # A broken link to a split file counts as one: better an error than another split than the user's.
    if row.split_file and os.path.lexists(base / row.split_file):
        split_made = False
        splits, names = _read_split_file(base / row.split_file, images)
    else:
        split_made = row.split_file is not None
        splits, names = RAW_READERS[name](base, images)
    used = {example.label for split in splits for example in split}
    unused = [class_name for label, class_name in enumerate(names) if label not in used]
    if unused:
        raise InputError(
            f"{base}: expected images of all {len(names)} classes; got none of {len(unused)}, first {unused[0]!r}."
        )
    return Dataset(name, *splits, names, row.template, images, split_made, exif="original")


def _read_split_file(path: Path, images: Path) -> RawData:
    splits = read_split_json(path, images)
    with at(path):
        return splits, class_names([example for split in splits for example in split])


def _dataset_folder(row: PaperDataset, root: Path) -> Path:
    """`root/<folder>`, or an error that says what is wrong with the root."""
    expected = f"{root}: expected the data root, which holds the folder {row.folder} of {row.title}"
    if not os.path.isdir(root):
        raise InputError(f"{expected}; got {'a file' if os.path.exists(root) else 'no such folder'}. Check the path.")
    if os.path.isdir(root / row.folder):
        return root / row.folder
    if _is_the_dataset(row, root):
        raise InputError(
            f"{expected}; got what looks like that folder itself. Give the folder above it, {root.absolute().parent}, "
            f"in which it has to be called {row.folder}."
        )
    raise InputError(f"{expected}; it holds no such folder. Give another root, or get {row.title}: {row.homepage}")


def _is_the_dataset(row: PaperDataset, root: Path) -> bool:
    marks = [mark for mark in (row.split_file, row.images) if mark]
    return root.absolute().name == row.folder or any(os.path.exists(root / mark) for mark in marks)
