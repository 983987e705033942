"""A user's folder of images: one sub-folder per class, or train, val and test folders of such, or in every class."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from cocoop.class_names import composed
from cocoop.data.dataset import Dataset
from cocoop.data.examples import Example
from cocoop.data.formats import IMAGE_SUFFIXES
from cocoop.data.left_out import HIDDEN, LINKS, LOOSE, OTHER, SPECIAL, LeftOut
from cocoop.data.own import SPLIT_NAMES, by_split, number_by_name
from cocoop.errors import InputError, plainly

_LAYOUT = "one sub-folder of images per class, e.g. {root}/cat/1.jpg and {root}/dog/2.jpg"
_OF_SYSTEMS = {"@eadir", "#recycle", "__macosx", "$recycle.bin", "thumbs.db", "desktop.ini"}

Images = dict[str, list[Path]]
"""Class name -> its images, both in plain string order."""


def read_folder(root: str | PathLike[str]) -> list[Example]:
    """List the images of `root`: one sub-folder per class, labels 0..K-1 in plain string order of the names.

    As `read_folder_dataset` reads them, from which also the errors; and `InputError` for a folder with splits.
    """
    root = Path(root)
    left = LeftOut(root)
    parts = _read(root, left)
    if list(parts) != [""]:
        raise InputError(
            f"{root}: expected {_LAYOUT.format(root=root)}; got the splits {', '.join(parts)}, "
            "which read_folder_dataset reads."
        )
    return _numbered(root, parts, left).train


def images_below(folder: str | PathLike[str], left: LeftOut) -> Iterator[Path]:
    """The images at any depth below a folder, one after the other, as `read_folder_dataset` takes them below a class.

    Raises:
        InputError: when its turn comes, a folder that cannot be listed.
    """
    return _walk(Path(folder), _above(Path(folder)), left)


def read_folder_dataset(root: str | PathLike[str]) -> Dataset:
    """Read a folder with one sub-folder per class, or whose sub-folders are splits with one sub-folder per class each.

    Splits are train (or training), val (valid, validation) and test (testing), not all of which need be there; they may
    lie in every class folder, too. Without splits all images are in `train`. Labels are 0..K-1 in plain string order of
    the class names of all splits together. `class_name` is the folder's name, underscores kept.

    Images are taken at any depth below their class folder, in string order of their path relative to it, so the list is
    the same on every system. Links are followed; one that leads nowhere is listed, for whoever opens it to miss its
    image. `Dataset.notes` says what is left out: files without one of `IMAGE_SUFFIXES`, hidden ones, those directly in
    `root`, folders such as `@eaDir` and `__MACOSX`, and links to a folder that they lie in.

    `InputError`: no such folder; a file; no images in sub-folders; one class only; a class without an image in any
    split; splits beside classes, or in some classes only; a folder that cannot be listed; class names that a prompt
    cannot tell apart.
    """
    root = Path(root)
    left = LeftOut(root)
    return _numbered(root, _read(root, left), left)


def _numbered(root: Path, parts: dict[str, Images], left: LeftOut) -> Dataset:
    filled = {name for images in parts.values() for name, paths in images.items() if paths}
    empty = sorted({name for images in parts.values() for name in images} - filled)
    if empty:
        raise InputError(
            f"{root}: expected images in every class folder; got none in {', '.join(empty)}. "
            f"Add images or remove the folder.{left}"
        )
    if len(filled) == 1 and "" in parts:
        [name] = filled
        deep = any(len(path.parts) > len(root.parts) + 2 for path in parts[""][name])
        below = f"; or give {root / name}, if its folders are the classes" if deep else ""
        raise InputError(
            f"{root}: expected at least two classes; got only {name!r}. Add images of another class{below}."
        )
    named = {SPLIT_NAMES.get(split.lower(), "train"): _pairs(images) for split, images in parts.items()}
    return replace(number_by_name(str(root), named, root), notes=left.notes())


def _pairs(images: Images) -> list[tuple[Path, str]]:
    return [(path, name) for name, paths in images.items() for path in paths]


def _read(root: Path, left: LeftOut) -> dict[str, Images]:
    """The splits by the names of their folders; one named "" where there are none."""
    if not os.path.exists(root):
        raise InputError(f"{root}: expected a folder of images; there is no such folder. Check the path.")
    if not os.path.isdir(root):
        raise InputError(f"{root}: expected a folder of images; got a file. Give {_LAYOUT.format(root='FOLDER')}.")
    folders = _sub_folders(root, left)
    if _are_splits(root, folders):
        by_split(root, {folder.name: folder for folder in folders})  # refuses two names of one split
        return {folder.name: _images_by_class(folder, _sub_folders(folder, left), left) for folder in folders}
    images = _images_by_class(root, folders, left)
    return _split_below(root, images) or {"": images}


def _sub_folders(root: Path, left: LeftOut) -> list[Path]:
    """In string order of their names. Pictures beside them are left out."""
    folders = []
    for path, is_folder in _entries(root, _above(root), left):
        if is_folder:
            folders.append(path)
        else:
            left.add(LOOSE, path)
    return folders


def _are_splits(root: Path, folders: list[Path]) -> bool:
    """Whether the sub-folders are splits. One that is called as a split is, beside others, may be a class: a train."""
    splits = [folder.name for folder in folders if folder.name.lower() in SPLIT_NAMES]
    others = [folder.name for folder in folders if folder.name.lower() not in SPLIT_NAMES]
    if others and "train" in (kinds := {SPLIT_NAMES[name.lower()] for name in splits}) and len(kinds) > 1:
        raise InputError(
            f"{root}: expected only splits or only classes; got the splits {', '.join(splits)} beside "
            f"{', '.join(others)}. Move the others away; or, if all are classes, list the images in a manifest."
        )
    return bool(splits) and not others


def _images_by_class(root: Path, folders: list[Path], left: LeftOut) -> Images:
    """At least one class has any."""
    images: Images = {}
    for folder in folders:  # two, where a name was written in two ways that look the same
        images.setdefault(composed(folder.name), []).extend(_images(folder, root, left))
    if not any(images.values()):
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(
            f"{root}: expected {_LAYOUT.format(root=root)}; got no image in any sub-folder (endings read: {endings})."
            f"{left}"
        )
    return dict(sorted(images.items()))


def _split_below(root: Path, images: Images) -> dict[str, Images]:
    """The splits that lie below the classes, cat/train and cat/test; none where no class is split so."""
    splits: dict[str, Images] = {}
    kinds: dict[str, set[str]] = {}
    below = len(root.parts) + 1  # the part of a path that is below its class
    for name, paths in images.items():
        for path in paths:
            split = SPLIT_NAMES.get(path.parts[below].lower(), "")
            kinds.setdefault(name, set()).add(split)
            splits.setdefault(split, {}).setdefault(name, []).append(path)
    divided = [name for name, parts in kinds.items() if "train" in parts and len(parts - {""}) > 1]
    if not divided or not any("" in parts for parts in kinds.values()):
        return splits if divided else {}
    others = [name for name, parts in kinds.items() if "" in parts]
    raise InputError(
        f"{root}: expected train and test below every class or none; got them below {', '.join(divided[:3])}, and "
        f"images outside of them in {', '.join(others[:3])}. Move the images, or list them in a manifest."
    )


def _images(folder: Path, root: Path, left: LeftOut) -> list[Path]:
    # As one string: pathlib's own order differs between systems (case) and is not that of plain strings.
    return sorted(_walk(folder, _above(root), left), key=Path.as_posix)


def _above(root: Path) -> tuple[str, ...]:
    real = Path(os.path.realpath(root))
    return (str(real), *map(str, real.parents))


def _walk(folder: Path, above: tuple[str, ...], left: LeftOut) -> Iterator[Path]:
    """All images below a folder. `above` are the real paths of the folders on the way: no link leads in circles."""
    here = (*above, os.path.realpath(folder))
    for path, is_folder in _entries(folder, here, left):
        if is_folder:
            yield from _walk(path, here, left)
        else:
            yield path


def _entries(folder: Path, above: tuple[str, ...], left: LeftOut) -> Iterator[tuple[Path, bool]]:
    """The sub-folders (True) and the pictures (False) in a folder, by name; all else is counted as left out."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder that can be listed; got {plainly(error)}. Check its rights."
        ) from error
    for entry in listed:
        path, is_picture = folder / entry.name, os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
        hidden, is_folder = entry.name.startswith("."), _is(entry.is_dir)
        if hidden or entry.name.lower() in _OF_SYSTEMS:
            if is_folder or is_picture or not hidden:
                left.add(HIDDEN, path)
        elif is_folder and os.path.realpath(path) in above:
            left.add(LINKS, path)
        elif not is_folder and not is_picture:
            left.add(OTHER, path)
        elif not is_folder and not _is(entry.is_file) and os.path.exists(path):
            left.add(SPECIAL, path)
        else:
            yield path, is_folder


def _is(kind: Callable[[], bool]) -> bool:
    """What an entry says of itself; a link that leads in a circle is nothing."""
    try:
        return kind()
    except OSError:
        return False
