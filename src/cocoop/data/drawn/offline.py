"""Data sets that need no download: drawn for the bundled CLIP on first use, or taken from scikit-learn."""

import json
import os
import shutil
import time
from contextlib import suppress
from os import PathLike
from os.path import isfile
from pathlib import Path
from uuid import uuid4

from PIL import Image

from cocoop.data.dataset import Dataset
from cocoop.data.drawn.digits import DIGIT_COUNTS, digit_images, digit_split
from cocoop.data.examples import Example
from cocoop.errors import InputError, RunError, expect_choice
from cocoop.progress import progress

# Drawing needs numpy and matplotlib: imported where it is called for, so that `import cocoop.data` stays quick.

OFFLINE = ("digits", "pictographs", "shapes")
"""Data sets with all three splits. Their pictures are made for the bundled CLIP, "tiny"."""

SHIFTS = ("sketch", "noise", "blur", "inverted", "texture")
"""How test pictures may differ from training pictures; see `cocoop.data.drawn.shifts`."""

OFFLINE_VARIANTS = tuple(f"{name}_{shift}" for name in ("pictographs", "shapes") for shift in SHIFTS)
"""Test splits of the drawn ones, shifted: "pictographs_sketch" and so on."""

PICTURES_PER_CLASS = {"train": 20, "val": 4, "test": 10}
"""Split -> pictures of each class of a drawn data set."""

_VERSION = 1  # of the pictures: to be raised when any of them changes, so that old ones are drawn anew
_MARKER = "cocoop.json"
_ABANDONED = 3600.0  # seconds after which a half-written folder belongs to no running process


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
    dataset = list_offline_dataset(name, Path(root) / name)
    if not _is_whole(dataset):
        try:
            _make(dataset)
        except OSError as error:
            raise RunError(f"{dataset.image_root}: expected to write small images there; got {error}.") from error
    return dataset


def list_offline_dataset(name: str, folder: Path) -> Dataset:
    """The data set `name` as it is when all its files are in `folder`. Nothing is drawn or looked for."""
    names = _class_names(name)
    labels = {class_name: label for label, class_name in enumerate(names)}
    train, val, test = (
        [Example(_file(folder, split, class_name, i), labels[class_name], class_name) for class_name, i in members]
        for split, members in _members(name).items()
    )
    return Dataset(name, train, val, test, names, template="a photo of a {}.", image_root=folder)


def _file(folder: Path, split: str, class_name: str, number: int) -> Path:
    return Path(f"{folder}/{split}/{class_name.replace(' ', '_')}/{number:03d}.png")  # `/` of Path is slow


def _class_names(name: str) -> list[str]:
    if name == "digits":
        return list(DIGIT_COUNTS)
    from cocoop.data.drawn import offline_pictures

    return list(offline_pictures.names(name.partition("_")[0]))


def _members(name: str) -> dict[str, list[tuple[str, int]]]:
    """Split -> (class name, number within the class) of its images, in their order."""
    if name == "digits":
        return digit_split()
    return {
        split: [(class_name, number) for class_name in _class_names(name) for number in range(count)]
        for split, count in PICTURES_PER_CLASS.items()
    } | ({"train": [], "val": []} if name in OFFLINE_VARIANTS else {})


def _image(name: str, split: str, class_name: str, number: int) -> Image.Image:
    if name == "digits":
        return digit_images()[class_name][number]
    from cocoop.data.drawn import offline_pictures

    family, _, shift = name.partition("_")
    if shift:
        return Image.fromarray(offline_pictures.shifted(family, shift, class_name, number))
    return Image.fromarray(offline_pictures.picture(family, split, class_name, number).pixels)


def _marker(dataset: Dataset) -> dict[str, object]:
    """The content of the marker file, which is written last."""
    images = [len(split) for split in (dataset.train, dataset.val, dataset.test)]
    return {"data set": dataset.name, "version": _VERSION, "classes": dataset.class_names, "images": images}


def _is_whole(dataset: Dataset) -> bool:
    """Whether this version made the data set's folder and all files are still there."""
    try:
        marker = json.loads((dataset.image_root / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if not dataset.image_root.exists():
            return False
        marker = None
    if not isinstance(marker, dict) or marker.get("data set") != dataset.name:
        raise InputError(
            f"{dataset.image_root}: expected the data set {dataset.name} as cocoop wrote it, or nothing; got something "
            "else. Move it away, or choose another data root."
        )
    examples = (*dataset.train, *dataset.val, *dataset.test)
    return marker == _marker(dataset) and all(isfile(example.path) for example in examples)


def _make(dataset: Dataset) -> None:
    """Writes all files into a folder beside the data set's, then gives it the data set's name."""
    folder = dataset.image_root
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(folder)
    made = folder.with_name(f".{folder.name}.{uuid4().hex}.tmp")
    try:
        made.mkdir()
        for example in progress([*dataset.train, *dataset.val, *dataset.test], f"writing {dataset.name}"):
            relative = example.path.relative_to(folder)
            (made / relative).parent.mkdir(parents=True, exist_ok=True)
            split, number = relative.parts[0], int(relative.stem)
            _image(dataset.name, split, example.class_name, number).save(made / relative)
        (made / _MARKER).write_text(json.dumps(_marker(dataset)), encoding="utf-8")
        _put_in_place(made, dataset)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put_in_place(made: Path, dataset: Dataset) -> None:
    """Renames `made` to the data set's folder, unless another process was faster; an older version's folder goes."""
    folder, old = dataset.image_root, made.with_suffix(".old.tmp")
    while not _is_whole(dataset):
        with suppress(FileNotFoundError):  # nothing there, or another process has just taken it away
            os.rename(folder, old)
            shutil.rmtree(old)
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.exists():  # the disk refuses; otherwise another process came in between: look again
                raise


def _clear_abandoned(folder: Path) -> None:
    """Removes the half-written folders that killed processes left of this data set."""
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        with suppress(FileNotFoundError):  # another process has just finished or cleared it
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
