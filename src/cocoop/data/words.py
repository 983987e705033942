"""A data set under other words: its class names as they were before anybody chose them, another hand-written prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cocoop.data.dataset import Dataset
from cocoop.data.drawn.digits import DIGIT_COUNTS
from cocoop.data.papers.raw.folders import CALTECH101_NAMES, EUROSAT_NAMES
from cocoop.errors import InputError


def _folder_of(curated: Mapping[str, str]) -> Callable[[str], str]:
    folders = {name: folder for folder, name in curated.items()}
    return lambda name: folders.get(name, name)


def _year_last(name: str) -> str:
    year, _, car = name.partition(" ")
    return f"{car} {year}"


def _path(name: str) -> str:
    return "/".join(reversed(name.split(" ")))


def _in_one_word(name: str) -> str:
    return name.replace("_", "").replace(" ", "")


PLAIN_NAMES: Mapping[str, Callable[[str], str]] = {
    "caltech101": _folder_of(CALTECH101_NAMES),
    "stanford_cars": _year_last,
    "sun397": _path,
    "eurosat": _folder_of(EUROSAT_NAMES),
    "ucf101": _in_one_word,
    "digits": lambda name: str([*DIGIT_COUNTS].index(name)),
    "pictographs": _in_one_word,
    "shapes": _in_one_word,
}
"""Data set -> what a class of its curated name is called in its annotations, or is the folder of, as these are read.

CoOp renamed the classes of the first five (CoOp:datasets @ ff61507c): "Annual Crop Land" was "AnnualCrop", "outdoor
apartment_building" was "apartment_building/outdoor", "Apply_Eye_Makeup" was "ApplyEyeMakeup". scikit-learn's digits are
numbers. The drawn ones have no annotations; their plain names are run together, as identifiers are. The other data sets
of the papers have one list of names.
"""


def reworded(dataset: Dataset, names: str, template: str | None) -> Dataset:
    """The same images under "own" or "plain" names and another template; None keeps the data set's.

    `InputError`: plain names of a data set that has none.
    """
    if template is not None:
        dataset = replace(dataset, template=template)
    if names == "own":
        return dataset
    if dataset.name not in PLAIN_NAMES:
        raise InputError(f"{dataset.name}: expected a data set with plain names ({', '.join(PLAIN_NAMES)}).")
    plain = [PLAIN_NAMES[dataset.name](name) for name in dataset.class_names]
    train, val, test = (
        [example._replace(class_name=plain[example.label]) for example in split]
        for split in (dataset.train, dataset.val, dataset.test)
    )
    return replace(dataset, train=train, val=val, test=test, class_names=plain)
