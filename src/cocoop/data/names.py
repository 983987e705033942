"""Names for classes that are numbers in the data."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from cocoop.class_names import check_class_names, composed
from cocoop.data.dataset import Dataset
from cocoop.data.examples import Example
from cocoop.errors import InputError, plainly
from cocoop.reading import parse_json, read_text


def read_class_names(path: str | PathLike[str]) -> list[str]:
    """The names in a text file, one a line, blank lines left out, or in a .json file, a list of texts.

    Raises:
        InputError: an unreadable file, or none of both.
    """
    try:
        text = read_text(path)
        names = parse_json(text) if Path(path).suffix.lower() == ".json" else text.split("\n")
    except (OSError, ValueError) as error:  # ValueError: not JSON, or not UTF-8
        raise InputError(
            f"{path}: expected names, one a line, or a list of them in .json; got {plainly(error)}."
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{path}: expected a list of names, such as ["cat", "dog"]; got {type(names).__name__}.')
    return [name.strip() for name in names if name.strip()]


def with_class_names(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The data set, whose class names are numbers from 0 into `names` [K], with these and in their order.

    Raises:
        InputError: other class names, a number that is too large, or names that a prompt cannot tell apart.
    """
    names = [composed(name) for name in names]
    check_class_names(names)
    wrong = [name for name in dataset.class_names if not name.isdecimal() or int(name) >= len(names)]
    if wrong:
        raise InputError(
            f"class names: expected labels that are numbers 0..{len(names) - 1} into the {len(names)} names; got "
            f"{', '.join(wrong[:5])} in {dataset.name}. Leave the names out, or number the labels from 0."
        )
    numbers = [int(name) for name in dataset.class_names]
    train, val, test = (
        [Example(example.path, numbers[example.label], names[numbers[example.label]]) for example in split]
        for split in (dataset.train, dataset.val, dataset.test)
    )
    return replace(dataset, train=train, val=val, test=test, class_names=names)
