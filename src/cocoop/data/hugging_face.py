"""Data sets of the Hugging Face hub, or saved by its `datasets` package (extra `hf-datasets`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cocoop.class_names import composed
from cocoop.data.dataset import Dataset
from cocoop.data.own import by_split, number_by_name
from cocoop.data.store import store_bytes
from cocoop.errors import InputError, reason
from cocoop.progress import progress

if TYPE_CHECKING:
    import datasets

HUB_PREFIX = "hf:"
"""What a source begins with that names a data set of the hub."""


def read_hub_dataset(source: str, pictures: Path) -> Dataset:
    """Load "hf:OWNER/NAME" or "hf:NAME:CONFIG" through the `datasets` package; its images become files in `pictures`.

    The image column and the class column (a ClassLabel; else text) are found by their types. Splits are train, val
    (or valid, validation) and test; others are left out; one split alone, whatever its name, is `train` unless it is
    called otherwise. Images without a label are left out. Classes are in the order of the ClassLabel.

    Raises:
        InputError: no `datasets` package, no such data set, or columns that are not one image and one class.
        RunError: the disk refuses.
    """
    name, _, config = source.removeprefix(HUB_PREFIX).partition(":")
    if not name or ":" in config:
        raise InputError(f"{source}: expected {HUB_PREFIX}OWNER/NAME or {HUB_PREFIX}OWNER/NAME:CONFIG.")
    library = _library(source)
    try:
        loaded = library.load_dataset(name, config or None)
    except Exception as error:  # the hub, the network, the files: they raise what they please
        raise InputError(
            f"{source}: expected a data set of the Hugging Face hub; got {reason(error)}. Check name and network."
        ) from error
    return _read(source, loaded, pictures)


def is_saved_dataset(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` or `DatasetDict.save_to_disk` of the `datasets` package wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or all(
        (folder / name).is_file() for name in ("state.json", "dataset_info.json")
    )


def read_saved_dataset(folder: Path, pictures: Path) -> Dataset:
    """Load what `save_to_disk` of the `datasets` package wrote; see `read_hub_dataset`."""
    library = _library(str(folder))
    try:
        loaded = library.load_from_disk(str(folder))
    except Exception as error:
        raise InputError(
            f"{folder}: expected a folder as save_to_disk wrote it; got {reason(error)}. Save it again."
        ) from error
    return _read(str(folder), loaded, pictures)


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"{source}: expected the package `datasets`, which reads it; got {error}. Install it: "
            'pip install "cocoop[hf-datasets]"'
        ) from error
    return datasets


def _read(source: str, loaded: Any, pictures: Path) -> Dataset:
    parts = loaded if isinstance(loaded, Mapping) else {"train": loaded}
    splits = by_split(source, parts)
    if not splits and len(parts) == 1:
        splits = {"train": next(iter(parts.values()))}
    if not splits:
        raise InputError(f"{source}: expected splits train, val or test; got {', '.join(parts)}. Rename them.")
    image, label = _columns(source, next(iter(splits.values())).features)
    names = getattr(next(iter(splits.values())).features[label], "names", None)
    _check_texts(source, splits, label)
    _check_alike(source, splits, image, label, names)
    named = {
        split: list(_pairs(f"{source}, {split}", part.select_columns([image, label]), image, label, pictures))
        for split, part in splits.items()
    }
    return replace(number_by_name(source, named, class_names=names), notes=tuple(_left_out(parts, splits, named)))


def _left_out(
    parts: Mapping[str, Any], splits: Mapping[str, Any], named: Mapping[str, Sequence[object]]
) -> Iterator[str]:
    others = [name for name, part in parts.items() if not any(part is read for read in splits.values())]
    if others:
        yield f"left out splits with other names ({len(others)}): {', '.join(others)}"
    without = sum(len(part) - len(named[split]) for split, part in splits.items())
    if without:
        yield f"left out images without a label ({without:,})"


def _check_texts(source: str, splits: Mapping[str, Any], label: str) -> None:
    for split, part in splits.items():
        for name in getattr(part.features.get(label), "names", None) or ():
            if not isinstance(name, str):
                raise InputError(
                    f"{source}: expected names of classes that are text; got {name!r} in {split}. Save it again."
                )


def _check_alike(source: str, splits: Mapping[str, Any], image: str, label: str, names: Sequence[str] | None) -> None:
    """Splits that were saved together need not have the same columns, or the same classes in them."""
    for split, part in splits.items():
        missing = {image, label} - set(part.features)
        own = () if missing or names is None else getattr(part.features[label], "names", names)
        unknown = set(map(composed, own)) - set(map(composed, names or ()))
        if missing or unknown:
            got = f"no column {sorted(missing)[0]!r}" if missing else f"the class {sorted(unknown)[0]!r}"
            raise InputError(
                f"{source}: expected splits with the same columns and classes; got {got} in {split}. Save them alike."
            )


def _columns(source: str, features: datasets.Features) -> tuple[str, str]:
    """The names of the image column and of the class column."""
    from datasets import ClassLabel, Image, Value

    images = [name for name, feature in features.items() if isinstance(feature, Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    texts = [n for n, f in features.items() if isinstance(f, Value) and f.dtype in ("string", "large_string")]
    labels = labels or texts
    if len(images) != 1 or len(labels) != 1:
        columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
        raise InputError(
            f"{source}: expected one image column and one class column (ClassLabel, else text); got {columns}. Keep "
            "two and save: dataset.select_columns([IMAGE, LABEL]).save_to_disk(FOLDER), then give FOLDER."
        )
    return images[0], labels[0]


def _pairs(where: str, part: Any, image: str, label: str, pictures: Path) -> Iterator[tuple[Path, str]]:
    """(image file, class name) of each labelled row."""
    from datasets import Image

    names = getattr(part.features[label], "names", None)
    # Not decoded: the bytes are kept as they are.
    rows = part.cast_column(image, Image(decode=False))
    for number, row in enumerate(_whole_rows(where, progress(rows, f"unpacking {where}", len(rows), " images"))):
        if not {image, label} <= set(row):
            raise InputError(
                f"{where}: expected columns {image!r} and {label!r}; its files have others. Save it again."
            )
        value = row[label]
        if value is None or value in (-1, ""):  # -1 is the package's number for "no label"
            continue
        if names and not 0 <= value < len(names):
            raise InputError(f"{where}, row {number}: expected a class below {len(names)}; got {value}. Leave it out.")
        if not names and not isinstance(value, str):
            raise InputError(f"{where}, row {number}: expected a class that is text; got {value!r}. Save it again.")
        yield _file(f"{where}, row {number}", row[image], pictures), names[value] if names else value


def _whole_rows(where: str, rows: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from rows
    except Exception as error:  # a damaged file makes pyarrow raise many kinds
        raise InputError(
            f"{where}: expected rows that can be read to their end; got {reason(error)}. Save them again."
        ) from error


def _file(where: str, image: Mapping[str, Any] | None, pictures: Path) -> Path:
    content, path = (image or {}).get("bytes"), (image or {}).get("path")
    if content:
        try:
            return store_bytes(content, pictures)
        except InputError as error:
            raise InputError(f"{where}: {error} Leave the row out.") from error
    if not path or not os.path.isfile(path):
        raise InputError(f"{where}: expected an image; got {path or 'none'}. Leave the row out, or put the file there.")
    return Path(path).absolute()
