"""Data sets that need no download: drawn for the bundled CLIP on first use, or taken from scikit-learn."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from os.path import isfile
from pathlib import Path

from PIL import Image

from cocoop.atomic import clear_leftovers, remove_folder, whole_folder
from cocoop.data.dataset import Dataset
from cocoop.data.drawn.digits import DIGIT_COUNTS, digit_images, digit_split
from cocoop.data.examples import Example
from cocoop.errors import InputError, RunError, expect_choice, plainly
from cocoop.progress import counter, progress
from cocoop.reading import read_json

# Drawing needs numpy and matplotlib, a lock filelock: imported where they are used, for a quick `import cocoop.data`.

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
_PATIENCE = 2.0  # seconds after which a process that waits for another says so


def read_offline_dataset(name: str, root: str | PathLike[str]) -> Dataset:
    """The data set `name` of `OFFLINE` or `OFFLINE_VARIANTS`, in the folder `<root>/<name>`; drawn there on first use.

    Files are `<split>/<class name, with _ for spaces>/<number>.png`. "pictographs" (220 classes) and "shapes" (175):
    20, 4 and 10 pictures of 32 x 32 pixels per class for train, val and test; a variant has their test split only.
    "digits": scikit-learn's 1,797 of 8 x 8 pixels, zero to nine, in shares of 0.2, 0.1 and 0.7 (`digit_split`).
    The folder appears at once, whole; it is made anew where files are missing or an older version drew them. Of several
    processes one draws while the others wait, by a lock on the file `<root>/.<name>.lock`. A folder that is whole is
    never removed.

    Raises:
        InputError: another name; the folder exists and holds something else.
        RunError: the disk refuses.
    """
    expect_choice("data set", name, (*OFFLINE, *OFFLINE_VARIANTS))
    dataset = list_offline_dataset(name, Path(root) / name)
    if not _is_whole(dataset):
        with _alone(dataset.image_root):
            if not _is_whole(dataset):  # nor has another process made it meanwhile
                _check_is_ours(dataset)
                _make(dataset)
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
    examples = (*dataset.train, *dataset.val, *dataset.test)
    return _read_marker(dataset.image_root) == _marker(dataset) and all(isfile(example.path) for example in examples)


def _read_marker(folder: Path) -> object:
    """What the marker in a folder says; None where there is none, or a damaged one."""
    try:
        return read_json(folder / _MARKER)
    except (OSError, ValueError):
        return None


def _check_is_ours(dataset: Dataset) -> None:
    """Raise `InputError` unless cocoop may replace the folder. Only while no other process can: else the marker read
    may be that of a folder that is gone by now.
    """
    marker = _read_marker(dataset.image_root)
    ours = isinstance(marker, dict) and marker.get("data set") == dataset.name
    if dataset.image_root.exists() and not ours:
        raise InputError(
            f"{dataset.image_root}: expected the data set {dataset.name} as cocoop wrote it, or nothing; got something "
            "else. Move it away, or choose another data root."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is making this folder; the system ends its lock when a process dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            with counter(f"waiting for another process that writes {folder.name}", 1, " folder"):
                lock.acquire()
    except OSError as error:
        raise RunError(
            f"{folder}: expected to write small images; got {plainly(error)}. "
            "Check its rights, or choose another data root."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _make(dataset: Dataset) -> None:
    """Write all files into a new folder, which takes the place of the data set's."""
    folder = dataset.image_root
    clear_leftovers(folder.parent, folder.name, alone=True)
    with whole_folder(folder, "small images") as made:
        for example in progress(
            [*dataset.train, *dataset.val, *dataset.test], f"writing {dataset.name}", unit=" images"
        ):
            relative = example.path.relative_to(folder)
            (made / relative).parent.mkdir(parents=True, exist_ok=True)
            split, number = relative.parts[0], int(relative.stem)
            _image(dataset.name, split, example.class_name, number).save(made / relative)
        (made / _MARKER).write_text(json.dumps(_marker(dataset)), encoding="utf-8")
        remove_folder(folder)
