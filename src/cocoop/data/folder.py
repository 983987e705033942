"""A user's folder of images: one sub-folder per class, or train, val and test folders of such."""

import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from cocoop.class_names import check_class_names, composed
from cocoop.data.dataset import Dataset
from cocoop.data.examples import Example
from cocoop.data.own import SPLIT_NAMES, by_split, number_by_name
from cocoop.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
"""File endings read as images, lower case; the endings of files are compared without regard to case."""

_LAYOUT = "one sub-folder of images per class, e.g. {root}/cat/1.jpg and {root}/dog/2.jpg"


def read_folder(root: str | PathLike[str]) -> list[Example]:
    """List the images of `root`: one sub-folder per class, labels 0..K-1 in plain string order of the names.

    Images are taken at any depth below their class folder, in string order of their path relative to it, so
    the list is the same on every system. Links are followed; one that leads nowhere is listed, for whoever opens it to
    miss its image. Hidden files and folders (a leading dot), files of other types and
    files directly in `root` are left out. `class_name` is the folder's name, underscores kept.

    `InputError`: no such folder; a file; no images in sub-folders; one class only; a class without an image;
    sub-folders that are splits (train, test) and not classes; a folder that cannot be listed; class names that a prompt
    cannot tell apart.
    """
    root = Path(root)
    _check_folder(root)
    if _is_split(root):
        names = [folder.name for folder in _folders(root)]
        raise InputError(
            f"{root}: expected {_LAYOUT.format(root=root)}; got the splits {', '.join(names)}. "
            f"Give one of them, e.g. {root / names[0]}."
        )
    images = _images_by_class(root)
    _check_none_empty(root, images)
    if len(images) == 1:
        raise InputError(
            f"{root}: expected at least two classes; got only {next(iter(images))!r}. Expected layout: "
            f"{_LAYOUT.format(root=root)}."
        )
    check_class_names(list(images))
    return [Example(path, label, name) for label, name in enumerate(images) for path in images[name]]


def read_folder_dataset(root: str | PathLike[str]) -> Dataset:
    """Read a folder with one sub-folder per class, or whose sub-folders are splits with one sub-folder per class each.

    Splits are train (or training), val (valid, validation) and test (testing), not all of which need be there; labels
    are 0..K-1 in plain string order of the class names of all splits together. Without splits all images are in
    `train`. Images and errors as in `read_folder`; a class may be empty in one split, not in all.
    """
    root = Path(root)
    _check_folder(root)
    if not _is_split(root):
        examples = read_folder(root)
        return number_by_name(str(root), {"train": [(e.path, e.class_name) for e in examples]}, root)
    folders = by_split(root, {folder.name: folder for folder in _folders(root)})
    by_split_and_class = {split: _images_by_class(folder) for split, folder in folders.items()}
    together: dict[str, list[Path]] = {}
    for images in by_split_and_class.values():
        for name, paths in images.items():
            together[name] = together.get(name, []) + paths
    _check_none_empty(root, together)
    named = {
        split: [(p, name) for name, paths in images.items() for p in paths]
        for split, images in by_split_and_class.items()
    }
    return number_by_name(str(root), named, root)


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise InputError(f"{root}: expected a folder of images; there is no such folder. Check the path.")
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder of images; got a file. Give {_LAYOUT.format(root='FOLDER')}.")


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, hidden files and folders left out."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be listed; got {error}. Check its rights.") from error


def _folders(root: Path) -> list[Path]:
    return sorted((path for path in _visible(root) if path.is_dir()), key=lambda path: path.name)


def _is_split(root: Path) -> bool:
    """Whether the sub-folders are splits. One that is called as a split is, beside others, may be a class: a train."""
    splits = [folder.name for folder in _folders(root) if folder.name.lower() in SPLIT_NAMES]
    others = [folder.name for folder in _folders(root) if folder.name.lower() not in SPLIT_NAMES]
    if others and "train" in (kinds := {SPLIT_NAMES[name.lower()] for name in splits}) and len(kinds) > 1:
        raise InputError(
            f"{root}: expected only splits or only classes; got the splits {', '.join(splits)} beside "
            f"{', '.join(others)}. Move the others away; or, if all are classes, list the images in a manifest."
        )
    return bool(splits) and not others


def _images_by_class(root: Path) -> dict[str, list[Path]]:
    """Class name -> its images, in string order of the names. At least one class has any."""
    images: dict[str, list[Path]] = {}
    for folder in _folders(root):  # two, where a name was written in two ways that look the same
        images.setdefault(composed(folder.name), []).extend(_images(folder))
    if not any(images.values()):
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(
            f"{root}: expected {_LAYOUT.format(root=root)}; got no image in any sub-folder (endings read: {endings})."
        )
    return dict(sorted(images.items()))


def _images(folder: Path) -> list[Path]:
    # As one string: pathlib's own order differs between systems (case) and is not that of plain strings.
    return sorted(_walk(folder, ()), key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """All images below a folder. `above` are the real paths of the folders on the way: no link leads in circles."""
    here = (*above, os.path.realpath(folder))
    for path in _visible(folder):
        if path.is_dir():
            if os.path.realpath(path) not in here:
                yield from _walk(path, here)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def _check_none_empty(root: Path, images: dict[str, list[Path]]) -> None:
    empty = [name for name, paths in images.items() if not paths]
    if empty:
        raise InputError(
            f"{root}: expected images in every class folder; got none in {', '.join(empty)}. "
            "Add images or remove the folder."
        )
