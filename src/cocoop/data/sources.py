"""One door to all data sets: those of the papers, those that are drawn here, and the user's own."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image

from cocoop.class_names import check_spelling, plain_label
from cocoop.data.cache import cache_folder
from cocoop.data.dataset import Dataset
from cocoop.data.drawn.offline import OFFLINE, OFFLINE_VARIANTS, read_offline_dataset
from cocoop.data.examples import class_names
from cocoop.data.folder import read_folder_dataset
from cocoop.data.hugging_face import HUB_PREFIX, is_saved_dataset, read_hub_dataset, read_saved_dataset
from cocoop.data.manifest import MANIFEST_SUFFIXES, read_manifest, read_metadata
from cocoop.data.names import read_class_names, with_class_names
from cocoop.data.own import common_folder, number_by_name, own_dataset
from cocoop.data.papers.raw.text import at
from cocoop.data.papers.read import read_paper_dataset
from cocoop.data.papers.table import PAPER_DATASETS
from cocoop.data.places import find_images
from cocoop.data.split import SPLITS, read_split_json
from cocoop.data.store import store_image
from cocoop.errors import InputError

Labelled = tuple[str | PathLike[str] | Image.Image, Any]
"""An image file or an open image, and its class: a name, or a number whose `str` is the name."""

_FORMS = (
    "Give a folder with one sub-folder per class, or train, val and test folders of such, a manifest (.csv, .tsv, "
    f".jsonl), a split file (.json), {HUB_PREFIX}OWNER/NAME, or the name of a data set (cocoop datasets list)"
)


def read_dataset(
    source: str | PathLike[str] | Iterable[Labelled],
    root: str | PathLike[str] | None = None,
    class_names: Sequence[str] | str | PathLike[str] | None = None,
) -> Dataset:
    """Read a data set, whatever form it has. Its images are files; none is opened here.

    Args:
        source: the first of these that fits:
            pairs of (image file or open image, class name), in a list or another iterable;
            a name of `PAPER_DATASETS`, which needs `root` (text; for a folder of that name write "./NAME");
            a name of `OFFLINE` or `OFFLINE_VARIANTS`, drawn on first use;
            "hf:OWNER/NAME" or "hf:OWNER/NAME:CONFIG", see `read_hub_dataset`;
            a folder that `save_to_disk` of the `datasets` package wrote;
            a folder with metadata.csv or metadata.jsonl, see `read_metadata`; any other, see `read_folder_dataset`;
            a manifest, .csv, .tsv or .jsonl, see `read_manifest`;
            a split file in the form of the papers', .json, see `read_split_json`; for its paths see `find_images`.
        root: the data root. Data sets of the papers lie below it; what is drawn, or unpacked to files, goes below it,
            else below `cache_folder()`.
        class_names: the names of classes that are numbers in the data, from 0: a list, or a file of them, see
            `read_class_names`.

    Returns:
        The data set; its `notes` say what was left out, and what may be meant otherwise. Without a split, `test` is
        empty and all images are in `train`: see `Dataset.with_split`. Where there is a val split but no test, it is the
        test.

    Raises:
        InputError: nothing of the above, or what the reader of that form says. RunError: the disk refuses.
    """
    dataset = _read(source, root)
    if class_names is not None:
        names = read_class_names(class_names) if isinstance(class_names, str | PathLike) else class_names
        return with_class_names(dataset, names)
    return replace(dataset, notes=(*dataset.notes, *_doubts(source, dataset)))


def _doubts(source: object, dataset: Dataset) -> Iterator[str]:
    """What may be meant otherwise: a name that a folder has, too, and numbers for class names."""
    if isinstance(source, str) and source in (*PAPER_DATASETS, *OFFLINE, *OFFLINE_VARIANTS) and os.path.isdir(source):
        here = Path(source).resolve()
        if here not in (dataset.image_root.resolve(), *dataset.image_root.resolve().parents):
            yield f"{source} is the data set of that name; ./{source} is the folder here"
    if all(name.isdecimal() for name in dataset.class_names):
        prompt = dataset.template.format(dataset.class_names[0])
        yield (
            f"the class names are numbers: a prompt is {prompt!r}. Give their names with --class-names FILE (in "
            "Python class_names=...), in the order of the numbers from 0"
        )


def _read(source: str | PathLike[str] | Iterable[Labelled], root: str | PathLike[str] | None) -> Dataset:
    made_here = cache_folder() if root is None else Path(root)
    if not isinstance(source, str | PathLike):
        if not isinstance(source, Iterable):
            raise InputError(
                "source: expected a name, a path or pairs of an image and its class; got "
                f"{type(source).__name__}. {_FORMS}."
            )
        return _read_pairs(source, made_here / "pictures")
    name = os.fspath(source)
    if isinstance(source, str) and source in PAPER_DATASETS:
        if root is None:
            raise InputError(
                f"{source}: expected the data root, the folder that holds {PAPER_DATASETS[source].folder}/, beside the "
                f"name; got none. Give it (--data-root; root=... in Python), or ./{source} if a folder here is meant."
            )
        return read_paper_dataset(source, root)
    if isinstance(source, str) and source in (*OFFLINE, *OFFLINE_VARIANTS):
        return read_offline_dataset(source, made_here)
    pictures = made_here / "pictures" / re.sub(r"[^\w.-]+", "-", name)[-60:].strip("-.")
    if name.startswith(HUB_PREFIX):
        return read_hub_dataset(name, pictures)
    path, suffix = Path(name), Path(name).suffix.lower()
    if os.path.isdir(name):
        return _read_folder(path, pictures)
    is_file = os.path.isfile(name)
    if is_file and suffix in MANIFEST_SUFFIXES:
        return read_manifest(path)
    if is_file and suffix == ".json":
        return _read_split_file(path)
    raise InputError(f"{name}: expected a data set; got {'a file' if is_file else 'no such file or folder'}. {_FORMS}.")


def _read_folder(path: Path, pictures: Path) -> Dataset:
    if is_saved_dataset(path):
        return read_saved_dataset(path, pictures)
    return read_metadata(path) or read_folder_dataset(path)


def _read_split_file(path: Path) -> Dataset:
    listed = read_split_json(path, "")
    together = [example for split in listed for example in split]
    with at(path):
        names = class_names(together)
        check_spelling(names)
    lines = [f"{part}[{index}]" for part, split in zip(SPLITS, listed, strict=True) for index in range(len(split))]
    places, notes = find_images(path.absolute(), [str(example.path) for example in together], lines)
    rest = iter(places)
    train, val, test = ([example._replace(path=next(rest)) for example in split] for split in listed)
    # Not the file's folder, because its paths may be absolute.
    return replace(own_dataset(str(path), (train, val, test), names, common_folder(places)), notes=notes)


def _read_pairs(pairs: Iterable[Labelled], pictures: Path) -> Dataset:
    named = []
    for number, pair in enumerate(pairs):
        match pair:
            case (str() | PathLike() as path, label):
                named.append((Path(path).absolute(), str(plain_label(label, number))))
            case (Image.Image() as image, label):
                with at(f"images, number {number}"):
                    stored = store_image(image, pictures)
                named.append((stored, str(plain_label(label, number))))
            case _:
                parts = (
                    f" ({', '.join(type(part).__name__ for part in pair)})" if isinstance(pair, tuple | list) else ""
                )
                raise InputError(
                    f"images, number {number}: expected a pair of an image file or a Pillow image and its class; got "
                    f"{type(pair).__name__}{parts}. Give a list such as [('a.jpg', 'cat'), ('b.jpg', 'dog')]."
                )
    return number_by_name("images", {"train": named})
