"""Data sets that need no download: drawn for the bundled CLIP on first use, or taken from scikit-learn."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from PIL import Image

from cocoop.data.dataset import Dataset
from cocoop.data.digits import DIGIT_COUNTS, digit_images, digit_split
from cocoop.data.examples import Example
from cocoop.errors import InputError, RunError, expect_choice
from cocoop.progress import progress

# Drawing needs numpy and matplotlib: imported where it is called for, so that `import cocoop.data` stays quick.

OFFLINE = ("digits", "pictographs", "shapes")
"""Data sets with all three splits. Their pictures are made for the bundled CLIP, "tiny"."""

SHIFTS = ("sketch", "noise", "blur", "inverted", "texture")
"""What may change between learning and testing: `cocoop.data.pictures.shifts` says how."""

OFFLINE_VARIANTS = tuple(f"{name}_{shift}" for name in ("pictographs", "shapes") for shift in SHIFTS)
"""Test splits of the drawn ones, shifted: "pictographs_sketch" and so on."""

_PER_CLASS = {"train": 20, "val": 4, "test": 10}  # pictures of each class of a drawn data set
_VERSION = 1  # of the pictures: to be raised when any of them changes, so that old ones are drawn anew
_MARKER = "cocoop.json"
_ABANDONED = 3600.0  # seconds after which a half-written folder belongs to no running process


class _File(NamedTuple):
    split: str
    class_name: str
    number: int

    @property
    def path(self) -> Path:
        """Relative to the data set's folder."""
        return Path(self.split, self.class_name.replace(" ", "_"), f"{self.number:03d}.png")


def read_offline_dataset(name: str, root: str | PathLike[str]) -> Dataset:
    """The data set `name` of `OFFLINE` or `OFFLINE_VARIANTS`, in the folder `<root>/<name>`; drawn there on first use.

    Files are `<split>/<class name, with _ for spaces>/<number>.png`. "pictographs" (220 classes) and "shapes" (175):
    20, 4 and 10 pictures of 32 x 32 pixels per class for train, val and test; a variant has their test split only.
    "digits": scikit-learn's 1,797 of 8 x 8 pixels, zero to nine, in shares of 0.2, 0.1 and 0.7 (`digit_split`).
    The folder appears at once, whole; it is made anew where files are missing or an older version drew them. Processes
    that draw the same data set at the same time end up with one whole folder.

    Raises:
        InputError: another name; the folder exists and holds something else.
        RunError: the disk refuses.
    """
    expect_choice("data set", name, (*OFFLINE, *OFFLINE_VARIANTS))
    folder, names, files = Path(root) / name, _class_names(name), list(_files(name))
    marker = {"data set": name, "version": _VERSION, "classes": names, "images": len(files)}
    if not _is_whole(folder, marker, files):
        try:
            _make(folder, marker, files)
        except OSError as error:
            raise RunError(f"{folder}: expected to write {len(files):,} small images; got {error}.") from error
    labels = {class_name: label for label, class_name in enumerate(names)}
    train, val, test = (
        [Example(folder / f.path, labels[f.class_name], f.class_name) for f in files if f.split == split]
        for split in _PER_CLASS
    )
    return Dataset(name, train, val, test, names, template="a photo of a {}.", image_root=folder)


def _class_names(name: str) -> list[str]:
    if name == "digits":
        return list(DIGIT_COUNTS)
    from cocoop.data.pictures import benchmark

    return list(benchmark.names(name.partition("_")[0]))


def _files(name: str) -> Iterator[_File]:
    """All files of a data set, in the order of its examples."""
    if name == "digits":
        for split, positions in digit_split().items():
            yield from (_File(split, class_name, number) for class_name, number in positions)
        return
    splits = ("test",) if name in OFFLINE_VARIANTS else tuple(_PER_CLASS)
    for split in splits:
        for class_name in _class_names(name):
            yield from (_File(split, class_name, number) for number in range(_PER_CLASS[split]))


def _image(name: str, file: _File) -> Image.Image:
    if name == "digits":
        return digit_images()[file.class_name][file.number]
    from cocoop.data.pictures import benchmark

    family, _, shift = name.partition("_")
    if shift:
        return Image.fromarray(benchmark.shifted(family, shift, file.class_name, file.number))
    return Image.fromarray(benchmark.picture(family, file.split, file.class_name, file.number).pixels)


def _is_whole(folder: Path, marker: dict[str, object], files: list[_File]) -> bool:
    """Whether this version made the folder and all its files are still there."""
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("data set") != marker["data set"]:
        raise InputError(
            f"{folder}: expected the data set {marker['data set']} as cocoop wrote it, or nothing; got something "
            "else. Move it away, or choose another data root."
        )
    return found == marker and all((folder / file.path).is_file() for file in files)


def _make(folder: Path, marker: dict[str, object], files: list[_File]) -> None:
    """Draws all files beside `folder`, then gives them its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(folder)
    made = folder.with_name(f".{folder.name}.{uuid4().hex}.tmp")
    try:
        for parent in {file.path.parent for file in files}:
            (made / parent).mkdir(parents=True)
        for file in progress(files, f"writing {folder.name}"):
            _image(folder.name, file).save(made / file.path)
        (made / _MARKER).write_text(json.dumps(marker), encoding="utf-8")
        _put_in_place(made, folder, marker, files)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put_in_place(made: Path, folder: Path, marker: dict[str, object], files: list[_File]) -> None:
    """Renames `made` to `folder`, unless another process was faster; what an older version left there goes."""
    old = made.with_suffix(".old")
    while not _is_whole(folder, marker, files):
        with suppress(FileNotFoundError):  # nothing there, or another process has just taken it away
            os.rename(folder, old)
            shutil.rmtree(old)
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.exists():  # the disk refuses; otherwise another process came in between: look again
                raise


def _clear_abandoned(folder: Path) -> None:
    """Removes what killed processes left of this data set."""
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
