"""Train, validation and test splits: made, read, and fingerprinted."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from random import Random
from typing import Any

from cocoop.class_names import composed
from cocoop.data.examples import Example, positions_by_label
from cocoop.errors import InputError, plainly
from cocoop.reading import read_json

Splits = tuple[list[Example], list[Example], list[Example]]
"""Train, validation and test examples, in this order."""

SPLITS = ("train", "val", "test")
"""The splits by name, in the order of `Splits`."""

_SCHEMA = '{"train": [["relative/path.jpg", 0, "class name"], ...], "val": [...], "test": [...]}'


def random_split(
    examples: Sequence[Example], seed: int, fractions: tuple[float, float, float] = (0.5, 0.2, 0.3)
) -> Splits:
    """Split every class at random into train, val and test; the same for the same examples and seed.

    The rule of the original for data without an official split: of a class's n shuffled images
    round(0.5 n) go to train, round(0.2 n) to val, the rest to test (Python's `round`, half to even).
    Its published splits cannot be drawn again (they depend on one file system's listing order): read those
    with `read_split_json`. Pure: the global random state is neither read nor changed.

    `InputError` where the fractions are not positive with sum 1, or a class is too small for one image in
    each part (with the default fractions, below 4 images).
    Source: CoOp:datasets/dtd.py @ ff61507c, `read_and_split_data`.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"fractions: expected three positive numbers (train, val, test) with sum 1; got {fractions}.")
    train: list[Example] = []
    val: list[Example] = []
    test: list[Example] = []
    for items in _shuffled_classes(examples, seed):
        n_train, n_val = round(len(items) * fractions[0]), round(len(items) * fractions[1])
        if min(n_train, n_val, len(items) - n_train - n_val) < 1:
            raise InputError(
                f"class {items[0].class_name!r}: expected enough images for train, val and test by the "
                f"fractions {fractions}; got {len(items)}. Add images or remove the class."
            )
        train += items[:n_train]
        val += items[n_train : n_train + n_val]
        test += items[n_train + n_val :]
    return train, val, test


def hold_out(examples: Sequence[Example], seed: int, fraction: float = 0.2) -> tuple[list[Example], list[Example]]:
    """Hold out a part of every class at random; return `(train, val)`. The same for the same examples and seed.

    The rule of the original for data with an official test split and no validation split: of a class's n shuffled
    images the first round(0.2 n) go to val (Python's `round`, half to even), the rest to train. Its published splits
    cannot be drawn again: read those with `read_split_json`. Pure, as `random_split` is.

    `InputError` where the fraction is not between 0 and 1, or a class is too small for one image in each part (with
    the default fraction, below 3 images).
    Source: CoOp:datasets/oxford_pets.py @ ff61507c, `split_trainval`.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction: expected a number between 0 and 1 to hold out; got {fraction}.")
    train: list[Example] = []
    val: list[Example] = []
    for items in _shuffled_classes(examples, seed):
        n_val = round(len(items) * fraction)
        if not 1 <= n_val < len(items):
            raise InputError(
                f"class {items[0].class_name!r}: expected enough images to hold out the fraction {fraction} of them; "
                f"got {len(items)}. Add images or remove the class."
            )
        val += items[:n_val]
        train += items[n_val:]
    return train, val


def halves(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Every class in two halves at random, the first with the odd image of all; the same for the same input. Pure."""
    shuffled = [example for items in _shuffled_classes(examples, seed) for example in items]
    return shuffled[::2], shuffled[1::2]


def _shuffled_classes(examples: Sequence[Example], seed: int) -> Iterator[list[Example]]:
    """The images of one class after the other, by first appearance, shuffled from one random stream."""
    stream = Random(seed)
    for positions in positions_by_label(example.label for example in examples).values():
        items = [examples[i] for i in positions]
        stream.shuffle(items)
        yield items


def read_split_json(path: str | PathLike[str], image_root: str | PathLike[str]) -> Splits:
    """Read one of the original's `split_zhou_*.json` files; return `(train, val, test)`.

    Schema: an object with "train", "val" and "test", each a list of [path relative to `image_root`, label
    from 0, class name]. The images themselves are not looked for (the original asserts that each exists):
    call `check_images` for that.

    `InputError` for a missing file, text that is not JSON, or another schema, with the place.
    Source: CoOp:datasets/oxford_pets.py @ ff61507c, `read_split`.
    """
    content = _load_json(Path(path))
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in SPLITS):
        got = f"keys {sorted(content)}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected {_SCHEMA}; got {got}.")
    train, val, test = (
        [_example(entry, Path(image_root), f"{path}: {part}[{index}]") for index, entry in enumerate(content[part])]
        for part in SPLITS
    )
    return train, val, test


def split_content(splits: Splits, image_root: str | PathLike[str]) -> dict[str, list[list[Any]]]:
    """`(train, val, test)` in the schema that `read_split_json` reads, ready for JSON; paths relative to `image_root`.

    `InputError` for an image outside `image_root`.
    """
    root = Path(image_root)
    return {
        part: [[_relative(example.path, root), example.label, example.class_name] for example in split]
        for part, split in zip(SPLITS, splits, strict=True)
    }


def split_hash(examples: Iterable[Example], root: str | PathLike[str]) -> str:
    r"""Return the SHA-256 (64 hex digits) of the list: which images, which labels, in which order.

    Hashed are the UTF-8 lines `<path relative to root, with />\t<label>` joined by a newline, so the hash is
    the same wherever the data lie. Class names do not count. `InputError` for an image outside `root`.
    """
    lines = (f"{_relative(example.path, Path(root))}\t{example.label}" for example in examples)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _load_json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:  # ValueError: not JSON, or not UTF-8
        raise InputError(f"{path}: expected a split file, {_SCHEMA}; got {plainly(error)}.") from error


def _example(entry: object, image_root: Path, where: str) -> Example:
    match entry:
        case [str(relative), int(label), str(name)] if relative and label >= 0 and not isinstance(label, bool):
            return Example(image_root / relative, label, composed(name))
    raise InputError(f'{where}: expected ["relative/path.jpg", label from 0, "class name"]; got {entry!r}.')


def _relative(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError as error:
        raise InputError(f"{path}: expected an image below {root}. Give the folder that holds all images.") from error
