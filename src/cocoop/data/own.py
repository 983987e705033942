"""What all of a user's own data have in common: names of splits, numbers of classes, one `Dataset` in the end."""

import os
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

from PIL import Image

from cocoop.class_names import check_class_names, composed
from cocoop.data.dataset import Dataset
from cocoop.data.examples import Example
from cocoop.data.split import Splits, split_hash
from cocoop.errors import InputError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""How users call the splits, lower case -> "train", "val" or "test"."""

OWN_TEMPLATE = "a photo of a {}."
"""The zero-shot prompt of data that bring none."""

T = TypeVar("T")


def by_split(where: object, named: Mapping[str, T]) -> dict[str, T]:
    """Rename splits to "train", "val" and "test"; case does not count, other names are left out.

    Raises:
        InputError: two names for one split. `where` says whose they are.
    """
    spellings: dict[str, str] = {}
    for name in named:
        split = SPLIT_NAMES.get(name.lower())
        if split in spellings:
            raise InputError(
                f"{where}: expected one split of each kind; got {spellings[split]!r} and {name!r}. Merge them."
            )
        if split is not None:
            spellings[split] = name
    return {split: named[name] for split, name in spellings.items()}


def number_by_name(
    name: str,
    named: Mapping[str, Iterable[tuple[Path, str]]],
    image_root: Path | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Make a `Dataset` of images with class names.

    Args:
        name: where it was read from.
        named: "train", "val" or "test" -> (image, class name) pairs, in order; a split may be missing.
        image_root: the folder that holds all images; by default the deepest one, and then the images' paths must be
            absolute.
        class_names: in the order of the labels; by default all names of all splits in plain string order.

    Raises:
        InputError: no images, fewer than two classes, or names that a prompt cannot tell apart.
    """
    parts = (named.get(split, ()) for split in ("train", "val", "test"))
    train, val, test = ([(path, composed(label)) for path, label in part] for part in parts)
    pairs = [*train, *val, *test]
    if not pairs:
        raise InputError(f"{name}: expected labelled images; got none.")
    names = sorted({label for _, label in pairs}) if class_names is None else [*map(composed, class_names)]
    check_class_names(names)
    numbers = {label: number for number, label in enumerate(names)}
    splits = tuple([Example(path, numbers[label], label) for path, label in split] for split in (train, val, test))
    return own_dataset(name, (splits[0], splits[1], splits[2]), names, image_root or common_folder(p for p, _ in pairs))


def own_dataset(name: str, splits: Splits, class_names: list[str], image_root: Path) -> Dataset:
    """A `Dataset` of these splits. What is held out is scored: where there is "val" but no "test", it is the test.

    `InputError` for fewer than two classes.
    """
    if len(class_names) < 2:
        raise InputError(
            f"{name}: expected at least two classes; got only {class_names[0]!r}. Add images of another class."
        )
    train, val, test = splits
    if not test:
        val, test = [], val
    return Dataset(name, train, val, test, class_names, OWN_TEMPLATE, image_root)


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all of the files, at any depth. Paths are absolute."""
    return Path(os.path.commonpath({path.parent for path in paths}))


def picked_hash(
    images: Sequence[str | PathLike[str] | Image.Image],
    picked: Sequence[int],
    targets: Sequence[int],
    names: Sequence[str],
) -> str | None:
    """The `split_hash` of the picked images, below the folder that holds all; None without any, or with open images.

    `targets` are the labels of the picked images, numbers of the class names.
    """
    paths = [Path(image).absolute() for image in images if not isinstance(image, Image.Image)]
    if not picked or len(paths) < len(images):
        return None
    picks = [Example(paths[i], target, names[target]) for i, target in zip(picked, targets, strict=True)]
    return split_hash(picks, common_folder(paths))
